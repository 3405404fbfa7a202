// SPDX-License-Identifier: Apache-2.0
#include "engine/spin_rule.hh"

#include <gtest/gtest.h>

#include "engine/costs.hh"

namespace sidecore::engine {
namespace {

constexpr double price = 5'000;

TEST(SpinRule, LooksOnForThePriceAtFirst) {
    SpinRule rule;
    EXPECT_EQ(rule.begin(1'000'000, price), 1'005'000U);
}

TEST(SpinRule, LearnsToSleepAtOnceFromGapsThatAreLong) {
    SpinRule rule;
    std::uint64_t now = 0;
    for (int i = 0; i < 10; ++i) {
        rule.begin(now, price);
        now += 1'000'000;
        rule.end(now);
    }
    EXPECT_EQ(rule.begin(now, price), now);
}

TEST(SpinRule, CountsToTheArrivalAndNotToTheNoticing) {
    // Work comes 1 us after the rest began, but a slow wake-up shows it 100 us later.
    SpinRule rule;
    std::uint64_t now = 0;
    for (int i = 0; i < 100; ++i) {
        rule.begin(now, price);
        rule.end(now + 1'000);
        now += 101'000;
    }
    EXPECT_GE(rule.begin(now, price), now + 1'000);
    EXPECT_EQ(rule.figures().paid_ns, price + 100 * 1'000);
}

TEST(SpinRule, WorkThatCameBeforeTheRestBeganIsNoGap) {
    SpinRule rule;
    rule.begin(1'000, price);
    rule.end(900);
    EXPECT_EQ(rule.figures().gaps, 0U);
}

TEST(SpinRule, ARestThatBeginsAnewForgetsTheOneBefore) {
    SpinRule rule;
    rule.begin(0, price);
    rule.begin(1'000'000, price);
    rule.end(1'000'700);
    EXPECT_EQ(rule.figures().gaps, 1U);
    EXPECT_EQ(rule.figures().paid_ns, price + 700);
}

TEST(SpinRule, GoesByThePriceOfTheHour) {
    SpinRule rule;
    std::uint64_t now = 0;
    for (int i = 0; i < 100; ++i) {
        rule.begin(now, price);
        now += 20'000;
        rule.end(now);
    }
    ASSERT_EQ(rule.begin(now, price), now);
    EXPECT_GE(rule.begin(now, 10 * price), now + 20'000);  // a queue that minds latency has come
}

TEST(SpinRule, TakesAnyPrice) {
    for (const double odd : {-1.0, 0.0, 1e300}) {
        SpinRule rule;
        EXPECT_GT(rule.begin(7, odd), 7U);
        EXPECT_LE(rule.begin(7, odd), 7 + ThresholdLearner::highest_price_ns);
    }
}

}  // namespace
}  // namespace sidecore::engine
