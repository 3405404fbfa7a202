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

TEST(PolicyOverrides, TheInnermostLevelWins) {
    const PolicySettings daemon = rate(4);
    PolicyOverrides device;
    device.kind = PolicyKind::always;
    device.poll_start_rate = 9;
    PolicyOverrides queue;
    queue.kind = PolicyKind::never;
    const PolicySettings result = queue.applied_to(device.applied_to(daemon));
    EXPECT_EQ(result.kind, PolicyKind::never);
    EXPECT_EQ(result.poll_start_rate, 9U);
    EXPECT_EQ(result.poll_stop_idle_ns, daemon.poll_stop_idle_ns);
}

TEST(PolicyOverrides, MergeKeepsWhatTheLaterDoesNotSay) {
    PolicyOverrides first;
    first.kind = PolicyKind::always;
    first.tick_ns = 5;
    PolicyOverrides second;
    second.kind = PolicyKind::rate;
    first.merge(second);
    EXPECT_EQ(first.kind, PolicyKind::rate);
    EXPECT_EQ(first.tick_ns, 5U);
}

TEST(PolicyOverrides, RefusesDurationsThatNoClockHas) {
    PolicyOverrides zero_tick;
    zero_tick.tick_ns = 0;
    EXPECT_EQ(zero_tick.check().error().kind, ErrorKind::invalid_argument);
    PolicyOverrides endless;
    endless.poll_stop_idle_ns = ~std::uint64_t{0};
    EXPECT_NE(endless.check().error().message.find("poll_stop_idle"), std::string::npos);
    PolicyOverrides good;
    good.tick_ns = 1;
    good.poll_stop_idle_ns = 1;
    good.poll_start_rate = 0;
    EXPECT_TRUE(good.check());
}

TEST(PolicyKind, NamesGoBothWaysAndOthersAreRefused) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always, PolicyKind::rate}) {
        EXPECT_EQ(parse_policy_kind(to_string(kind)).value(), kind);
    }
    EXPECT_NE(parse_policy_kind("sometimes").error().message.find("sometimes"), std::string::npos);
}

}  // namespace
}  // namespace sidecore::engine
