// SPDX-License-Identifier: Apache-2.0
// Captures as replies of the control server.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fd.hh"
#include "capture/pcapng.hh"
#include "control/http_client.hh"
#include "daemon/context_switches.hh"
#include "daemon/control_server.hh"
#include "daemon/fake_service.hh"
#include "daemon/guest.hh"
#include "daemon/raw_http.hh"
#include "daemon/scratch_folder.hh"

namespace sidecore::daemon {
namespace {

namespace pcapng = capture::pcapng;
using capture::Direction;
using control::HttpClient;
using test::eventually;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A client that reads a capture in a thread of its own.
class Client {
public:
    explicit Client(const std::string& socket, const std::string& query = {})
        : ended_(std::async(std::launch::async, [this, socket, query] { return read(socket, query); })) {}
    ~Client() {
        hold(false);
        signal_eventfd(stop_.get());
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    bool begun() const {
        return eventually([this] { return begun_.load(); });
    }
    std::size_t packets() const { return packets_; }
    std::uint64_t dropped() const { return dropped_; }

    /// Lets the connection fill up.
    void hold(bool on) { held_ = on; }
    Result<HttpClient::StreamEnd> stop() {
        signal_eventfd(stop_.get());
        return ended_.get();
    }
    Result<HttpClient::StreamEnd> wait() { return ended_.get(); }

private:
    Result<HttpClient::StreamEnd> read(const std::string& socket, const std::string& query) {
        SIDECORE_TRY_ASSIGN(HttpClient client, HttpClient::create(socket));
        pcapng::BlockCutter cutter;
        return client.stream(
            "/v1/devices/disk0/capture" + query,
            [&](std::span<const std::byte> piece) {
                begun_ = true;
                while (held_) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                }
                return cutter
                    .feed(piece,
                          [this](const pcapng::Block& block) {
                              packets_ += block.type == pcapng::BlockType::enhanced_packet ? 1 : 0;
                              const auto statistics = pcapng::read_statistics(block);
                              dropped_ = statistics ? statistics->dropped : dropped_.load();
                              return true;
                          })
                    .has_value();
            },
            stop_.get());
    }

    const Fd stop_ = make_eventfd().value();
    std::atomic<bool> begun_{false};
    std::atomic<bool> held_{false};
    std::atomic<std::size_t> packets_{0};
    std::atomic<std::uint64_t> dropped_{0};
    std::future<Result<HttpClient::StreamEnd>> ended_;  // last: it uses the others
};

class ControlCapture : public ::testing::Test {
protected:
    Result<std::string> ask(std::string_view path) { return HttpClient::create(socket_).value().request("GET", path); }

    /// So many packets pass, no faster than `quick` reads: more than the connection of one that does not read can take.
    void pass_many(const Client& quick, std::size_t count) {
        const std::uint64_t before = quick.packets() + quick.dropped();
        for (std::size_t passed = 0; passed < count; ++passed) {
            service_.pass(1000, std::byte{2});
            if (passed % 40 == 0) {
                ASSERT_TRUE(eventually([&] { return quick.packets() + quick.dropped() > before + passed; })) << passed;
            }
        }
    }

    void expect_no_capture() {
        EXPECT_TRUE(eventually([this] { return !service_.captures().active(); }));
    }

