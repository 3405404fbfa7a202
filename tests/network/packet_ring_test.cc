// SPDX-License-Identifier: Apache-2.0
#include "network/packet_ring.hh"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/packet_tools.hh"

namespace sidecore::network::test {
namespace {

std::unique_ptr<PacketRing> make_ring(std::size_t bytes = PacketRing::bytes_min) {
    return must(PacketRing::create(bytes));
}

PacketInfo numbered(std::uint16_t number) {
    PacketInfo info;
    info.flags = PacketInfo::flag_data_valid;
    info.header_bytes = number;
    info.checksum_offset = static_cast<std::uint16_t>(~number);
    return info;
}

bool push(PacketRing& ring, const Bytes& contents, std::size_t pieces = 1, const PacketInfo& info = {}) {
    PacketBuffer buffer(contents, pieces, info);
    const bool pushed = ring.push(buffer.packet());
    buffer.spoil();
    return pushed;
}

Bytes pop(PacketRing& ring, PacketInfo& info, std::size_t pieces = 1) {
    const Room room(pieces);
    return room.first(ring.pop(info, room.pieces()));
}

Bytes pop(PacketRing& ring) {
    PacketInfo info;
    return pop(ring, info);
}

TEST(PacketRingTest, SizesOutOfRangeAreRefused) {
    for (const std::size_t bytes : {std::size_t{0}, PacketRing::bytes_min - 1, PacketRing::bytes_max + 1}) {
        const auto ring = PacketRing::create(bytes);
        ASSERT_FALSE(ring);
        EXPECT_EQ(ring.error().kind, ErrorKind::out_of_range);
    }
    EXPECT_TRUE(PacketRing::create(PacketRing::bytes_min + 1)) << "rounded up";
}

TEST(PacketRingTest, AnEmptyRingHasNothing) {
    const auto ring = make_ring();
    EXPECT_TRUE(ring->empty());
    EXPECT_EQ(ring->front_bytes(), 0U);
    EXPECT_TRUE(ring->has_room());
    EXPECT_EQ(pop(*ring), Bytes{});
    EXPECT_EQ(ring->push(std::span<const Packet>{}), 0U);
}

TEST(PacketRingTest, ComesOutAsItWentIn) {
    const auto ring = make_ring();
    Random random(1);
    std::uint16_t number = 0;
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{14}, std::size_t{63}, std::size_t{64}, std::size_t{65},
                                    std::size_t{1514}, std::size_t{9000}, std::size_t{max_packet_bytes}}) {
        for (const std::size_t pieces : {std::size_t{1}, std::size_t{3}, std::size_t{40}}) {
            Bytes contents(bytes);
            std::generate(contents.begin(), contents.end(), [&] { return static_cast<std::byte>(random()); });
            ASSERT_TRUE(push(*ring, contents, pieces, numbered(++number)));
            ASSERT_FALSE(ring->empty());
            ASSERT_EQ(ring->front_bytes(), bytes);
            PacketInfo info;
            ASSERT_EQ(pop(*ring, info, pieces + 2), contents) << bytes;
            ASSERT_EQ(info, numbered(number));
            ASSERT_TRUE(ring->empty());
        }
    }
}

TEST(PacketRingTest, ARoomThatFitsExactlyIsEnough) {
    const auto ring = make_ring();
    Random random(2);
    const Bytes contents = make_packet(random, 1000);
    ASSERT_TRUE(push(*ring, contents));
    const Room room(4, 1000);
    PacketInfo info;
    ASSERT_EQ(ring->pop(info, room.pieces()), 1000U);
    EXPECT_EQ(room.first(1000), contents);
}

/// Any sequence of pushes and pops is that of a queue, through many laps and whatever lies where a packet wraps around.
TEST(PacketRingTest, MatchesAModel) {
    const auto ring = make_ring();
    Random random(3);
    std::deque<std::pair<std::uint16_t, Bytes>> model;
    std::size_t full = 0;
    for (std::uint16_t number = 0; number < 6000; ++number) {
        const std::size_t longest = number / 1000 % 2 == 0 ? 300 : max_packet_bytes;
        if (random() % 8 < (number / 500 % 2 == 0 ? 5U : 3U)) {
            const Bytes contents = make_packet(random, min_packet_bytes + random() % (longest - min_packet_bytes + 1));
            const bool fits = ring->has_room();
            if (push(*ring, contents, 1 + random() % 5, numbered(number))) {
                model.emplace_back(number, contents);
            } else {
                ASSERT_FALSE(fits);
                ++full;
            }
        } else if (!model.empty()) {
            PacketInfo info;
            ASSERT_EQ(pop(*ring, info, 1 + random() % 5), model.front().second);
            ASSERT_EQ(info, numbered(model.front().first));
            model.pop_front();
        }
        ASSERT_EQ(ring->empty(), model.empty());
    }
    EXPECT_GT(full, 0U);
}

