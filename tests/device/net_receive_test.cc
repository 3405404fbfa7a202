// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_net.hh"

namespace sidecore::device {
namespace {

using engine::TurnEnd;
using network::PacketInfo;

constexpr std::uint16_t receive = 0;
constexpr std::size_t header_size = sizeof(net::Header);

class NetReceive : public testing::Test {
protected:
    explicit NetReceive(bool mergeable = true) : net(receive, {.name = "net0", .mergeable = mergeable}) {}

    DrivenNet net;
    std::vector<frontend::GuestBuffer> buffers;

    void offer_buffers(std::size_t count, std::uint32_t bytes) {
        for (std::size_t i = 0; i < count; ++i) {
            buffers.push_back(net.offer_writable(bytes));
        }
    }
    void arrive(std::vector<std::byte> bytes, PacketInfo info = {}) {
        net.link().waiting.push_back({info, std::move(bytes)});
    }
    NetCounts counts() { return net.device().received(); }

    /// The next packet that the driver finds, in buffers used in the order in which they were offered.
    LinkPacket next_packet() {
        std::vector<frontend::Used> used = take(1);
        net::Header header;
        std::memcpy(&header, buffers.at(place_).host, sizeof header);
        LinkPacket packet{{header.flags, header.gso_type, header.header_bytes, header.segment_bytes,
                           header.checksum_start, header.checksum_offset},
                          {}};
        append(packet, used[0].length, header_size);
        for (std::uint16_t i = 1; i < header.num_buffers; ++i) {
            append(packet, take(1)[0].length, 0);
        }
        return packet;
    }
    std::size_t left() {
        const auto more = net.used();
        used_.insert(used_.end(), more.begin(), more.end());
        return used_.size();
    }

private:
    std::vector<frontend::Used> take(std::size_t count) {
        if (left() < count) {
            throw std::runtime_error("fewer buffers are used than a packet says");
        }
        std::vector<frontend::Used> taken(used_.begin(), used_.begin() + static_cast<std::ptrdiff_t>(count));
        used_.erase(used_.begin(), used_.begin() + static_cast<std::ptrdiff_t>(count));
        return taken;
    }
    void append(LinkPacket& packet, std::uint32_t length, std::size_t skip) {
        const auto* from = static_cast<const std::byte*>(static_cast<const void*>(buffers.at(place_++).host));
        packet.bytes.insert(packet.bytes.end(), from + skip, from + length);
    }
    std::vector<frontend::Used> used_;
    std::size_t place_ = 0;
};

TEST_F(NetReceive, PacketsComeInOrderWithTheirHeaders) {
    offer_buffers(8, 1526);
    const PacketInfo info{.flags = PacketInfo::flag_data_valid};
    for (std::uint64_t i = 0; i < 5; ++i) {
        arrive(pattern(60 + i, i), info);
    }
    ASSERT_TRUE(net.queue().has_work());
    const engine::Turn turn = net.serve();
    EXPECT_EQ(turn.requests, 5U);
    EXPECT_EQ(turn.completed, 5U);
    EXPECT_EQ(turn.calls, 1U);
    EXPECT_EQ(turn.end, TurnEnd::empty);
    for (std::uint64_t i = 0; i < 5; ++i) {
        EXPECT_EQ(next_packet(), (LinkPacket{info, pattern(60 + i, i)})) << i;
    }
    EXPECT_EQ(left(), 0U);
    EXPECT_EQ(counts().packets, 5U);
    EXPECT_FALSE(net.queue().has_work());
}

TEST_F(NetReceive, AHeaderIsRightWhateverWasInItsPlace) {
    const PacketInfo large{.flags = PacketInfo::flag_needs_checksum,
                           .gso_type = PacketInfo::gso_tcp4,
                           .header_bytes = 54,
                           .segment_bytes = 1440,
                           .checksum_start = 34,
                           .checksum_offset = 16};
    // At the end of a cache line, as DPDK's virtio-user has it, in one line with the packet, and where words do not fit.
    for (const std::size_t offset : {64 - header_size, std::size_t{0}, std::size_t{4}, std::size_t{7}}) {
        const frontend::GuestBuffer place = net.buffer(2048);
        for (const int before : {0xee, 0}) {
            std::memset(place.host, before, 2048);
            for (const PacketInfo& info : {PacketInfo{}, PacketInfo{}, large, large, PacketInfo{}}) {
                net.offer(std::array{frontend::Piece{place.address + offset, 1526, true}});
                arrive(pattern(60, offset), info);
                net.serve();
                ASSERT_EQ(net.used().size(), 1U);
                net::Header header;
                std::memcpy(&header, place.host + offset, sizeof header);
                EXPECT_EQ(header.flags, info.flags) << offset;
                EXPECT_EQ(header.gso_type, info.gso_type);
                EXPECT_EQ(header.header_bytes, info.header_bytes);
                EXPECT_EQ(header.segment_bytes, info.segment_bytes);
                EXPECT_EQ(header.checksum_start, info.checksum_start);
                EXPECT_EQ(header.checksum_offset, info.checksum_offset);
                EXPECT_EQ(header.num_buffers, 1U);
                EXPECT_EQ(std::memcmp(place.host + offset + sizeof header, pattern(60, offset).data(), 60), 0);
            }
        }
    }
}

TEST_F(NetReceive, ALargePacketSpansBuffersAndUnusedOnesStayForTheNext) {
    offer_buffers(60, 1526);
    const PacketInfo info{.flags = PacketInfo::flag_needs_checksum,
                          .gso_type = PacketInfo::gso_tcp6,
                          .header_bytes = 74,
                          .segment_bytes = 1440,
                          .checksum_start = 54,
                          .checksum_offset = 16};
    arrive(pattern(60, 1));
    arrive(pattern(65000, 2), info);
    arrive(pattern(1514, 3));
    arrive(pattern(1515, 4));
    net.serve();
    EXPECT_EQ(next_packet().bytes, pattern(60, 1));
    EXPECT_EQ(next_packet(), (LinkPacket{info, pattern(65000, 2)}));
    EXPECT_EQ(next_packet().bytes, pattern(1514, 3));
    EXPECT_EQ(next_packet().bytes, pattern(1515, 4));
    EXPECT_EQ(left(), 0U);
    net.serve();
    EXPECT_EQ(net.queue().next_available(), 1 + 43 + 1 + 2);
}

TEST_F(NetReceive, APacketWaitsUntilThereAreBuffersForAllOfIt) {
    offer_buffers(2, 1000);
    arrive(pattern(2500, 1));
    arrive(pattern(60, 2));
    EXPECT_EQ(net.serve().requests, 0U);
    EXPECT_EQ(left(), 0U) << "all or nothing";
    EXPECT_FALSE(net.queue().has_work());
    EXPECT_TRUE(net.queue().arm()) << "two buffers are not enough, whatever comes from the network";
    EXPECT_EQ(net.queue().next_available(), 0);
    buffers.push_back(net.offer_writable(1000));
    EXPECT_TRUE(net.queue().has_work());
    EXPECT_EQ(net.serve().requests, 1U);
    EXPECT_EQ(next_packet().bytes, pattern(2500, 1));
    offer_buffers(1, 1000);
    net.serve();
    EXPECT_EQ(next_packet().bytes, pattern(60, 2));
}

TEST_F(NetReceive, TheDriverKicksForBuffersThatAWaitingPacketNeeds) {
    offer_buffers(2, 1000);
    arrive(pattern(2500, 1));
    net.serve();
    ASSERT_TRUE(net.queue().arm());
    const auto kicks = net.driver().statistics().kicks_sent;
    offer_buffers(1, 1000);
    EXPECT_EQ(net.driver().statistics().kicks_sent, kicks + 1);
}

TEST_F(NetReceive, APacketThatNoNumberOfBuffersCanHoldIsDropped) {
    DrivenNet small(receive, {.name = "net0"}, 0, 4);
    for (int i = 0; i < 4; ++i) {
        small.offer_writable(100);
    }
    small.link().waiting.push_back({{}, pattern(1000, 1)});
    small.link().waiting.push_back({{}, pattern(60, 2)});
    small.serve();
    EXPECT_EQ(small.device().received().dropped_no_room, 1U);
    EXPECT_EQ(small.device().received().packets, 1U);
    EXPECT_EQ(small.used().size(), 1U);
}

TEST_F(NetReceive, WithoutBuffersItWaitsForTheDriverAndWithThemForTheNetwork) {
    EXPECT_TRUE(net.queue().arm());
    EXPECT_FALSE(net.link().packet_armed);
    arrive(pattern(60, 1));
    EXPECT_FALSE(net.queue().has_work());
    offer_buffers(2, 1526);
    EXPECT_TRUE(net.queue().has_work());
    EXPECT_FALSE(net.queue().arm()) << "both are there";
    net.serve();
    EXPECT_TRUE(net.queue().arm());
    EXPECT_TRUE(net.link().packet_armed);
    net.queue().disarm();
    EXPECT_FALSE(net.link().packet_armed);
}

TEST_F(NetReceive, ReadableBuffersAndBuffersWithoutRoomForTheHeaderBreakTheQueue) {
    for (const bool readable : {true, false}) {
        DrivenNet broken(receive, {.name = "net0"});
        broken.offer(std::array{frontend::Piece{broken.buffer(64).address, readable ? 64U : 11U, !readable}});
        broken.link().waiting.push_back({{}, pattern(60, 1)});
        EXPECT_EQ(broken.serve().end, TurnEnd::broken);
        EXPECT_TRUE(broken.queue().broken());
        EXPECT_FALSE(broken.queue().has_work());
    }
}

TEST_F(NetReceive, ASenderOnTheSameThreadWritesIntoTheBuffersItself) {
    net.queue().entered();
    ASSERT_NE(net.link().sink, nullptr);
    const std::vector<std::byte> bytes = pattern(3000, 1);
    std::vector<std::byte> copy = bytes;
    const std::array pieces{iovec{copy.data(), 100}, iovec{copy.data() + 100, 2900}};
    const network::Packet packet{{.flags = PacketInfo::flag_data_valid}, pieces, 3000};
    EXPECT_FALSE(net.link().sink->deliver(packet)) << "no buffers";
    offer_buffers(1, 1526);
    EXPECT_FALSE(net.link().sink->deliver(packet)) << "not enough of them";
    EXPECT_EQ(net.queue().next_available(), 0);
    offer_buffers(3, 1526);
    EXPECT_TRUE(net.link().sink->deliver(packet));
    EXPECT_EQ(left(), 0U) << "not shown yet";
    net.link().sink->flush();
    EXPECT_EQ(next_packet(), (LinkPacket{packet.info, bytes}));
    EXPECT_EQ(net.queue().next_available(), 2);
    EXPECT_EQ(net.serve().completed, 0U) << "this turn has done nothing";
    const engine::Turn elsewhere = net.queue().done_elsewhere();
    EXPECT_EQ(elsewhere.requests, 1U);
    EXPECT_EQ(elsewhere.completed, 1U);
    EXPECT_EQ(elsewhere.bytes, 3000U);
    EXPECT_EQ(elsewhere.calls, 1U);
    EXPECT_EQ(net.queue().done_elsewhere().completed, 0U) << "it was told";
    net.queue().left();
    EXPECT_EQ(net.link().sink, nullptr);
}

TEST_F(NetReceive, NothingOvertakesAWaitingPacket) {
    net.queue().entered();
    offer_buffers(1, 1000);
    arrive(pattern(1500, 1));
    net.serve();
    std::vector<std::byte> bytes = pattern(60, 2);
    const std::array pieces{iovec{bytes.data(), bytes.size()}};
    EXPECT_FALSE(net.link().sink->deliver({{}, pieces, 60}));
    net.queue().left();
}

TEST(NetReceiveLargeRing, ATurnOfManyLargePacketsLosesNone) {
    DrivenNet net(receive, {.name = "net0"}, 0, 1024);
    for (int i = 0; i < 1000; ++i) {
        net.offer_writable(1000);
    }
    for (std::uint64_t i = 0; i < 30; ++i) {
        net.link().waiting.push_back({{}, pattern(29'000, i)});
    }
    EXPECT_EQ(net.serve().requests, 30U) << "with 30 buffers each";
    EXPECT_EQ(net.device().received().dropped_no_room, 0U);
    EXPECT_EQ(net.used().size(), 900U);
}

/// A queue that finds no more buffers knows how many it had, whatever the driver adds in the meantime.
TEST_F(NetReceive, APacketWaitsForBuffersThatComeOneByOne) {
    constexpr std::size_t needed = 40;  // buffers for two packets
    std::vector<std::array<frontend::Piece, 1>> room;
    for (std::size_t i = 0; i < needed; ++i) {
        room.push_back({frontend::Piece{net.buffer(1024).address, 1024, true}});
    }
    std::uint64_t packets = 0;
    for (int round = 0; round < 500; ++round) {
        arrive(pattern(20'000, 1));
        arrive(pattern(20'000, 2));
        std::thread driver([&] {
            for (const auto& pieces : room) {
                net.offer(pieces);
            }
        });
        for (packets += 2; counts().packets + counts().dropped_no_room < packets;) {
            net.serve();
        }
        driver.join();
        ASSERT_EQ(counts().dropped_no_room, 0U) << "in round " << round;
        const auto used = net.used();
        ASSERT_EQ(used.size(), needed);
        for (const frontend::Used& one : used) {
            net.driver().release(one.head);
        }
    }
}

class NetReceivePlain : public NetReceive {
protected:
    NetReceivePlain() : NetReceive(false) {}
};

TEST_F(NetReceivePlain, APacketGetsOneBufferAndIsDroppedIfThatIsTooSmall) {
    offer_buffers(3, 1526);
    arrive(pattern(1514, 1));
    arrive(pattern(1515, 2));
    arrive(pattern(60, 3));
    net.serve();
    EXPECT_EQ(next_packet().bytes, pattern(1514, 1));
    EXPECT_EQ(next_packet().bytes, pattern(60, 3));
    EXPECT_EQ(left(), 0U);
    EXPECT_EQ(counts().dropped_no_room, 1U);
    EXPECT_EQ(counts().packets, 2U);
}

TEST_F(NetReceivePlain, EachPacketGetsItsOwnBufferHoweverManyWerePoppedAhead) {
    offer_buffers(40, 100);
    for (std::uint64_t i = 0; i < 30; ++i) {
        arrive(pattern(60 + i % 20, i));
        if (i == 15) {
            arrive(pattern(150, 99));  // no buffer is so large
        }
    }
    EXPECT_EQ(net.serve().requests, 30U);
    EXPECT_EQ(net.queue().next_available(), 30) << "the others are back";
    for (std::uint64_t i = 0; i < 30; ++i) {
        EXPECT_EQ(next_packet().bytes, pattern(60 + i % 20, i)) << i;
    }
    EXPECT_EQ(counts().dropped_no_room, 1U);

    net.queue().entered();
    for (std::uint64_t i = 0; i < 5; ++i) {
        std::vector<std::byte> bytes = pattern(60, i);
        const std::array pieces{iovec{bytes.data(), bytes.size()}};
        EXPECT_TRUE(net.link().sink->deliver({{}, pieces, 60}));
    }
    std::vector<std::byte> bytes = pattern(150, 5);
    const std::array pieces{iovec{bytes.data(), bytes.size()}};
    EXPECT_FALSE(net.link().sink->deliver({{}, pieces, 150}));
    net.link().sink->flush();
    EXPECT_EQ(net.queue().next_available(), 35);
    for (std::uint64_t i = 0; i < 5; ++i) {
        EXPECT_EQ(next_packet().bytes, pattern(60, i)) << i;
    }
    EXPECT_EQ(left(), 0U);
    net.queue().left();
}

TEST_F(NetReceivePlain, ASenderMaySayThatMoreComeThanDo) {
    offer_buffers(60, 100);
    net.queue().entered();
    net.link().sink->expect(50);
    for (std::uint64_t i = 0; i < 30; ++i) {
        std::vector<std::byte> bytes = pattern(60, i);
        const std::array pieces{iovec{bytes.data(), bytes.size()}};
        EXPECT_TRUE(net.link().sink->deliver({{}, pieces, 60}));
    }
    net.link().sink->flush();
    EXPECT_EQ(net.queue().next_available(), 30) << "the others are back";
    for (std::uint64_t i = 0; i < 30; ++i) {
        EXPECT_EQ(next_packet().bytes, pattern(60, i)) << i;
    }
    EXPECT_EQ(left(), 0U);
    net.queue().left();
}

TEST_F(NetReceivePlain, ABadBufferAmongThosePoppedAheadIsReportedThoughTheQueueGetsNoTurn) {
    for (const std::uint32_t good : {1U, 3U, 17U}) {
        DrivenNet broken(receive, {.name = "net0"}, net::feature_mrg_rxbuf);
        for (std::uint32_t i = 0; i < good; ++i) {
            broken.offer_writable(100);
        }
        broken.offer(std::array{frontend::Piece{broken.buffer(64).address, 64, false}});
        broken.queue().entered();
        broken.link().sink->expect(good + 1);
        std::vector<std::byte> bytes = pattern(60, 1);
        const std::array pieces{iovec{bytes.data(), bytes.size()}};
        EXPECT_EQ(broken.link().sink->deliver({{}, pieces, 60}), good == 17) << "16 are popped for the first";
        if (good == 17) {
            EXPECT_TRUE(broken.link().sink->deliver({{}, pieces, 60}));
            broken.link().sink->flush();
        }
        EXPECT_TRUE(broken.queue().broken()) << good;
        EXPECT_TRUE(broken.used().empty()) << "a broken queue shows nothing";
        broken.queue().left();
    }
}

}  // namespace
}  // namespace sidecore::device
