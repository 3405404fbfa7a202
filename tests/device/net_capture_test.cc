// SPDX-License-Identifier: Apache-2.0
// What captures see of a network device's queues.

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "device/driven_net.hh"

namespace sidecore::device {
namespace {

using capture::Capture;
using capture::Direction;

struct Captured {
    capture::Record record;
    std::vector<std::byte> bytes;
};

std::vector<Captured> take_all(Capture& capture) {
    std::vector<Captured> all;
    while (const auto record = capture.ring().front()) {
        Captured& one = all.emplace_back(Captured{*record, std::vector<std::byte>(record->captured_bytes)});
        capture.ring().pop(one.bytes);
    }
    return all;
}

void offer_packet(DrivenNet& net, const std::vector<std::byte>& packet, const net::Header& header = {}) {
    net.offer_readable(std::array{header_bytes(header), packet});
}

void offer_buffers(DrivenNet& net, std::size_t count, std::uint32_t bytes) {
    for (std::size_t i = 0; i < count; ++i) {
        net.offer_writable(bytes);
    }
}

TEST(NetCapture, SeesWhatTheGuestSends) {
    DrivenNet net(3, {.name = "net0", .pairs = 2});
    offer_packet(net, pattern(100, 0));
    net.serve();
    const auto capture = must(net.device().captures().start({}));
    for (std::uint64_t i = 1; i < 11; ++i) {
        offer_packet(net, pattern(60 + i, i));
    }
    const std::uint64_t before_ns = realtime_ns();
    net.serve();
    const auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 10U);
    for (std::uint64_t i = 0; i < 10; ++i) {
        EXPECT_EQ(captured[i].bytes, pattern(61 + i, i + 1));
        EXPECT_EQ(captured[i].bytes, net.link().sent.at(i + 1).bytes);
        EXPECT_EQ(captured[i].record.packet_bytes, 61 + i);
        EXPECT_EQ(captured[i].record.direction, Direction::out);
        EXPECT_EQ(captured[i].record.queue, 1U);
        EXPECT_GE(captured[i].record.time_ns, before_ns);
        EXPECT_LE(captured[i].record.time_ns, realtime_ns());
    }
}

TEST(NetCapture, KeepsTheFrontOfLongPacketsInAnyLayout) {
    DrivenNet net(1, {.name = "net0"});
    const auto capture = must(net.device().captures().start({.snap_bytes = 96}));
    const auto packet = pattern(60'000, 1);
    std::vector<std::vector<std::byte>> pieces{header_bytes({.flags = network::PacketInfo::flag_needs_checksum,
                                                             .gso_type = network::PacketInfo::gso_tcp4,
                                                             .header_bytes = 54,
                                                             .segment_bytes = 1448,
                                                             .checksum_start = 34,
                                                             .checksum_offset = 16,
                                                             .num_buffers = 0})};
    for (std::size_t at = 0; at < packet.size(); at += 10'000 - (at == 0 ? 9'950 : 0)) {
        const std::size_t end = std::min(packet.size(), at + 10'000 - (at == 0 ? 9'950 : 0));
        pieces.emplace_back(packet.begin() + static_cast<std::ptrdiff_t>(at),
                            packet.begin() + static_cast<std::ptrdiff_t>(end));
    }
    net.offer_readable(pieces);
    net.serve();
    const auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 1U);
    EXPECT_EQ(captured[0].record.packet_bytes, 60'000U) << "in one, as it passed";
    EXPECT_EQ(captured[0].bytes, std::vector(packet.begin(), packet.begin() + 96));
}

TEST(NetCapture, DroppedPacketsAreNotThere) {
    DrivenNet net(1, {.name = "net0"});
    const auto capture = must(net.device().captures().start({}));
    offer_packet(net, pattern(60, 1));
    offer_packet(net, pattern(10, 2));
    offer_packet(net, pattern(60, 3));
    net.serve();
    const auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 2U);
    EXPECT_EQ(captured[1].bytes, pattern(60, 3));
}

