// SPDX-License-Identifier: Apache-2.0
#include "device/token_bucket.hh"

#include <algorithm>
#include <array>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::device {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t second = 1'000'000'000;
constexpr TokenRate one_a_microsecond{1, 1000};

/// Bytes at so many bits per second, as limits have them.
constexpr TokenRate bytes_at(std::uint64_t bits_per_s) {
    return {bits_per_s, 8 * second};
}

Wide brought(TokenRate rate, std::uint64_t time_ns) {
    return Wide{time_ns} * rate.tokens / rate.per_ns;
}

TEST(TokenBucketTest, IsFullAtFirstAndFillsAtItsRate) {
    TokenBucket bucket(one_a_microsecond, 10, 5000);
    EXPECT_TRUE(bucket.take(4, 5000));
    EXPECT_FALSE(bucket.take(7, 5000));
    EXPECT_EQ(bucket.wait_ns(7, 5000), 1000U);
    EXPECT_FALSE(bucket.take(7, 5999));
    EXPECT_EQ(bucket.wait_ns(7, 5999), 1U);
    EXPECT_TRUE(bucket.take(7, 6000));
    EXPECT_EQ(bucket.wait_ns(10, 6000), 10'000U);
    EXPECT_FALSE(bucket.take(11, 15'999)) << "all of a full bucket is the most that can be asked for";
    EXPECT_TRUE(bucket.take(10, 1'000'000)) << "it does not run over";
    EXPECT_FALSE(bucket.take(1, 1'000'000));
}

TEST(TokenBucketTest, TakesAsManyAsThereIsEnoughFor) {
    TokenBucket bucket(one_a_microsecond, 10, 0);
    EXPECT_EQ(bucket.take(std::array<std::uint64_t, 4>{3, 3, 3, 3}, 0), 3U);
    EXPECT_EQ(bucket.take(std::array<std::uint64_t, 2>{1, 1}, 0), 1U);
    EXPECT_EQ(bucket.take(std::array<std::uint64_t, 2>{1, 1}, 0), 0U);
    EXPECT_EQ(bucket.take(std::span<const std::uint64_t>{}, 0), 0U);
    bucket.give_back(4);
    EXPECT_EQ(bucket.take(std::array<std::uint64_t, 3>{2, 2, 2}, 0), 2U);
}

TEST(TokenBucketTest, WhatCostsMoreThanTheBurstWaitsForAFullBucketAndLeavesADebt) {
    TokenBucket bucket(one_a_microsecond, 10, 0);
    EXPECT_EQ(bucket.take(std::array<std::uint64_t, 2>{25, 1}, 0), 1U);
    EXPECT_FALSE(bucket.take(1, 15'999));
    EXPECT_EQ(bucket.wait_ns(1, 0), 16'000U);
    EXPECT_TRUE(bucket.take(1, 16'000));
    EXPECT_FALSE(bucket.take(25, 24'999));
    EXPECT_EQ(bucket.wait_ns(25, 16'000), 10'000U);
    EXPECT_TRUE(bucket.take(25, 26'000));
}

TEST(TokenBucketTest, ACreditIsPaidBackToo) {
    TokenBucket bucket(one_a_microsecond, 10, 0);
    bucket.charge(30, 0);
    EXPECT_FALSE(bucket.take(1, 20'999));
    EXPECT_TRUE(bucket.take(1, 21'000));
    bucket.charge(1, 1'000'000);
    EXPECT_FALSE(bucket.take(10, 1'000'000));
    EXPECT_TRUE(bucket.take(9, 1'000'000));
}

TEST(TokenBucketTest, AClockReadBeforeItsBeginningIsItsBeginning) {
    TokenBucket bucket(one_a_microsecond, 10, 1'000'000);
    EXPECT_TRUE(bucket.take(10, 999'000));
    EXPECT_FALSE(bucket.take(1, 999'000));
    EXPECT_EQ(bucket.wait_ns(1, 1'000'000), 1000U);
}

/// Always hungry: in the long run it gets what the rate says to within one packet, and in no time more than that and the burst.
TEST(TokenBucketTest, GivesWhatTheRateSaysAndNeverMore) {
    std::mt19937_64 random(7);
    for (const TokenRate rate : {bytes_at(1), bytes_at(9'600), bytes_at(1'000'003), bytes_at(1'000'000'000),
                                 bytes_at(99'999'999'989), bytes_at(400'000'000'000), TokenRate{1, second},
                                 TokenRate{7, second}, TokenRate{14'880'952, second}, TokenRate{second, second}}) {
        constexpr std::uint64_t longest = 1514;
        const std::uint64_t burst = 3000;
        const std::uint64_t begin_ns = random() % (second * 1'000'000);
        TokenBucket bucket(rate, burst, begin_ns);
        const auto packet_ns = static_cast<std::uint64_t>(Wide{longest} * rate.per_ns / rate.tokens) + 1;
        std::uint64_t now = begin_ns;
        Wide given = 0;
        std::deque<std::pair<std::uint64_t, Wide>> before;  // some moments, and what had been given until then
        for (int i = 0; i < 5000; ++i) {
            const std::uint64_t cost = 1 + random() % longest;
            // Now and then late by less than the burst lasts, so that nothing runs over.
            const std::uint64_t wait = bucket.wait_ns(cost, now);
            ASSERT_TRUE(wait == 0 || !bucket.take(cost, now + wait - 1)) << "it said " << wait;
            now += wait + (i % 16 == 8 ? random() % (packet_ns / 2) : 0);
            if (i % 100 == 0) {
                before.emplace_back(now, given);
            }
            ASSERT_TRUE(bucket.take(cost, now));
            given += cost;
            for (const auto& [moment, until_then] : before) {
                ASSERT_TRUE(given - until_then <= burst + brought(rate, now - moment) + 1);
            }
            if (before.size() > 20) {
                before.pop_front();
            }
        }
        ASSERT_TRUE(given <= burst + brought(rate, now - begin_ns));
        EXPECT_TRUE(given + longest >= burst + brought(rate, now - begin_ns))
            << rate.tokens << " in " << rate.per_ns << " ns, after " << (now - begin_ns) << " ns";
    }
}

TEST(TokenBucketTest, LastsForYearsAtTheExtremes) {
    constexpr std::uint64_t year = 365 * 86'400 * second;
    TokenBucket fast(bytes_at(400'000'000'000), 500'000'000, 0);
    for (std::uint64_t now = 0; now < 40 * year; now += year) {  // all 2^64 bytes go by several times
        EXPECT_TRUE(fast.take(500'000'000, now)) << now / year;
        EXPECT_FALSE(fast.take(1, now)) << now / year;
        EXPECT_EQ(fast.wait_ns(500'000'000, now), second / 100) << now / year;
    }
    TokenBucket slow(bytes_at(1), 65'557, 10 * year);
    EXPECT_TRUE(slow.take(65'557, 11 * year));
    EXPECT_EQ(slow.wait_ns(65'557, 11 * year), 65'557 * 8 * second);
    slow.charge(4'000'000'000, 11 * year);
    EXPECT_FALSE(slow.take(1, 12 * year));
    EXPECT_GT(slow.wait_ns(1, 12 * year), 500 * year);
    TokenBucket most(TokenRate{second, second}, 10'000'000, 0);
    EXPECT_TRUE(most.take(10'000'000, 100 * year));
    EXPECT_EQ(most.wait_ns(1, 100 * year), 1U);
}

}  // namespace
}  // namespace sidecore::device
