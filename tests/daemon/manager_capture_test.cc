// SPDX-License-Identifier: Apache-2.0
// Captures of network devices that are at work.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/pcapng.hh"
#include "daemon/manager_fixture.hh"
#include "frontend/net_driver.hh"

namespace sidecore::daemon {
namespace {

namespace pcapng = capture::pcapng;
using control::CaptureStream;
using test::eventually;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ManagerCapture : public ManagerTest {
protected:
    control::DeviceSpec net_spec(const std::string& name) const {
        control::DeviceSpec device = spec(name, 3);
        device.type = "net";
        device.net.network.kind = control::NetworkKind::loopback;
        return device;
    }
    static frontend::NetDriver drive_net(const control::DeviceSpec& device) {
        return frontend::NetDriver::start(device.socket, {}).value();
    }
    static void send_and_receive(frontend::NetDriver& driver, std::size_t bytes) {
        const std::vector<std::byte> frame = test::pattern(bytes, 1);
        ASSERT_TRUE(driver.send(frame));
        EXPECT_EQ(driver.receive().value().frame, frame);
    }
    std::unique_ptr<CaptureStream> capture(const control::CaptureRequest& request = {}) {
        auto stream = manager_->capture("net0", request);
        EXPECT_TRUE(stream) << stream.error().message;
        return std::move(*stream);
    }
};

/// What comes out of a stream.
struct Reader {
    std::unique_ptr<CaptureStream> stream;
    pcapng::BlockCutter cutter;
    std::vector<std::size_t> lengths;  ///< of packets
    bool ended = false;

    void read() {
        std::vector<std::byte> piece(4096);
        CaptureStream::Piece got;
        do {
            got = stream->read(piece);
            ended = got.ended;
            const auto fed = cutter.feed(std::span(piece).first(got.bytes), [this](const pcapng::Block& block) {
                if (block.type == pcapng::BlockType::enhanced_packet) {
                    std::uint32_t bytes = 0;
                    std::memcpy(&bytes, block.bytes.data() + 24, sizeof bytes);
                    lengths.push_back(bytes);
                }
                return true;
            });
            ASSERT_TRUE(fed) << fed.error().message;
        } while (got.bytes != 0);
    }
    bool has(std::size_t packets) {
        return eventually([&] {
            read();
            return lengths.size() >= packets;
        });
    }
};

TEST_F(ManagerCapture, GoesOnThroughFrontEndsAndMoves) {
    start({{"io0"}, {"io1"}});
    const control::DeviceSpec device = net_spec("net0");
    add(device);
    Reader both{capture(), {}, {}};
    Reader out{capture({.snap_bytes = 20, .direction = control::CaptureDirection::out}), {}, {}};
    {
        auto driver = drive_net(device);
        send_and_receive(driver, 100);
        ASSERT_TRUE(manager_->move({"net0", std::uint16_t{1}}, {"io1"}));
        send_and_receive(driver, 101);
        ASSERT_TRUE(manager_->move({"net0"}, {"io1"}));
        send_and_receive(driver, 102);
    }
    auto driver = drive_net(device);
    send_and_receive(driver, 103);
    ASSERT_TRUE(both.has(8));
    EXPECT_THAT(both.lengths, ElementsAre(100, 100, 101, 101, 102, 102, 103, 103));
    ASSERT_TRUE(out.has(4));
    EXPECT_THAT(out.lengths, ElementsAre(100, 101, 102, 103));
    EXPECT_FALSE(both.ended);
}

TEST_F(ManagerCapture, EndsWithTheDevice) {
    start();
    const control::DeviceSpec device = net_spec("net0");
    add(device);
    Reader reader{capture(), {}, {}};
    {
        auto driver = drive_net(device);
        send_and_receive(driver, 60);
    }
    reader.read();
    EXPECT_FALSE(reader.ended);
    ASSERT_TRUE(manager_->remove_device("net0"));
    EXPECT_FALSE(reader.stream->arm(CaptureStream::Amount::something));
    reader.read();
    EXPECT_TRUE(reader.ended);
    EXPECT_THAT(reader.lengths, UnorderedElementsAre(60, 60));
    reader.read();
    EXPECT_TRUE(reader.ended);
    manager_.reset();
}

TEST_F(ManagerCapture, TheManagerMayGoFirst) {
    start();
    add(net_spec("net0"));
    Reader reader{capture(), {}, {}};
    manager_.reset();
    reader.read();
    EXPECT_TRUE(reader.ended);
}

TEST_F(ManagerCapture, WhatCannotBeCapturedIsRefused) {
    start();
    add(spec("disk0"));
    add(net_spec("net0"));
    const auto disk = manager_->capture("disk0", {});
    ASSERT_FALSE(disk);
    EXPECT_EQ(disk.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(disk.error().message, "disk0: a blk device has no packets");
    EXPECT_EQ(manager_->capture("none", {}).error().kind, ErrorKind::not_found);

    std::vector<std::unique_ptr<CaptureStream>> streams;
    for (std::size_t i = 0; i < capture::CapturePoint::max_captures; ++i) {
        streams.push_back(capture());
    }
    const auto one_more = manager_->capture("net0", {});
    ASSERT_FALSE(one_more);
    EXPECT_EQ(one_more.error().kind, ErrorKind::already_exists);
    EXPECT_THAT(one_more.error().message, HasSubstr("net0: there are 4 captures already"));
    streams.pop_back();
    EXPECT_TRUE(manager_->capture("net0", {}));
}

}  // namespace
}  // namespace sidecore::daemon
