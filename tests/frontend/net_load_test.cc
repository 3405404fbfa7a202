// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_load.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/big_endian.hh"
#include "frontend/allocation_counter.hh"
#include "frontend/device_side.hh"
#include "frontend/net_pattern.hh"

namespace sidecore::frontend {
namespace {

using test::DeviceSide;
using test::frame_of;

constexpr std::uint64_t modern = 1ULL << 32U;
constexpr std::uint64_t merging = modern | 1ULL << 15U;

/// Both queues of a pair, and a device that the test moves by hand.
struct LoadBench {
    explicit LoadBench(const NetLoadOptions& options, std::uint64_t features = modern)
        : memory(*GuestMemoryFile::create(32U << 20U)),
          receive_queue(*DriverQueue::create(memory, {.size = 64})),
          transmit_queue(*DriverQueue::create(memory, {.size = 64})),
          transmit(*NetTransmitLoad::create(memory, transmit_queue, features, frame_of(64), options)),
          receive(*NetReceiveLoad::create(memory, receive_queue, features, options)),
          transmit_side(memory, transmit_queue),
          receive_side(memory, receive_queue) {}

    /// The frames that are on their way, latest first if wanted.
    std::vector<std::vector<std::byte>> take_all(bool backwards = false) {
        std::vector<std::uint16_t> heads;
        for (; taken != transmit_side.available_index(); ++taken) {
            heads.push_back(transmit_side.available_entry(taken));
        }
        if (backwards) {
            std::reverse(heads.begin(), heads.end());
        }
        std::vector<std::vector<std::byte>> frames;
        for (const std::uint16_t head : heads) {
            std::vector<std::byte> bytes;
            for (const auto& buffer : transmit_side.chain(head)) {
                bytes.insert(bytes.end(), transmit_side.host(buffer), transmit_side.host(buffer) + buffer.length);
            }
            frames.push_back(bytes);
            transmit_side.use(head, 0);
        }
        return frames;
    }

    /// Header with num_buffers, and frame, into the next buffers, each filled.
    void put(std::uint16_t buffers, std::span<const std::byte> frame) {
        std::vector<std::byte> bytes(12);
        std::memcpy(bytes.data() + 10, &buffers, 2);
        bytes.insert(bytes.end(), frame.begin(), frame.end());
        std::size_t done = 0;
        while (done < bytes.size()) {
            const std::uint16_t head = receive_side.available_entry(given++);
            std::uint32_t length = 0;
            for (const auto& buffer : receive_side.chain(head)) {
                const auto count = std::min<std::size_t>(buffer.length, bytes.size() - done);
                std::memcpy(receive_side.host(buffer), bytes.data() + done, count);
                done += count;
                length += static_cast<std::uint32_t>(count);
            }
            receive_side.use(head, length);
        }
    }