    test::ScratchFolder folder_;
    const std::string socket_ = folder_ / "control.sock";
    test::FakeService service_;
    std::unique_ptr<ControlServer> server_ = ControlServer::create({socket_, 0600, ""}, service_).value();
};

TEST_F(ControlCapture, PacketsArriveWhileOthersAsk) {
    Client all(socket_);
    Client out(socket_, "?snaplen=64&direction=out");
    ASSERT_TRUE(all.begun() && out.begun());
    for (std::size_t i = 1; i <= 50; ++i) {
        service_.pass(100, std::byte{1}, i % 2 == 0 ? Direction::in : Direction::out);
        ASSERT_TRUE(ask("/v1/version"));
        if (i % 10 == 0) {
            EXPECT_TRUE(eventually([&] { return all.packets() == i && out.packets() == i / 2; })) << i;
        }
    }
    EXPECT_EQ(all.stop(), HttpClient::StreamEnd::stopped);
    EXPECT_EQ(out.stop(), HttpClient::StreamEnd::stopped);
    EXPECT_EQ(all.dropped(), 0U);
    expect_no_capture();
    EXPECT_THAT(service_.log(),
                ::testing::UnorderedElementsAre("capture disk0 ", "capture disk0 ?snaplen=64&direction=out"));
}

TEST_F(ControlCapture, WhatAReaderIsTooSlowForIsDroppedAndCounted) {
    Client slow(socket_);
    Client quick(socket_);
    ASSERT_TRUE(slow.begun() && quick.begun());
    slow.hold(true);
    constexpr std::size_t many = 3000;
    pass_many(quick, many);
    slow.hold(false);
    EXPECT_TRUE(eventually([&] { return slow.packets() + slow.dropped() == many; }))
        << slow.packets() << " and " << slow.dropped();
    EXPECT_GT(slow.dropped(), 1000U);
    EXPECT_GT(slow.packets(), 60U) << "what the ring held at least";
}

TEST_F(ControlCapture, AClientThatDiesEndsItsCapture) {
    {
        test::RawClient client(socket_);
        ASSERT_TRUE(client.send("GET /v1/devices/disk0/capture HTTP/1.1\r\nHost: x\r\n\r\n"));
        EXPECT_THAT(client.receive_status(), StartsWith("HTTP/1.1 200 "));
        client.end_of_sending();
        EXPECT_THAT(client.receive(300), HasSubstr("disk0")) << "to be heard is all that it still wants";
        EXPECT_TRUE(service_.captures().active());
    }
    expect_no_capture();  // though nothing passes
    {
        Client quick(socket_);
        ASSERT_TRUE(quick.begun());
        test::RawClient client(socket_);
        ASSERT_TRUE(client.send("GET /v1/devices/disk0/capture HTTP/1.1\r\nHost: x\r\n\r\n"));
        EXPECT_THAT(client.receive_status(), StartsWith("HTTP/1.1 200 "));
        pass_many(quick, 2000);
    }
    expect_no_capture();
    EXPECT_TRUE(ask("/v1/version"));
}

TEST_F(ControlCapture, TheEndOfTheDeviceIsTheEndOfTheReply) {
    Client client(socket_);
    Client full(socket_);
    ASSERT_TRUE(client.begun() && full.begun());
    service_.pass(100, std::byte{4});
    service_.captures().end();
    EXPECT_EQ(client.wait(), HttpClient::StreamEnd::complete);
    EXPECT_EQ(full.wait(), HttpClient::StreamEnd::complete);
    EXPECT_EQ(client.packets(), 1U);
    const auto refused = ask("/v1/devices/disk0/capture");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::closed);
}

TEST_F(ControlCapture, TheEndOfTheServerIsTheEndOfTheReply) {
    Client client(socket_);
    Client slow(socket_);
    ASSERT_TRUE(client.begun() && slow.begun());
    slow.hold(true);
    pass_many(client, 2000);
    server_.reset();
    EXPECT_EQ(client.wait(), HttpClient::StreamEnd::complete);
    EXPECT_FALSE(service_.captures().active());
    slow.hold(false);
    const auto cut = slow.wait();
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().kind, ErrorKind::closed);
}

TEST_F(ControlCapture, WrongQueriesAreRefused) {
    const auto message = [this](const std::string& query) {
        const auto reply = ask("/v1/devices/disk0/capture" + query);
        return reply ? "none" : reply.error().message;
    };
    EXPECT_THAT(message("?snaplen=1"), HasSubstr("snaplen"));
    EXPECT_THAT(message("?snaplen"), HasSubstr("snaplen"));
    EXPECT_THAT(message("?direction=up"), HasSubstr("direction"));
    EXPECT_THAT(message("?colour=%22red"), HasSubstr("colour"));
    EXPECT_THAT(message("?snaplen=64&snaplen=65"), HasSubstr("twice"));
    EXPECT_EQ(ask("/v1/devices/none/capture").error().kind, ErrorKind::not_found);
    EXPECT_THAT(service_.log(), ElementsAre("capture none "));

    Client client(socket_, "?snaplen=1");
    const auto refused = client.wait();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
    expect_no_capture();
}

TEST_F(ControlCapture, AnIdleCaptureCostsNothing) {
    Client client(socket_);
    ASSERT_TRUE(client.begun());
    service_.pass(100, std::byte{6});
    EXPECT_TRUE(eventually([&] { return client.packets() == 1; }));
    const auto switches = [] { return test::context_switches_of("MHD-single") + test::context_switches_of("capture"); };
    // All are asleep once the count stands still.
    std::uint64_t before = 0;
    EXPECT_TRUE(eventually([&] {
        before = switches();
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        return before != 0 && switches() == before;
    }));
    std::this_thread::sleep_for(std::chrono::seconds(1));
    EXPECT_EQ(switches(), before);
}

}  // namespace
}  // namespace sidecore::daemon