TEST(PacketRingTest, ALengthThatAPacketContainsIsNotTakenForOne) {
    // Packets full of numbers that would be lengths, then a lap of short ones over the same place: nothing comes out but what went in.
    const auto ring = make_ring();
    Bytes hostile(max_packet_bytes, std::byte{1});
    for (int lap = 0; lap < 20; ++lap) {
        ASSERT_TRUE(push(*ring, hostile));
        ASSERT_EQ(pop(*ring), hostile);
        ASSERT_TRUE(ring->empty());
        ASSERT_TRUE(push(*ring, Bytes(1 + static_cast<std::size_t>(lap), std::byte{2})));
        ASSERT_EQ(pop(*ring), Bytes(1 + static_cast<std::size_t>(lap), std::byte{2}));
        ASSERT_TRUE(ring->empty());
    }
}

TEST(PacketRingTest, AFullRingTakesNothingUntilThereIsRoom) {
    const auto ring = make_ring();
    const Bytes contents(PacketRing::granule_bytes, std::byte{7});
    std::size_t count = 0;
    while (push(*ring, contents)) {
        ++count;
    }
    EXPECT_EQ(count, PacketRing::bytes_min / PacketRing::granule_bytes) << "all of it can be used";
    EXPECT_FALSE(ring->has_room());
    EXPECT_FALSE(push(*ring, Bytes(1, std::byte{0})));
    EXPECT_EQ(pop(*ring), contents);
    EXPECT_FALSE(push(*ring, Bytes(PacketRing::granule_bytes + 1, std::byte{0})));
    EXPECT_TRUE(push(*ring, contents));
    for (; count != 0; --count) {
        ASSERT_EQ(pop(*ring), contents);
    }
    EXPECT_TRUE(ring->empty());
}