TEST(NetCapture, PacketsThatWaitForRoomAreThereOnce) {
    DrivenNet net(1, {.name = "net0"});
    const auto capture = must(net.device().captures().start({}));
    net.link().room = 2;
    for (std::uint64_t i = 0; i < 6; ++i) {
        offer_packet(net, pattern(60, i));
    }
    net.serve();
    ASSERT_EQ(net.link().sent.size(), 2U);
    net.link().room = 1;
    net.serve(1);
    ASSERT_EQ(net.link().sent.size(), 3U);
    for (std::uint64_t i = 6; i < 8; ++i) {
        offer_packet(net, pattern(60, i));
    }
    net.link().room = SIZE_MAX;
    net.serve();
    offer_packet(net, pattern(60, 8));
    net.serve();
    ASSERT_EQ(net.link().sent.size(), 9U);
    const auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 9U);
    for (std::uint64_t i = 0; i < 9; ++i) {
        EXPECT_EQ(captured[i].bytes, pattern(60, i)) << i;
    }
}

TEST(NetCapture, SeesWhatTheGuestReceives) {
    DrivenNet net(2, {.name = "net0", .pairs = 2});
    const auto capture = must(net.device().captures().start({}));
    offer_buffers(net, 8, 1526);
    for (std::uint64_t i = 0; i < 5; ++i) {
        net.link().waiting.push_back({{}, pattern(60 + i, i)});
    }
    net.serve();
    const auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 5U);
    for (std::uint64_t i = 0; i < 5; ++i) {
        EXPECT_EQ(captured[i].bytes, pattern(60 + i, i));
        EXPECT_EQ(captured[i].record.direction, Direction::in);
        EXPECT_EQ(captured[i].record.queue, 1U);
    }
}

TEST(NetCapture, PacketsInSeveralBuffersAreWholeHoweverTheyGotThere) {
    DrivenNet net(0, {.name = "net0"});
    const auto capture = must(net.device().captures().start({}));
    offer_buffers(net, 10, 600);
    net.link().waiting.push_back({{}, pattern(1500, 1)});  // into what was gathered
    net.link().waiting.push_back({{}, pattern(3000, 2)});  // more than is gathered before its size is known
    net.serve();
    net.link().waiting.push_back({{}, pattern(2500, 3)});  // has to wait for buffers
    net.serve();
    auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 2U);
    EXPECT_EQ(captured[0].bytes, pattern(1500, 1));
    EXPECT_EQ(captured[1].bytes, pattern(3000, 2));
    offer_buffers(net, 6, 600);
    net.serve();
    captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 1U);
    EXPECT_EQ(captured[0].bytes, pattern(2500, 3));
}

TEST(NetCapture, PacketsFromAnotherQueuesTurnAreThereToo) {
    DrivenNet net(0, {.name = "net0"});
    net.queue().entered();
    const auto capture = must(net.device().captures().start({}));
    std::vector<std::byte> bytes = pattern(900, 1);
    const std::array<iovec, 2> pieces{{{bytes.data(), 100}, {bytes.data() + 100, 800}}};
    const network::Packet packet{{}, pieces, 900};
    EXPECT_FALSE(net.link().sink->deliver(packet)) << "no buffers";
    offer_buffers(net, 4, 500);
    EXPECT_TRUE(net.link().sink->deliver(packet));
    net.link().sink->flush();
    const auto captured = take_all(*capture);
    ASSERT_EQ(captured.size(), 1U);
    EXPECT_EQ(captured[0].bytes, bytes);
    EXPECT_EQ(captured[0].record.direction, Direction::in);
    net.queue().left();
}

TEST(NetCapture, AFullCaptureHoldsNobodyUp) {
    DrivenNet net(1, {.name = "net0"});
    const auto capture = must(net.device().captures().start({.ring_bytes = capture::RecordRing::bytes_min}));
    for (std::uint64_t i = 0; i < 20; ++i) {
        offer_packet(net, pattern(1000, i));
    }
    EXPECT_EQ(net.serve().completed, 20U);
    EXPECT_EQ(net.link().sent.size(), 20U);
    const std::size_t kept = take_all(*capture).size();
    EXPECT_EQ(kept, 4U) << "of 16 granules each";
    EXPECT_EQ(capture->dropped(), 16U);
}

TEST(NetCapture, EndsWithTheDevice) {
    auto net = std::make_unique<DrivenNet>(std::uint16_t{1}, NetDevice::Options{.name = "net0"});
    const auto capture = must(net->device().captures().start({}));
    offer_packet(*net, pattern(60, 1));
    net->serve();
    EXPECT_FALSE(capture->ended());
    net.reset();
    EXPECT_TRUE(capture->ended());
    EXPECT_EQ(take_all(*capture).size(), 1U);
}

}  // namespace
}  // namespace sidecore::device
