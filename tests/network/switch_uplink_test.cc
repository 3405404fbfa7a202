// SPDX-License-Identifier: Apache-2.0
// A switch's way out, with a fake of what is there; the loopback back-end gives back what is sent.
#include <deque>

#include <gtest/gtest.h>

#include "network/fake_sink.hh"
#include "network/loopback_backend.hh"
#include "network/switch_tools.hh"

namespace sidecore::network::test {
namespace {

/// The network beyond an uplink, as the test sees it. Outlives the back-end.
struct FakeNetwork {
    Offloads takes{};
    bool full = false;
    std::vector<Bytes> sent;
    std::vector<PacketInfo> sent_info;
    std::deque<std::pair<Bytes, PacketInfo>> to_come;
    Offloads accepted{};
    bool refuses_senders = false;
};

class FakeSender final : public PacketSender {
public:
    explicit FakeSender(FakeNetwork& network) : network_(network) {}
    std::size_t send(std::span<const Packet> packets) noexcept override {
        if (network_.full) {
            return 0;
        }
        for (const Packet& packet : packets) {
            network_.sent.push_back(bytes_of(packet));
            network_.sent_info.push_back(packet.info);
        }
        return packets.size();
    }
    std::uint64_t dropped() const noexcept override { return 0; }

private:
    FakeNetwork& network_;
};

class FakeReceiver final : public PacketReceiver {
public:
    explicit FakeReceiver(FakeNetwork& network) : network_(network) {}
    bool has_packet() noexcept override { return !network_.to_come.empty(); }
    std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept override {
        if (network_.to_come.empty()) {
            return 0;
        }
        const auto [bytes, its_info] = network_.to_come.front();
        network_.to_come.pop_front();
        info = its_info;
        std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(room[0].iov_base));
        return static_cast<std::uint32_t>(bytes.size());
    }
    int packet_fd() const noexcept override { return 1234; }
    bool arm() noexcept override { return network_.to_come.empty(); }
    void disarm() noexcept override {}
    std::uint64_t dropped() const noexcept override { return 5; }

private:
    FakeNetwork& network_;
};

class FakeUplink final : public NetworkBackend {
public:
    explicit FakeUplink(FakeNetwork& network) : network_(network) {}
    std::string_view kind() const noexcept override { return "fake"; }
    std::string description() const override { return "fake uplink"; }
    Offloads takes() const noexcept override { return network_.takes; }
    Offloads gives() const noexcept override { return all_offloads; }
    Result<void> accept(const Offloads& offloads) override {
        network_.accepted = offloads;
        return {};
    }
    std::uint16_t max_pairs() const noexcept override { return 1; }
    Result<void> set_pairs(std::uint16_t) override { return {}; }
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t) override {
        if (network_.refuses_senders) {
            return failure(ErrorKind::system, "no sender");
        }
        return std::make_unique<FakeSender>(network_);
    }
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t) override {
        return std::make_unique<FakeReceiver>(network_);
    }
    Result<void> announce(std::span<const std::uint8_t, 6>) override { return {}; }

private:
    FakeNetwork& network_;
};

class SwitchUplinkTest : public testing::Test {
protected:
    void SetUp() override {
        network_.takes.checksum = true;
        ASSERT_TRUE(switch_->add_uplink(std::make_unique<FakeUplink>(network_)).has_value());
    }

    FakeNetwork network_;
    std::unique_ptr<Switch> switch_ = must(Switch::create());
};

TEST_F(SwitchUplinkTest, AGuestIsShownWhatComesInBatches) {
    Guest guest(*switch_, {.name = "guest"});
    FakeSink sink;
    guest.receiver().set_sink(&sink);
    const auto pump = must(switch_->open_uplink_pump());
    network_.to_come.assign(20, {plain_frame(everybody, station(100), 100), {}});
    const UplinkPump::Pumped pumped = pump->run(100);
    EXPECT_EQ(pumped.frames, 20U);
    EXPECT_EQ(pumped.bytes, 2000U);
    EXPECT_EQ(sink.frames.size(), 20U);
    EXPECT_EQ(sink.flushes, 2) << "of 16 at most";
    guest.receiver().set_sink(nullptr);
}