TEST(PacketRingTest, OfABatchTheFirstOnesGoIn) {
    const auto ring = make_ring();
    Random random(4);
    std::vector<PacketBuffer> buffers;
    std::vector<Packet> batch;
    for (int i = 0; i < 6; ++i) {
        buffers.emplace_back(make_packet(random, 60'000));
    }
    for (const PacketBuffer& buffer : buffers) {
        batch.push_back(buffer.packet());
    }
    ASSERT_EQ(ring->push(batch), 4U);
    const Room room;
    PacketInfo info;
    for (int i = 0; i < 4; ++i) {
        ASSERT_EQ(ring->pop(info, room.pieces()), 60'000U);
    }
    EXPECT_EQ(ring->push(std::span<const Packet>(batch).subspan(4)), 2U);
}

TEST(PacketRingTest, SignalsOnceForWhatWasAskedFor) {
    const auto ring = make_ring();
    EdgeWatch watch(ring->fd());
    const Bytes contents(100, std::byte{1});
    ASSERT_TRUE(push(*ring, contents));
    EXPECT_FALSE(watch.signalled(0)) << "nobody has asked";
    EXPECT_FALSE(ring->arm()) << "there is one";
    ASSERT_TRUE(push(*ring, contents));
    EXPECT_FALSE(watch.signalled(0)) << "a refused arm() asks for nothing";
    pop(*ring);
    pop(*ring);
    ASSERT_TRUE(ring->arm());
    ASSERT_TRUE(push(*ring, contents));
    EXPECT_TRUE(watch.signalled(0));
    ASSERT_TRUE(push(*ring, contents));
    EXPECT_FALSE(watch.signalled(0)) << "once";
    pop(*ring);
    pop(*ring);
    ASSERT_TRUE(ring->arm());
    ring->disarm();
    ASSERT_TRUE(push(*ring, contents));
    EXPECT_FALSE(watch.signalled(0));
}

TEST(PacketRingTest, IsUnusedUntilSomethingComesAndWhenItHasGone) {
    const auto ring = make_ring();
    EXPECT_TRUE(ring->unused());
    ASSERT_TRUE(push(*ring, Bytes(100, std::byte{1})));
    EXPECT_FALSE(ring->unused());
    pop(*ring);
    EXPECT_TRUE(ring->unused());
}

TEST(PacketRingTest, SignalsRoomOnceForWhatWasAskedFor) {
    const auto ring = make_ring();
    EdgeWatch watch(ring->room_fd());
    EXPECT_FALSE(ring->arm_room()) << "there is room";
    const Bytes contents(60'000, std::byte{1});
    while (push(*ring, contents)) {
    }
    ASSERT_TRUE(ring->arm_room());
    ring->signal_room();
    EXPECT_FALSE(watch.signalled(0)) << "there is none";
    pop(*ring);
    pop(*ring);
    ring->signal_room();
    EXPECT_TRUE(watch.signalled(0));
    pop(*ring);
    ring->signal_room();
    EXPECT_FALSE(watch.signalled(0)) << "once";
}

/// What a producer writes into a packet and the consumer checks.
struct Stamp {
    std::uint32_t producer = 0;
    std::uint32_t number = 0;
};

std::size_t length_of(Stamp stamp) {
    return sizeof(Stamp) + (stamp.number * 7919U + stamp.producer * 104729U) % 3000U;
}

Bytes stamped(Stamp stamp) {
    Bytes contents(length_of(stamp), static_cast<std::byte>(stamp.number));
    std::memcpy(contents.data(), &stamp, sizeof stamp);
    return contents;
}

/// Producers and a consumer that sleep whenever they may: nobody oversleeps, every packet arrives once, whole, and in its producer's order.
void race(std::uint32_t producers, std::uint32_t packets_each, bool consumer_sleeps) {
    const auto ring = make_ring();
    std::vector<std::thread> threads;
    std::atomic<bool> failed{false};
    for (std::uint32_t producer = 0; producer < producers; ++producer) {
        threads.emplace_back([&, producer] {
            EdgeWatch room(ring->room_fd());
            for (std::uint32_t number = 0; number < packets_each && !failed; ++number) {
                const PacketBuffer buffer(stamped({producer, number}), 1 + number % 3,
                                          numbered(static_cast<std::uint16_t>(number)));
                while (!ring->push(buffer.packet()) && !failed) {
                    if (ring->arm_room() && !room.signalled()) {
                        failed = true;
                    }
                }
            }
        });
    }
    EdgeWatch packet(ring->fd());
    const Room room(2);
    std::vector<std::uint32_t> next(producers, 0);
    for (std::uint64_t left = std::uint64_t{producers} * packets_each; left != 0 && !failed;) {
        PacketInfo info;
        const std::uint32_t bytes = ring->pop(info, room.pieces());
        if (bytes == 0) {
            if (consumer_sleeps && ring->arm() && !packet.signalled()) {
                failed = true;
            }
            continue;
        }
        ring->signal_room();
        const Bytes contents = room.first(bytes);
        Stamp stamp;
        std::memcpy(&stamp, contents.data(), sizeof stamp);
        if (stamp.producer >= producers || stamp.number != next[stamp.producer]++ || contents != stamped(stamp) ||
            info != numbered(static_cast<std::uint16_t>(stamp.number))) {
            failed = true;
            ADD_FAILURE() << "packet " << stamp.number << " of producer " << stamp.producer;
        }
        --left;
    }
    EXPECT_FALSE(failed) << "somebody slept on, or a packet was not what it should have been";
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(next, failed ? next : std::vector<std::uint32_t>(producers, packets_each));
    EXPECT_TRUE(ring->empty() || failed);
}

TEST(PacketRingTest, OneProducerRaces) {
    race(1, 50'000, true);
}

TEST(PacketRingTest, ManyProducersRace) {
    race(4, 10'000, true);
}

TEST(PacketRingTest, ManyProducersRaceWithAPollingConsumer) {
    race(3, 10'000, false);
}

void dawdle(std::uint32_t steps) {
    static std::atomic<std::uint32_t> nothing{0};
    for (std::uint32_t step = 0; step < steps; ++step) {
        nothing.load(std::memory_order_acquire);
    }
}

/// A packet at a time, each at a slightly different moment of the consumer's way to sleep: what the two barriers are for.
TEST(PacketRingTest, NoPacketIsSleptOn) {
    const auto ring = make_ring();
    constexpr std::uint32_t rounds = 50'000;
    std::atomic<std::uint32_t> taken{0};
    std::atomic<bool> failed{false};
    std::thread producer([&] {
        const PacketBuffer buffer(Bytes(14, std::byte{1}));
        for (std::uint32_t round = 0; round < rounds && !failed; ++round) {
            ring->push(buffer.packet());
            while (taken.load(std::memory_order_relaxed) == round && !failed) {
            }
            dawdle(round % 97);
        }
    });
    EdgeWatch packet(ring->fd());
    const Room room;
    PacketInfo info;
    for (std::uint32_t round = 0; round < rounds && !failed;) {
        if (ring->pop(info, room.pieces()) != 0) {
            taken.store(++round, std::memory_order_relaxed);
            dawdle(round % 331);
        } else if (ring->arm() && !packet.signalled(5'000)) {
            failed = true;
        }
    }
    producer.join();
    EXPECT_FALSE(failed) << "after " << taken;
}

}  // namespace
}  // namespace sidecore::network::test