    GuestMemoryFile memory;
    DriverQueue receive_queue;
    DriverQueue transmit_queue;
    NetTransmitLoad transmit;
    NetReceiveLoad receive;
    DeviceSide transmit_side;
    DeviceSide receive_side;
    std::uint16_t taken = 0;
    std::uint16_t given = 0;
};

struct LoadCase {
    std::string name;
    bool header_apart;
    bool indirect;
    friend void PrintTo(const LoadCase& test, std::ostream* out) { *out << test.name; }
};

class LoadChains : public testing::TestWithParam<LoadCase> {
protected:
    static NetLoadOptions options(std::uint16_t depth, bool rewrite = false) {
        return {.depth = depth,
                .buffer_bytes = 256,
                .header_apart = GetParam().header_apart,
                .indirect = GetParam().indirect,
                .rewrite_descriptors = rewrite};
    }
    static std::vector<std::uint32_t> lengths(const std::vector<DeviceSide::Buffer>& chain, bool writable) {
        std::vector<std::uint32_t> lengths;
        for (const auto& buffer : chain) {
            EXPECT_EQ(buffer.writable(), writable);
            lengths.push_back(buffer.length);
        }
        return lengths;
    }
};

TEST_P(LoadChains, CarryHeaderAndFrame) {
    LoadBench bench(options(4));
    const bool apart = GetParam().header_apart;
    const std::uint16_t descriptors = apart && !GetParam().indirect ? 8 : 4;
    EXPECT_EQ(bench.transmit_queue.free_descriptors(), 64 - descriptors);
    EXPECT_EQ(bench.receive_queue.free_descriptors(), 64 - descriptors);
    EXPECT_EQ(bench.receive_side.available_index(), 4) << "offered and published";
    const auto writable = lengths(bench.receive_side.chain(bench.receive_side.available_entry(0)), true);
    EXPECT_EQ(writable, apart ? (std::vector<std::uint32_t>{12, 244}) : (std::vector<std::uint32_t>{256}));

    EXPECT_EQ(bench.transmit.send(3), 3U);
    const auto readable = lengths(bench.transmit_side.chain(bench.transmit_side.available_entry(0)), false);
    EXPECT_EQ(readable, apart ? (std::vector<std::uint32_t>{12, 64}) : (std::vector<std::uint32_t>{76}));
    const auto frames = bench.take_all();
    ASSERT_EQ(frames.size(), 3U);
    std::vector<std::byte> expected(12);
    const auto frame = frame_of(64);
    expected.insert(expected.end(), frame.begin(), frame.end());
    EXPECT_EQ(frames[2], expected);
}

TEST_P(LoadChains, AreWrittenAgainIfWanted) {
    for (const bool rewrite : {false, true}) {
        LoadBench bench(options(1, rewrite));
        bench.transmit.send(1);
        const auto before = bench.transmit_side.chain(bench.transmit_side.available_entry(0));
        bench.take_all();
        ASSERT_EQ(bench.transmit.reclaim(), 1U);
        // Something that does not belong there, in the length of the last descriptor.
        std::byte* const table = GetParam().indirect ? bench.transmit_side.host(bench.transmit_side.descriptor(0))
                                                     : bench.transmit_queue.ring().descriptor_area().host;
        const std::uint32_t spoilt = 7;
        std::memcpy(table + 16 * (before.size() - 1) + 8, &spoilt, sizeof spoilt);
        bench.transmit.send(1);
        const auto after = bench.transmit_side.chain(bench.transmit_side.available_entry(1));
        ASSERT_EQ(after.size(), before.size());
        EXPECT_EQ(after.back().length, rewrite ? before.back().length : spoilt);
        EXPECT_EQ(after.back().address, before.back().address);
    }
}

INSTANTIATE_TEST_SUITE_P(Forms, LoadChains,
                         testing::Values(LoadCase{"InOne", false, false}, LoadCase{"Apart", true, false},
                                         LoadCase{"IndirectInOne", false, true}, LoadCase{"IndirectApart", true, true}),
                         [](const auto& test) { return test.param.name; });

TEST(NetTransmitLoad, KeepsItsDepth) {
    LoadBench bench({.depth = 16});
    for (unsigned round = 0; round < 300; ++round) {
        ASSERT_EQ(bench.transmit.idle(), 16U);
        EXPECT_EQ(bench.transmit.send(10), 10U);
        EXPECT_EQ(bench.transmit.send(10), 6U);
        EXPECT_EQ(bench.transmit.send(10), 0U);
        EXPECT_EQ(bench.transmit.reclaim(), 0U);
        ASSERT_EQ(bench.take_all(round % 2 == 1).size(), 16U);
        ASSERT_EQ(bench.transmit.reclaim(), 16U);
    }
    EXPECT_EQ(bench.transmit_queue.statistics().publications, 600U) << "one for each send()";
    EXPECT_EQ(bench.transmit.used(), 4800U);
}

TEST(NetTransmitLoad, FramesMayBeChanged) {
    LoadBench bench({.depth = 2});
    ASSERT_EQ(bench.transmit.next_frame().size(), 64U);
    bench.transmit.next_frame()[63] = std::byte{0xee};
    bench.transmit.send(2);
    const auto frames = bench.take_all();
    EXPECT_EQ(frames[0].back(), std::byte{0xee});
    EXPECT_EQ(frames[1].back(), frame_of(64).back());
}

TEST(NetReceiveLoad, CountsAndOffersAgain) {
    LoadBench bench({.depth = 8, .buffer_bytes = 128});
    for (unsigned round = 0; round < 100; ++round) {
        for (std::size_t i = 0; i < 5; ++i) {
            bench.put(1, frame_of(60 + i, round));
        }
        std::size_t seen = 0;
        const std::size_t count = bench.receive.receive([&](std::span<const std::byte> frame) {
            const auto expected = frame_of(60 + seen++, round);
            EXPECT_TRUE(std::equal(frame.begin(), frame.end(), expected.begin(), expected.end()));
        });
        EXPECT_EQ(count, 5U);
        EXPECT_EQ(bench.receive.receive(), 0U);
        EXPECT_EQ(bench.receive_side.available_index(), 8 + 5 * (round + 1)) << "all are there again";
    }
    EXPECT_EQ(bench.receive.counts().frames, 500U);
    EXPECT_EQ(bench.receive.counts().bytes, 100U * (60 + 61 + 62 + 63 + 64));
    EXPECT_EQ(bench.receive.counts().faults, 0U);
}

TEST(NetReceiveLoad, CountsMergedFramesOnce) {
    LoadBench bench({.depth = 8, .buffer_bytes = 100}, merging);
    bench.put(3, frame_of(250));
    bench.put(1, frame_of(60));
    bench.put(2, frame_of(188));
    std::vector<std::size_t> sizes;
    EXPECT_EQ(bench.receive.receive([&](std::span<const std::byte> frame) { sizes.push_back(frame.size()); }), 3U);
    EXPECT_EQ(sizes, (std::vector<std::size_t>{88, 60, 88})) << "as far as the first buffer goes";
    EXPECT_EQ(bench.receive.counts().frames, 3U);
    EXPECT_EQ(bench.receive.counts().bytes, 250U + 60U + 188U);
}

TEST(NetReceiveLoad, CountsWhatIsWrong) {
    LoadBench bench({.depth = 8});
    bench.put(0, frame_of(60));
    bench.put(2, frame_of(60));
    const std::uint16_t head = bench.receive_side.available_entry(bench.given++);
    bench.receive_side.use(head, 11);
    bench.put(1, frame_of(60));
    EXPECT_EQ(bench.receive.receive(), 1U);
    EXPECT_EQ(bench.receive.counts().faults, 3U);
    EXPECT_EQ(bench.receive.counts().bytes, 60U);
}

std::uint32_t number_of(const std::vector<std::byte>& frame) {
    return load_big_endian<std::uint32_t>(std::span(frame).last(NetRequestResponse::number_bytes));
}

TEST(NetRequestResponse, SeveralAreUnderWayAndCountFromWhenTheyAreSaidTo) {
    LoadBench bench({.depth = 8});
    NetRequestResponse exchange(bench.transmit, bench.receive, 1000, 4);
    for (std::uint64_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(exchange.start(100 + i, 110));
    }
    EXPECT_FALSE(exchange.start(104, 110)) << "four are under way";
    const auto frames = bench.take_all();
    ASSERT_EQ(frames.size(), 4U);
    for (const std::size_t i : {2U, 0U}) {  // in whatever order
        bench.put(1, std::span(frames[i]).subspan(12));
    }
    std::vector<std::uint64_t> took;
    exchange.take(120, [&](std::uint64_t time) { took.push_back(time); });
    EXPECT_EQ(took, (std::vector<std::uint64_t>{18, 20}));
    EXPECT_TRUE(exchange.start(120, 120)) << "the first is back, and the fifth has its place";
    EXPECT_FALSE(exchange.start(121, 121)) << "the second is not";
    bench.put(1, std::span(frames[2]).subspan(12));
    exchange.take(1110, [](std::uint64_t) {});
    EXPECT_EQ(exchange.strangers(), 1U) << "it was answered before";
    EXPECT_EQ(exchange.lost(), 0U);
    exchange.take(1111, [](std::uint64_t) {});
    EXPECT_EQ(exchange.lost(), 2U) << "the second and the fourth, since they were sent";
    EXPECT_TRUE(exchange.start(1111, 1111));
    EXPECT_EQ(exchange.responses(), 2U);
}

TEST(NetRequestResponse, TimesWhatComesBack) {
    LoadBench bench({.depth = 4});
    NetRequestResponse exchange(bench.transmit, bench.receive, 1000);
    EXPECT_FALSE(exchange.turn(100)) << "sends the first request";
    std::uint64_t now = 100;
    for (unsigned round = 1; round <= 300; ++round) {
        EXPECT_FALSE(exchange.turn(now + 5)) << "under way";
        const auto frames = bench.take_all();
        ASSERT_EQ(frames.size(), 1U) << "one at a time";
        EXPECT_EQ(number_of(frames[0]), round);
        bench.put(1, std::span(frames[0]).subspan(12));
        now += 10 + round;
        const auto took = exchange.turn(now);
        ASSERT_TRUE(took);
        EXPECT_EQ(*took, 10 + round) << "the request left in the turn in which the last response came";
    }
    EXPECT_EQ(exchange.responses(), 300U);
    EXPECT_EQ(exchange.lost(), 0U);
    EXPECT_EQ(exchange.strangers(), 0U);
}

TEST(NetRequestResponse, WhatIsLostIsAskedAgain) {
    LoadBench bench({.depth = 4});
    NetRequestResponse exchange(bench.transmit, bench.receive, 1000);
    EXPECT_FALSE(exchange.turn(1));
    const auto first = bench.take_all();
    ASSERT_EQ(first.size(), 1U);
    EXPECT_FALSE(exchange.turn(1001));
    EXPECT_EQ(exchange.lost(), 0U) << "not yet";
    EXPECT_FALSE(exchange.turn(1002));
    EXPECT_EQ(exchange.lost(), 1U);
    const auto second = bench.take_all();
    ASSERT_EQ(second.size(), 1U);
    EXPECT_EQ(number_of(second[0]), 2U);
    bench.put(1, std::span(first[0]).subspan(12));
    EXPECT_FALSE(exchange.turn(1010)) << "the answer to what was given up";
    EXPECT_EQ(exchange.strangers(), 1U);
    bench.put(1, std::span(second[0]).subspan(12));
    EXPECT_EQ(exchange.turn(1011), 9U);
    EXPECT_EQ(exchange.responses(), 1U);
}

TEST(NetLoads, AllocateNothingPerFrame) {
    LoadBench bench({.depth = 32});
    std::array<std::uint16_t, 32> heads{};
    const std::size_t before = test::allocations_in_this_thread();
    for (unsigned round = 0; round < 3000; ++round) {
        bench.transmit.send(32);
        for (std::uint16_t& head : heads) {
            head = bench.transmit_side.available_entry(bench.taken++);
        }
        for (const std::uint16_t head : heads) {
            bench.transmit_side.use(head, 0);
            const std::uint16_t into = bench.receive_side.available_entry(bench.given++);
            bench.receive_side.use(into, 12);
        }
        bench.transmit.reclaim();
        bench.receive.receive();
    }
    EXPECT_EQ(test::allocations_in_this_thread(), before);
    EXPECT_EQ(bench.transmit.used(), 96000U);
    EXPECT_EQ(bench.receive_queue.statistics().used, 96000U);
}

TEST(NetLoads, WhatCannotBeIsRefused) {
    auto memory = *GuestMemoryFile::create(8U << 20U);
    auto queue = *DriverQueue::create(memory, {.size = 64});
    const auto frame = frame_of(60);
    const auto deep = NetTransmitLoad::create(memory, queue, modern, frame, {.depth = 33, .header_apart = true});
    ASSERT_FALSE(deep) << "33 times 2 descriptors";
    EXPECT_EQ(deep.error().kind, ErrorKind::out_of_range);
    auto second = *DriverQueue::create(memory, {.size = 64});
    EXPECT_FALSE(NetTransmitLoad::create(memory, second, modern, {}, {.depth = 4}));
    EXPECT_FALSE(NetTransmitLoad::create(memory, second, modern, frame, {.depth = 0}));
    const auto small = NetReceiveLoad::create(memory, second, modern, {.depth = 4, .buffer_bytes = 12});
    ASSERT_FALSE(small) << "a header and no frame";
    EXPECT_EQ(small.error().kind, ErrorKind::invalid_argument);
    EXPECT_TRUE(NetReceiveLoad::create(memory, second, modern, {.depth = 64, .header_apart = true, .indirect = true}));
}

}  // namespace
}  // namespace sidecore::frontend
