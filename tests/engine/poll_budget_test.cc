// SPDX-License-Identifier: Apache-2.0
#include "engine/poll_budget.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

constexpr std::uint64_t us = 1'000;
constexpr std::uint64_t ms = 1'000'000;

TEST(PollBudget, AHundredPercentIsNoLimit) {
    PollBudget budget(100);
    EXPECT_FALSE(budget.limited());
    budget.spend(0, 1'000'000 * ms);
    EXPECT_TRUE(budget.open(1));
}

TEST(PollBudget, NothingAllowedIsNeverOpen) {
    PollBudget budget(0);
    EXPECT_FALSE(budget.open(0));
    EXPECT_FALSE(budget.open(1'000'000 * ms));
}

TEST(PollBudget, SpendsItsShareAndNoMore) {
    for (const std::uint32_t percent : {1U, 10U, 25U, 50U, 90U}) {
        PollBudget budget(percent);
        std::uint64_t spent = 0;
        const std::uint64_t end = 2'000 * ms;
        for (std::uint64_t now = 0; now < end; now += 10 * us) {
            if (budget.open(now)) {
                spent += 10 * us;
                budget.spend(now + 10 * us, 10 * us);
            }
        }
        const double share = 100.0 * static_cast<double>(spent) / static_cast<double>(end);
        EXPECT_LE(share, percent * 1.02) << percent;
        EXPECT_GE(share, percent * 0.97) << percent;
    }
}

TEST(PollBudget, OnceUsedUpItStaysClosedUntilThereIsCreditWorthUsing) {
    PollBudget budget(50);
    budget.open(0);
    budget.spend(10 * ms, 100 * ms);
    unsigned changes = 0;
    bool open = budget.open(10 * ms);
    ASSERT_FALSE(open);
    for (std::uint64_t now = 10 * ms; now < 1'000 * ms; now += 10 * us) {
        const bool next = budget.open(now);
        changes += next != open ? 1 : 0;
        open = next;
        if (open) {
            budget.spend(now, 10 * us);
        }
    }
    EXPECT_TRUE(changes > 2 && changes < 400) << changes;  // about twice per 5 ms, not per 20 µs
}

TEST(PollBudget, ReportsOutOfOrderChangeNothing) {
    PollBudget budget(50);
    budget.spend(100 * ms, ms);
    budget.spend(50 * ms, ms);
    EXPECT_TRUE(budget.open(100 * ms));
    budget.spend(100 * ms, 9 * ms);
    EXPECT_FALSE(budget.open(100 * ms));
}

TEST(SharedPollBudget, IsOneForAllWhoSpendFromIt) {
    SharedPollBudget budget(50);
    EXPECT_TRUE(budget.spend(0, 4 * ms));
    EXPECT_TRUE(budget.spend(0, 4 * ms));
    EXPECT_FALSE(budget.spend(0, 4 * ms));
    budget.set(100);
    EXPECT_TRUE(budget.open(0));
}

}  // namespace
}  // namespace sidecore::engine