TEST_F(SwitchUplinkTest, FramesGoOutAndComeIn) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    EXPECT_EQ(network_.accepted, all_offloads);
    const auto pump = must(switch_->open_uplink_pump());
    EXPECT_EQ(pump->packet_fd(), 1234);
    EXPECT_EQ(pump->dropped(), 5U);
    EXPECT_TRUE(pump->arm());
    pump->disarm();
    EXPECT_FALSE(pump->has_packet());
    EXPECT_EQ(pump->run(10).frames, 0U);

    const Bytes out = plain_frame(station(100), station(1));
    a.send(out);
    ASSERT_EQ(network_.sent.size(), 1U);
    EXPECT_EQ(network_.sent[0], out);
    EXPECT_EQ(b.receive(), out);

    const Bytes in = plain_frame(station(1), station(100));
    network_.to_come.assign(5, {in, {}});
    EXPECT_TRUE(pump->has_packet());
    EXPECT_FALSE(pump->arm());
    EXPECT_EQ(pump->run(3).frames, 3U);
    EXPECT_EQ(pump->run(3).frames, 2U);
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(a.receive(), in);
    }
    EXPECT_TRUE(b.receive().empty());
    a.send(out);
    EXPECT_TRUE(b.receive().empty()) << "it has been seen out there";
    EXPECT_EQ(network_.sent.size(), 2U) << "and nothing that came from there has gone back";

    const Switch::Port port = switch_->ports().at(0);
    EXPECT_EQ(port.name, "uplink");
    EXPECT_EQ(port.uplink, "fake uplink");
    EXPECT_EQ(port.traffic.frames_in, 5U);
    EXPECT_EQ(port.traffic.frames_out, 2U);
    EXPECT_EQ(switch_->table().at(1).port, "uplink");
}

TEST_F(SwitchUplinkTest, WhatTheLinkDoesNotTakeIsDoneInSoftware) {
    Guest a(*switch_, {.name = "a"});
    Frame frame = make_frame({.to = station(100), .payload_bytes = 2500});
    frame.info.gso_type = PacketInfo::gso_tcp4;
    frame.info.segment_bytes = 1000;
    a.send(frame.bytes, frame.info);
    ASSERT_EQ(network_.sent.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(network_.sent_info[i].needs_checksum());
        EXPECT_FALSE(network_.sent_info[i].segmented());
        EXPECT_TRUE(read_packet(network_.sent[i], network_.sent_info[i]).transport_checksum_right);
    }
    const auto pump = must(switch_->open_uplink_pump());
    network_.to_come.emplace_back(frame.bytes, frame.info);
    EXPECT_EQ(pump->run(1).frames, 1U);
    EXPECT_EQ(drops_of(*switch_, "uplink", PortDrop::own_side), 0U);
}

TEST_F(SwitchUplinkTest, AFullLinkLosesFrames) {
    Guest a(*switch_, {.name = "a"});
    network_.full = true;
    a.send(plain_frame(everybody, station(1)));
    EXPECT_EQ(drops_of(*switch_, "uplink", PortDrop::inbox_full), 1U);
    EXPECT_EQ(traffic_of(*switch_, "uplink").frames_out, 0U);
}

TEST_F(SwitchUplinkTest, ThereIsOne) {
    FakeNetwork another;
    EXPECT_EQ(switch_->add_uplink(std::make_unique<FakeUplink>(another), {.name = "second"}).error().kind,
              ErrorKind::already_exists);
    EXPECT_EQ(switch_->ports().size(), 1U);
    EXPECT_EQ(switch_->add_port({.name = "uplink"}).error().kind, ErrorKind::already_exists);
}

TEST_F(SwitchUplinkTest, OneThatCannotBeOpenedIsNone) {
    FakeNetwork broken;
    broken.refuses_senders = true;
    const auto other = must(Switch::create());
    EXPECT_EQ(other->add_uplink(std::make_unique<FakeUplink>(broken)).error().message, "no sender");
    EXPECT_TRUE(other->ports().empty());
    EXPECT_TRUE(other->add_uplink(std::make_unique<FakeUplink>(network_)).has_value());
}

TEST_F(SwitchUplinkTest, APumpMayOutliveTheSwitch) {
    const auto pump = must(switch_->open_uplink_pump());
    Guest a(*switch_, {.name = "a"});
    switch_.reset();
    network_.to_come.emplace_back(plain_frame(everybody, station(100)), PacketInfo{});
    EXPECT_EQ(pump->run(1).frames, 1U);
    EXPECT_FALSE(a.receive().empty());
}

TEST(SwitchLoopbackUplink, WhatComesBackIsNotSentAgain) {
    const auto learning_switch = must(Switch::create());
    ASSERT_TRUE(learning_switch->add_uplink(must(LoopbackBackend::create({}))).has_value());
    const auto pump = must(learning_switch->open_uplink_pump());
    Guest a(*learning_switch, {.name = "a"});
    a.send(plain_frame(everybody, station(1)));
    EXPECT_EQ(pump->run(10).frames, 1U);
    EXPECT_FALSE(a.receive().empty());
    EXPECT_EQ(pump->run(10).frames, 0U);
}

}  // namespace
}  // namespace sidecore::network::test
