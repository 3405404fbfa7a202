// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_net.hh"

namespace sidecore::device {
namespace {

using engine::TurnEnd;
using network::PacketInfo;

constexpr std::uint16_t transmit = 1;

class NetTransmit : public testing::Test {
protected:
    DrivenNet net{transmit, {.name = "net0"}};

    void offer_packet(const std::vector<std::byte>& packet, const net::Header& header = {}) {
        net.offer_readable(std::array{header_bytes(header), packet});
    }
    NetCounts counts() { return net.device().transmitted(); }
};

TEST_F(NetTransmit, PacketsGoOutInOrderAndComeBackUsed) {
    for (std::uint64_t i = 0; i < 10; ++i) {
        offer_packet(pattern(60 + i, i));
    }
    ASSERT_TRUE(net.queue().has_work());
    const engine::Turn turn = net.serve();
    EXPECT_EQ(turn.requests, 10U);
    EXPECT_EQ(turn.completed, 10U);
    EXPECT_EQ(turn.calls, 1U);
    EXPECT_EQ(turn.end, TurnEnd::empty);
    ASSERT_EQ(net.link().sent.size(), 10U);
    for (std::uint64_t i = 0; i < 10; ++i) {
        EXPECT_EQ(net.link().sent[i], (LinkPacket{{}, pattern(60 + i, i)})) << i;
    }
    const auto used = net.used();
    ASSERT_EQ(used.size(), 10U);
    EXPECT_EQ(used.front().length, 0U);
    EXPECT_EQ(counts().packets, 10U);
    EXPECT_EQ(counts().bytes, turn.bytes);
}

TEST_F(NetTransmit, NobodyWaitsForItsCompletions) {
    EXPECT_FALSE(net.queue().completions_awaited());
}

TEST_F(NetTransmit, AnyLayoutOfHeaderAndPacketIsTheSamePacket) {
    const std::vector<std::byte> packet = pattern(100, 1);
    const std::vector<std::byte> whole = [&] {
        std::vector<std::byte> bytes = header_bytes({});
        bytes.insert(bytes.end(), packet.begin(), packet.end());
        return bytes;
    }();
    for (const std::size_t first : {1U, 11U, 12U, 13U, 40U, 111U}) {
        const auto cut = whole.begin() + static_cast<std::ptrdiff_t>(first);
        net.offer_readable(std::array{std::vector(whole.begin(), cut), std::vector(cut, whole.end())});
    }
    net.offer_readable(std::array{whole});
    std::vector<std::vector<std::byte>> singles;
    for (std::size_t i = 0; i < 40; ++i) {
        singles.push_back({whole[i]});
    }
    singles.emplace_back(whole.begin() + 40, whole.end());
    net.offer_readable(singles);
    EXPECT_EQ(net.serve().requests, 8U);
    ASSERT_EQ(net.link().sent.size(), 8U);
    for (const LinkPacket& sent : net.link().sent) {
        EXPECT_EQ(sent.bytes, packet);
    }
}

TEST_F(NetTransmit, WhatTheHeaderSaysGoesAlongAndNothingThatNoFlagStandsFor) {
    offer_packet(pattern(1000, 1), {.flags = PacketInfo::flag_needs_checksum,
                                    .gso_type = PacketInfo::gso_tcp4,
                                    .header_bytes = 54,
                                    .segment_bytes = 400,
                                    .checksum_start = 34,
                                    .checksum_offset = 16,
                                    .num_buffers = 0});
    offer_packet(pattern(100, 2), {.flags = PacketInfo::flag_data_valid,
                                   .gso_type = 0,
                                   .header_bytes = 54,
                                   .segment_bytes = 400,
                                   .checksum_start = 60000,
                                   .checksum_offset = 60000,
                                   .num_buffers = 7});
    net.serve();
    ASSERT_EQ(net.link().sent.size(), 2U);
    EXPECT_EQ(net.link().sent[0].info, (PacketInfo{.flags = PacketInfo::flag_needs_checksum,
                                                   .gso_type = PacketInfo::gso_tcp4,
                                                   .header_bytes = 54,
                                                   .segment_bytes = 400,
                                                   .checksum_start = 34,
                                                   .checksum_offset = 16}));
    EXPECT_EQ(net.link().sent[1].info, PacketInfo{});
}

TEST_F(NetTransmit, WhatIsNotInOrderIsCountedDroppedAndNothingElseSuffers) {
    offer_packet(pattern(13, 1));                   // no Ethernet header
    net.offer_readable(std::array{pattern(5, 1)});  // not even a virtio header
    offer_packet(pattern(100, 1),
                 {.flags = PacketInfo::flag_needs_checksum, .checksum_start = 90, .checksum_offset = 9});
    offer_packet(pattern(100, 1), {.flags = PacketInfo::flag_needs_checksum, .gso_type = PacketInfo::gso_tcp4});
    offer_packet(pattern(100, 1), {.gso_type = 77, .segment_bytes = 10});
    offer_packet(pattern(network::max_packet_bytes + 1, 1));
    offer_packet(pattern(100, 9));
    const engine::Turn turn = net.serve();
    EXPECT_EQ(turn.requests, 7U);
    ASSERT_EQ(net.link().sent.size(), 1U);
    EXPECT_EQ(net.link().sent[0].bytes, pattern(100, 9));
    EXPECT_EQ(net.used().size(), 7U);
    EXPECT_EQ(counts().dropped_too_short, 2U);
    EXPECT_EQ(counts().dropped_bad_info, 3U);
    EXPECT_EQ(counts().dropped_too_long, 1U);
    EXPECT_EQ(counts().packets, 1U);
    EXPECT_FALSE(net.queue().broken());
}

TEST_F(NetTransmit, AFullLinkLeavesTheRestInTheRingUntilThereIsRoom) {
    net.link().room = 3;
    offer_packet(pattern(60, 0));
    offer_packet(pattern(13, 0));  // dropped, and counted once only
    for (std::uint64_t i = 1; i < 6; ++i) {
        offer_packet(pattern(60, i));
        offer_packet(pattern(13, i));
    }
    EXPECT_EQ(net.serve().end, TurnEnd::empty);
    EXPECT_EQ(net.link().sent.size(), 3U);
    EXPECT_FALSE(net.queue().has_work());
    EXPECT_EQ(net.queue().pending(), 0U);
    EXPECT_TRUE(net.queue().arm());
    EXPECT_TRUE(net.link().room_armed);
    EXPECT_EQ(net.serve().requests, 0U) << "a turn without room changes nothing";

    net.link().room = SIZE_MAX;
    EXPECT_TRUE(net.queue().has_work());
    net.serve();
    ASSERT_EQ(net.link().sent.size(), 6U);
    for (std::uint64_t i = 0; i < 6; ++i) {
        EXPECT_EQ(net.link().sent[i].bytes, pattern(60, i));
    }
    EXPECT_EQ(counts().dropped_too_short, 6U);
    EXPECT_EQ(net.used().size(), 12U);
    EXPECT_TRUE(net.queue().arm());
}

TEST_F(NetTransmit, RoomThatCameBeforeArmingIsNotMissed) {
    net.link().room = 0;
    offer_packet(pattern(60, 0));
    net.serve();
    net.link().room = 1;
    EXPECT_FALSE(net.queue().arm());
    EXPECT_TRUE(net.queue().has_work());
}

TEST_F(NetTransmit, ATurnTakesNoMoreThanItsBudget) {
    for (std::uint64_t i = 0; i < 10; ++i) {
        offer_packet(pattern(60, i));
    }
    const engine::Turn turn = net.serve(4);
    EXPECT_EQ(turn.requests, 4U);
    EXPECT_EQ(turn.end, TurnEnd::budget);
    EXPECT_EQ(net.serve(6).end, TurnEnd::empty);
    EXPECT_EQ(net.link().sent.size(), 10U);
}

TEST_F(NetTransmit, ABrokenRingBreaksTheQueueAfterWhatCameBeforeIt) {
    offer_packet(pattern(60, 0));
    net.offer(std::array{frontend::Piece{memory::GuestAddress{~std::uint64_t{0} - 4096}, 100, false}});
    const engine::Turn turn = net.serve();
    EXPECT_EQ(turn.end, TurnEnd::broken);
    EXPECT_TRUE(net.queue().broken());
    EXPECT_EQ(net.link().sent.size(), 1U);
}

TEST(NetTransmitLegacy, TheHeaderIsTwoBytesShorterWithoutVersionOneAndMergeableBuffers) {
    DrivenNet net(transmit, {.name = "net0"}, net::feature_version_1 | net::feature_mrg_rxbuf);
    net.offer_readable(std::array{header_bytes({}, net::Header::short_bytes), pattern(60, 1)});
    net.serve();
    ASSERT_EQ(net.link().sent.size(), 1U);
    EXPECT_EQ(net.link().sent[0].bytes, pattern(60, 1));
}

}  // namespace
}  // namespace sidecore::device
