// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_adaptive.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

constexpr Costs costs{.check_ns = 2, .arm_ns = 40, .kick_ns = 600, .wake_ns = 160};
constexpr double pass_ns = 50;
// (arm + kick) * pass / check: with Prefer::cpu latency counts for nothing.
constexpr std::uint64_t price = 640 * 50 / 2;
// What the spin rule may wait for at most: 16 times arm + kick + wake.
constexpr std::uint64_t at_least = 16 * 800;

class AdaptivePolicyTest : public testing::Test {
protected:
    AdaptivePolicyTest() { EXPECT_EQ(policy.start(now, Mode::notified), Decision{}); }

    /// Work that comes `gap_ns` after the turn before it; the worker is awake all the time.
    Decision work_after(std::uint64_t gap_ns) {
        if (last.mode == Mode::polled && now + gap_ns > last.until_ns) {
            EXPECT_EQ(policy.on_idle(last.until_ns), Decision{});
        }
        now += gap_ns;
        last = policy.on_work({.now_ns = now + 10, .arrived_ns = now, .pass_ns = pass_ns});
        now += 10;
        return last;
    }

    AdaptivePolicy policy{Prefer::cpu, costs};
    std::uint64_t now = 1'000'000;
    Decision last;
};

TEST_F(AdaptivePolicyTest, PollsAfterTheFirstWorkForAsLongAsAKickIsWorth) {
    const Decision decision = work_after(123);
    EXPECT_EQ(decision, (Decision{Mode::polled, now + price}));
}

TEST_F(AdaptivePolicyTest, StaysPolledWhileWorkKeepsComing) {
    for (int i = 0; i < 1'000; ++i) {
        const Decision decision = work_after(price / 4);
        ASSERT_EQ(decision.mode, Mode::polled);
        ASSERT_GE(decision.until_ns, now + price / 4);
    }
}

TEST_F(AdaptivePolicyTest, LeavesAsSoonAsItMayOnceItHasLearnedThatWorkIsRare) {
    for (int i = 0; i < 10; ++i) {
        work_after(1'000 * price);
    }
    const Decision decision = work_after(1'000 * price);
    EXPECT_EQ(decision, (Decision{Mode::polled, now + at_least}));
    EXPECT_EQ(policy.figures().threshold_ns, at_least);
}

TEST_F(AdaptivePolicyTest, StaysForAsLongAsTheSpinRuleMayLookOn) {
    // It would cut the spin rule's waiting short if it were the last queue on the list.
    for (const Prefer prefer : {Prefer::cpu, Prefer::balanced, Prefer::latency}) {
        const Costs slow_to_wake{
            .check_ns = 2, .arm_ns = 40, .kick_ns = 600, .wake_ns = 20'000, .wake_latency_ns = 9'000};
        AdaptivePolicy other(prefer, slow_to_wake);
        other.start(0, Mode::notified);
        const double longest = 16 * slow_to_wake.sleep_price_ns(prefer);
        std::uint64_t time = 0;
        for (const std::uint64_t gap :
             {1'000U, 50'000U, 700'000U, 90'000'000U, 90'000'000U, 90'000'000U, 10U, 60'000'000U}) {
            time += gap;
            const Decision decision = other.on_work({.now_ns = time, .arrived_ns = time, .pass_ns = 10});
            ASSERT_EQ(decision.mode, Mode::polled);
            EXPECT_GE(static_cast<double>(decision.until_ns - time), longest);
        }
    }
}

TEST_F(AdaptivePolicyTest, OnABusyWorkerALookIsCheapAndIsMadeForLonger) {
    const Decision decision = policy.on_work({.now_ns = now, .arrived_ns = now, .pass_ns = 10 * pass_ns});
    EXPECT_EQ(decision.until_ns, now + 10 * price);
}

TEST_F(AdaptivePolicyTest, HoweverCheapTheLookIsAnIdleQueueLeavesInTheEnd) {
    const Decision decision = policy.on_work({.now_ns = now, .arrived_ns = now, .pass_ns = 1e12});
    EXPECT_EQ(decision.until_ns, now + AdaptivePolicy::longest_price_ns);
    AdaptivePolicy free(Prefer::latency, {.check_ns = 0});
    free.start(0, Mode::notified);
    EXPECT_LE(free.on_work({}).until_ns, AdaptivePolicy::longest_price_ns);
}

TEST_F(AdaptivePolicyTest, AnUnknownPassIsTakenForAShortOne) {
    const Decision decision = policy.on_work({.now_ns = now, .arrived_ns = now});
    ASSERT_EQ(decision.mode, Mode::polled);
    EXPECT_EQ(decision.until_ns, now + 2 * price);  // 100 ns
}

TEST_F(AdaptivePolicyTest, AGapEndsWhenTheWorkerGoesToSleep) {
    work_after(0);
    for (int i = 0; i < 100; ++i) {
        policy.on_sleep(now + price / 10);
        // An hour later. Nobody has looked at the queue meanwhile, so it has cost nothing.
        now += 3'600'000'000'000;
        ASSERT_EQ(policy.on_work({.now_ns = now, .arrived_ns = now, .pass_ns = pass_ns}).mode, Mode::polled);
    }
    EXPECT_EQ(policy.figures().gaps, 100U);
    const std::uint64_t gap = price / 10;
    EXPECT_EQ(policy.figures().paid_ns, static_cast<double>(price + 100 * gap));
}

TEST_F(AdaptivePolicyTest, TakesOverAPolledQueueForOneMoreThreshold) {
    AdaptivePolicy other(Prefer::cpu, costs);
    const Decision decision = other.start(now, Mode::polled);
    ASSERT_EQ(decision.mode, Mode::polled);
    EXPECT_EQ(decision.until_ns, now + 2 * price);
}

TEST_F(AdaptivePolicyTest, PreferLatencyPollsForLonger) {
    AdaptivePolicy patient(Prefer::latency, costs);
    patient.start(now, Mode::notified);
    const Work work{.now_ns = now, .arrived_ns = now, .pass_ns = pass_ns};
    EXPECT_GT(patient.on_work(work).until_ns, policy.on_work(work).until_ns);
}

TEST_F(AdaptivePolicyTest, NeverPaysMoreThanTwiceWhatAClairvoyantPays) {
    double paid = static_cast<double>(price);  // for the first kick, as does the clairvoyant
    double optimal = paid;
    work_after(0);
    for (int i = 0; i < 10'000; ++i) {
        // The adversary: work comes as soon as nobody looks.
        const std::uint64_t threshold = last.mode == Mode::polled ? last.until_ns - now : 0;
        work_after(threshold + 1);
        paid += static_cast<double>(threshold + price);
        optimal += static_cast<double>(std::min(threshold + 1, price));
        ASSERT_LE(paid, 2 * optimal);
    }
    EXPECT_EQ(policy.figures().paid_ns, paid);
    EXPECT_EQ(policy.figures().optimal_ns, optimal);
}

}  // namespace
}  // namespace sidecore::engine
