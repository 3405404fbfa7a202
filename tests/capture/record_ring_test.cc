// SPDX-License-Identifier: Apache-2.0
#include "capture/record_ring.hh"

#include <array>
#include <cstring>
#include <poll.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::capture {
namespace {

using Level = RecordRing::Level;

constexpr std::size_t ring_bytes = 4096;  // 64 granules
constexpr std::uint32_t one_granule = RecordRing::granule_bytes - sizeof(Record);

std::vector<std::byte> filled(std::size_t bytes, std::uint32_t seed) {
    std::vector<std::byte> data(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        data[i] = static_cast<std::byte>(i * 7 + seed);
    }
    return data;
}

class Ring : public testing::Test {
protected:
    std::unique_ptr<RecordRing> ring = RecordRing::create(ring_bytes).value();

    bool push(std::uint32_t bytes, std::uint32_t number = 0) {
        std::vector<std::byte> data = filled(bytes, number);
        const iovec piece{data.data(), data.size()};
        const bool pushed = ring->push({number, bytes, bytes, 0, Direction::in}, {&piece, 1});
        ring->wake();
        return pushed;
    }
    /// The next record's number; its bytes are as push() made them.
    std::uint64_t pop() {
        const auto record = ring->front();
        if (!record) {
            return UINT64_MAX;
        }
        std::vector<std::byte> data(record->captured_bytes);
        ring->pop(data);
        EXPECT_EQ(data, filled(record->captured_bytes, static_cast<std::uint32_t>(record->time_ns)));
        return record->time_ns;
    }
    bool signalled() const {
        pollfd waiting{ring->fd(), POLLIN, 0};
        ::poll(&waiting, 1, 0);
        return drain_eventfd(ring->fd());
    }
};

TEST_F(Ring, RecordsComeOutAsTheyWentIn) {
    std::array<std::byte, 100> data{};
    std::memcpy(data.data(), "first", 5);
    std::memcpy(data.data() + 50, "second", 6);
    const std::array<iovec, 2> pieces{{{data.data(), 5}, {data.data() + 50, 50}}};
    const Record record{123456789, 1500, 11, 3, Direction::out};
    ASSERT_TRUE(ring->push(record, pieces)) << "only captured_bytes are taken, out of pieces that have more";
    ASSERT_EQ(ring->front(), record);
    std::array<char, 11> out{};
    ring->pop(std::as_writable_bytes(std::span(out)));
    EXPECT_EQ(std::string_view(out.data(), out.size()), "firstsecond");
    EXPECT_EQ(ring->front(), std::nullopt);
}

TEST_F(Ring, LengthsOfAllKindsGoRoundTheEnd) {
    std::uint32_t in = 0;
    std::uint32_t out = 0;
    for (std::uint32_t bytes = 0; bytes < 1000; ++bytes) {
        while (push(bytes, in)) {
            ++in;
        }
        ASSERT_LT(out, in);
        for (int i = 0; i < 3 && out < in; ++i) {
            ASSERT_EQ(pop(), out++);
        }
    }
    while (out < in) {
        ASSERT_EQ(pop(), out++);
    }
    EXPECT_EQ(pop(), UINT64_MAX);
}

TEST_F(Ring, WhatFindsNoRoomIsRefusedAndTheRestStays) {
    std::uint32_t pushed = 0;
    while (push(one_granule, pushed)) {
        ++pushed;
    }
    EXPECT_EQ(pushed, 64U) << "of a granule each";
    EXPECT_FALSE(push(0));
    EXPECT_EQ(pop(), 0U);
    EXPECT_FALSE(push(one_granule + 1)) << "two granules";
    EXPECT_TRUE(push(one_granule, 64));
    for (std::uint32_t i = 1; i <= 64; ++i) {
        EXPECT_EQ(pop(), i);
    }
}

TEST_F(Ring, TheConsumerIsWokenOnceForTheFirstRecord) {
    push(10);
    EXPECT_FALSE(signalled()) << "nobody asked";
    EXPECT_FALSE(ring->arm(Level::any)) << "there is one";
    pop();
    EXPECT_TRUE(ring->arm(Level::any));
    EXPECT_FALSE(signalled());
    push(10);
    EXPECT_TRUE(signalled());
    push(10);
    EXPECT_FALSE(signalled());
}

TEST_F(Ring, TheConsumerIsWokenWhenItIsHalfFull) {
    ASSERT_TRUE(ring->arm(Level::half));
    for (int i = 0; i < 31; ++i) {
        push(one_granule);
    }
    EXPECT_FALSE(signalled());
    push(one_granule);
    EXPECT_TRUE(signalled());
    EXPECT_FALSE(ring->arm(Level::half));
    pop();
    EXPECT_TRUE(ring->arm(Level::half));
}

TEST_F(Ring, SizesHaveBounds) {
    EXPECT_EQ(RecordRing::create(RecordRing::bytes_min - 1).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(RecordRing::create(RecordRing::bytes_max + 1).error().kind, ErrorKind::out_of_range);
    EXPECT_TRUE(RecordRing::create(RecordRing::bytes_min + 1));
}

TEST_F(Ring, NothingIsLostTwistedOrSleptOnWithManyProducers) {
    constexpr std::uint32_t producers = 3;
    constexpr std::uint32_t each = 20'000;
    std::vector<std::thread> threads;
    threads.reserve(producers);
    for (std::uint32_t producer = 0; producer < producers; ++producer) {
        threads.emplace_back([this, producer] {
            for (std::uint32_t i = 0; i < each; ++i) {
                std::vector<std::byte> data = filled(i % 300, i);
                const iovec piece{data.data(), data.size()};
                const auto bytes = static_cast<std::uint32_t>(data.size());
                while (!ring->push({i, bytes, bytes, producer, Direction::out}, {&piece, 1})) {
                    std::this_thread::yield();
                }
                ring->wake();
            }
        });
    }
    std::array<std::uint32_t, producers> next{};
    std::vector<std::byte> data(300);
    for (std::uint32_t popped = 0; popped < producers * each;) {
        const auto record = ring->front();
        if (!record) {
            if (ring->arm(Level::any)) {
                pollfd waiting{ring->fd(), POLLIN, 0};
                constexpr int patience_ms = 20'000;
                ASSERT_EQ(::poll(&waiting, 1, patience_ms), 1) << "a wake-up is lost";
                drain_eventfd(ring->fd());
            }
            continue;
        }
        ASSERT_LT(record->queue, producers);
        ASSERT_EQ(record->time_ns, next.at(record->queue)++);
        ring->pop(data);
        const std::vector<std::byte> wanted =
            filled(record->captured_bytes, static_cast<std::uint32_t>(record->time_ns));
        ASSERT_TRUE(std::equal(wanted.begin(), wanted.end(), data.begin()));
        ++popped;
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(ring->front(), std::nullopt);
}

}  // namespace
}  // namespace sidecore::capture
