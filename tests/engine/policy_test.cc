// SPDX-License-Identifier: Apache-2.0
#include "engine/policy.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

constexpr std::uint64_t ms = 1'000'000;

PolicySettings rate(std::uint32_t start_rate, std::uint64_t stop_idle_ns = 3000 * ms, std::uint64_t tick_ns = ms) {
    return {
        .kind = PolicyKind::rate, .poll_start_rate = start_rate, .poll_stop_idle_ns = stop_idle_ns, .tick_ns = tick_ns};
}

std::unique_ptr<Policy> make(const PolicySettings& settings) {
    return make_policy(settings, Costs{});
}

Mode work_at(Policy& policy, std::uint64_t now_ns) {
    return policy.on_work({.now_ns = now_ns, .arrived_ns = now_ns}).mode;
}

/// The mode at `now_ns` of a queue that has had no work since `last`.
Mode idle_at(Policy& policy, const Decision& last, std::uint64_t now_ns) {
    return now_ns < last.until_ns ? last.mode : policy.on_idle(now_ns).mode;
}

TEST(Policy, NeverStaysNotifiedWhateverHappens) {
    const auto policy = make({.kind = PolicyKind::never});
    EXPECT_EQ(policy->start(0, Mode::polled).mode, Mode::notified);
    for (std::uint64_t now = 0; now < 1000; ++now) {
        ASSERT_EQ(work_at(*policy, now), Mode::notified);
    }
    EXPECT_EQ(policy->on_idle(1000 * ms).mode, Mode::notified);
}

TEST(Policy, AlwaysStaysPolledWhateverHappens) {
    const auto policy = make({.kind = PolicyKind::always});
    EXPECT_EQ(policy->start(0, Mode::notified).mode, Mode::polled);
    EXPECT_EQ(work_at(*policy, 1), Mode::polled);
    EXPECT_EQ(policy->on_idle(1'000'000 * ms).mode, Mode::polled);
    EXPECT_EQ(policy->figures().threshold_ns, forever_ns);
}

TEST(Policy, OnlyAdaptiveLeavesTheWorkersSleepToTheWorker) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always, PolicyKind::rate, PolicyKind::fixed,
                                  PolicyKind::grow_shrink, PolicyKind::breakeven, PolicyKind::adaptive}) {
        const Persistence expected = kind == PolicyKind::adaptive ? Persistence::yields
                                     : kind == PolicyKind::always ? Persistence::unconditional
                                                                  : Persistence::until_idle;
        EXPECT_EQ(make({.kind = kind})->persistence(), expected) << to_string(kind);
    }
}

TEST(RatePolicy, PollsFromTheWorkThatReachesTheRateWithinOneTick) {
    const auto policy = make(rate(4));
    ASSERT_EQ(policy->start(0, Mode::notified).mode, Mode::notified);
    EXPECT_EQ(work_at(*policy, 10 * ms), Mode::notified);
    EXPECT_EQ(work_at(*policy, 10 * ms + 1), Mode::notified);
    EXPECT_EQ(work_at(*policy, 10 * ms + 2), Mode::notified);
    EXPECT_EQ(work_at(*policy, 10 * ms + 3), Mode::polled);
}

TEST(RatePolicy, CountsEachTickAnew) {
    const auto policy = make(rate(4));
    policy->start(0, Mode::notified);
    for (std::uint64_t tick = 1; tick < 1000; ++tick) {
        for (std::uint64_t work = 0; work < 3; ++work) {
            ASSERT_EQ(work_at(*policy, tick * ms + work), Mode::notified) << "tick " << tick;
        }
    }
}

TEST(RatePolicy, TheTickIsAParameter) {
    const auto policy = make(rate(3, 3000 * ms, 100 * ms));
    policy->start(0, Mode::notified);
    EXPECT_EQ(work_at(*policy, 100 * ms), Mode::notified);
    EXPECT_EQ(work_at(*policy, 150 * ms), Mode::notified);
    EXPECT_EQ(work_at(*policy, 199 * ms), Mode::polled);
}

TEST(RatePolicy, RateZeroNeverPolls) {
    const auto policy = make(rate(0));
    EXPECT_EQ(policy->start(0, Mode::polled).mode, Mode::notified);
    for (int work = 0; work < 100'000; ++work) {
        ASSERT_EQ(work_at(*policy, 5 * ms), Mode::notified);
    }
}

TEST(RatePolicy, StopsAfterExactlyTheIdleTime) {
    const auto policy = make(rate(1));
    policy->start(0, Mode::notified);
    const Decision last = policy->on_work({.now_ns = 7 * ms, .arrived_ns = 7 * ms});
    EXPECT_EQ(idle_at(*policy, last, 7 * ms + 3000 * ms - 1), Mode::polled);
    EXPECT_EQ(idle_at(*policy, last, 7 * ms + 3000 * ms), Mode::notified);
}

TEST(RatePolicy, WorkPutsTheIdleTimeOff) {
    const auto policy = make(rate(2, 10 * ms));
    policy->start(0, Mode::notified);
    work_at(*policy, ms);
    ASSERT_EQ(work_at(*policy, ms), Mode::polled);
    // One work in its tick: below the rate, but polled already.
    const Decision last = policy->on_work({.now_ns = 9 * ms, .arrived_ns = 9 * ms});
    EXPECT_EQ(idle_at(*policy, last, 18 * ms), Mode::polled);
    EXPECT_EQ(idle_at(*policy, last, 19 * ms), Mode::notified);
}

TEST(RatePolicy, AfterTheIdleTimeTheRateMustBeReachedAgain) {
    const auto policy = make(rate(2, 10 * ms));
    policy->start(0, Mode::notified);
    work_at(*policy, ms);
    work_at(*policy, ms);
    ASSERT_EQ(policy->on_idle(50 * ms).mode, Mode::notified);
    EXPECT_EQ(work_at(*policy, 60 * ms), Mode::notified);
    EXPECT_EQ(work_at(*policy, 60 * ms), Mode::polled);
}

TEST(RatePolicy, TakesOverTheModeThatAQueueIsIn) {
    const auto policy = make(rate(2, 10 * ms));
    const Decision first = policy->start(100 * ms, Mode::polled);
    EXPECT_EQ(idle_at(*policy, first, 109 * ms), Mode::polled);
    EXPECT_EQ(idle_at(*policy, first, 110 * ms), Mode::notified);
}

TEST(RatePolicy, ItsThresholdIsTheIdleTimeOncePolled) {
    const auto policy = make(rate(1, 10 * ms));
    policy->start(0, Mode::notified);
    EXPECT_EQ(policy->figures().threshold_ns, 0U);
    work_at(*policy, ms);
    EXPECT_EQ(policy->figures().threshold_ns, 10 * ms);
}

TEST(FixedPolicy, PollsForItsTimeAfterEachWork) {
    const auto policy = make({.kind = PolicyKind::fixed, .poll_time_ns = 50});
    EXPECT_EQ(policy->start(0, Mode::notified), Decision{});
    EXPECT_EQ(policy->on_work({.now_ns = 1000, .arrived_ns = 900}), (Decision{Mode::polled, 1050}));
    EXPECT_EQ(policy->on_work({.now_ns = 1040, .arrived_ns = 1030}), (Decision{Mode::polled, 1090}));
    EXPECT_EQ(policy->on_idle(1090), Decision{});
    EXPECT_EQ(policy->figures().threshold_ns, 50U);
}

TEST(FixedPolicy, TakesOverAPolledQueueForOneMoreTime) {
    const auto policy = make({.kind = PolicyKind::fixed, .poll_time_ns = 50});
    EXPECT_EQ(policy->start(7, Mode::polled), (Decision{Mode::polled, 57}));
}

TEST(BreakevenPolicy, PollsForAsLongAsASleepCosts) {
    const Costs costs{.arm_ns = 10, .kick_ns = 20, .wake_ns = 30, .wake_latency_ns = 40};
    for (const auto& [prefer, price] :
         {std::pair{Prefer::cpu, 60U}, {Prefer::balanced, 100U}, {Prefer::latency, 460U}}) {
        const auto policy = make_policy({.kind = PolicyKind::breakeven, .prefer = prefer}, costs);
        policy->start(0, Mode::notified);
        EXPECT_EQ(policy->on_work({.now_ns = 1000}), (Decision{Mode::polled, 1000 + price}));
        EXPECT_EQ(policy->on_idle(1000 + price), Decision{});
        EXPECT_EQ(policy->figures().price_ns, price);
        EXPECT_EQ(policy->figures().threshold_ns, price);
    }
}

class GrowShrinkPolicy : public testing::Test {
protected:
    GrowShrinkPolicy() { policy->start(0, Mode::notified); }

    /// For how long the queue is polled after work that comes `gap_ns` after the work before.
    std::uint64_t after_gap(std::uint64_t gap_ns) {
        now += gap_ns;
        const Decision decision = policy->on_work({.now_ns = now + 1, .arrived_ns = now});
        ++now;
        EXPECT_EQ(policy->figures().threshold_ns, decision.mode == Mode::polled ? decision.until_ns - now : 0);
        return policy->figures().threshold_ns;
    }

    const std::unique_ptr<Policy> policy =
        make({.kind = PolicyKind::grow_shrink, .grow_start_ns = 100, .grow_max_ns = 500});
    std::uint64_t now = 0;
};

TEST_F(GrowShrinkPolicy, DoublesWhileItMissesGapsThatItCouldHaveCovered) {
    EXPECT_EQ(after_gap(450), 100U);
    EXPECT_EQ(after_gap(450), 200U);
    EXPECT_EQ(after_gap(450), 400U);
    EXPECT_EQ(after_gap(450), 500U);
    EXPECT_EQ(after_gap(500), 500U);
}

TEST_F(GrowShrinkPolicy, StaysAsItIsWhilePollingFindsTheWork) {
    after_gap(450);
    after_gap(450);
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(after_gap(200), 200U);
    }
}

TEST_F(GrowShrinkPolicy, StopsAfterAGapThatNoPollingWouldHaveCovered) {
    after_gap(450);
    after_gap(450);
    EXPECT_EQ(after_gap(501), 0U);
    EXPECT_EQ(after_gap(10), 100U);
}

TEST_F(GrowShrinkPolicy, WorkThatCameDuringTheTurnIsNoGap) {
    after_gap(450);
    EXPECT_EQ(policy->on_work({.now_ns = now + 5, .arrived_ns = now - 3}), (Decision{Mode::polled, now + 105}));
}

TEST_F(GrowShrinkPolicy, ALongestTimeBelowTheFirstCountsAsTheFirst) {
    const auto odd = make({.kind = PolicyKind::grow_shrink, .grow_start_ns = 100, .grow_max_ns = 1});
    odd->start(0, Mode::notified);
    EXPECT_EQ(odd->on_work({.now_ns = 90, .arrived_ns = 90}), (Decision{Mode::polled, 190}));
    EXPECT_EQ(odd->on_work({.now_ns = 300, .arrived_ns = 300}), Decision{});
}

}  // namespace
}  // namespace sidecore::engine
