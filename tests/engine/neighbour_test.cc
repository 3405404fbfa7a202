// SPDX-License-Identifier: Apache-2.0
#include "engine/neighbour.hh"

#include <atomic>
#include <chrono>
#include <sched.h>
#include <thread>

#include <gtest/gtest.h>

#include "engine/wait.hh"

namespace sidecore::engine {
namespace {

constexpr std::uint64_t ms = 1'000'000;

/// A thread's schedule as time goes on.
struct Life {
    NeighbourRule rule;
    ThreadSchedule schedule{.preemptions = 3, .run_delay_ns = 50};
    std::uint64_t now = 1'000 * ms;

    void pass(std::uint64_t time_ns, std::uint64_t preemptions, std::uint64_t delay_ns) {
        now += time_ns;
        schedule.preemptions += preemptions;
        schedule.run_delay_ns += delay_ns;
        rule.observe(now, schedule);
    }
    /// Somebody else has every other slice, until the rule pauses; after so many looks.
    int share_the_cpu() {
        for (int looks = 1; looks <= 20; ++looks) {
            pass(7 * ms, 1, 3 * ms);
            if (!rule.may_spin(now)) {
                return looks;
            }
        }
        ADD_FAILURE() << "it spins on";
        return 20;
    }
};

TEST(NeighbourRule, SpinsAsLongAsNobodyWantsTheCpu) {
    Life life;
    life.rule.observe(life.now, life.schedule);
    for (int i = 0; i < 100; ++i) {
        life.pass(4 * ms, 0, 0);
        ASSERT_TRUE(life.rule.may_spin(life.now));
    }
    EXPECT_EQ(life.rule.pauses(), 0U);
}

TEST(NeighbourRule, WhatWasBeforeTheFirstLookDoesNotCount) {
    Life life;
    life.schedule = {.preemptions = 1'000, .run_delay_ns = 1'000 * ms};
    life.rule.observe(life.now, life.schedule);
    EXPECT_TRUE(life.rule.may_spin(life.now));
}

TEST(NeighbourRule, WhoWantsTheCpuForAMomentIsNoNeighbour) {
    Life life;
    life.rule.observe(life.now, life.schedule);
    for (int i = 0; i < 100; ++i) {
        // A time slice now and then, and a little again and again.
        const bool slice = i % 20 == 0;
        life.pass(slice ? 8 * ms : 4 * ms, 1, slice ? 4 * ms : ms / 10);
        ASSERT_TRUE(life.rule.may_spin(life.now)) << i;
    }
}

TEST(NeighbourRule, PausesWhenPreemptedAndKeptWaitingAndStartsAgain) {
    Life life;
    life.rule.observe(life.now, life.schedule);
    EXPECT_LE(life.share_the_cpu(), 8);
    EXPECT_FALSE(life.rule.may_spin(life.now + NeighbourRule::first_pause_ns - 1));
    EXPECT_TRUE(life.rule.may_spin(life.now + NeighbourRule::first_pause_ns));
    EXPECT_EQ(life.rule.pauses(), 1U);
}

TEST(NeighbourRule, PausesLongerWhileTheyStayAndAsShortAsAtFirstAfterQuietTimes) {
    Life life;
    life.rule.observe(life.now, life.schedule);
    std::uint64_t pause = NeighbourRule::first_pause_ns;
    for (int round = 0; round < 10; ++round) {
        life.share_the_cpu();
        ASSERT_FALSE(life.rule.may_spin(life.now + pause - 1)) << round;
        ASSERT_TRUE(life.rule.may_spin(life.now + pause)) << round;
        life.now += pause;
        life.rule.observe(life.now, life.schedule);
        pause = std::min(2 * pause, NeighbourRule::longest_pause_ns);
    }
    EXPECT_EQ(pause, NeighbourRule::longest_pause_ns);
    for (int i = 0; i < 100; ++i) {
        life.pass(4 * ms, 0, 0);
    }
    life.share_the_cpu();
    EXPECT_TRUE(life.rule.may_spin(life.now + NeighbourRule::first_pause_ns));
}

TEST(NeighbourRule, WhereTheKernelKeepsNoDelaysPreemptionsCount) {
    Life life;
    life.schedule = {};
    life.rule.observe(life.now, life.schedule);
    life.pass(4 * ms, 1, 0);
    EXPECT_TRUE(life.rule.may_spin(life.now));
    life.pass(4 * ms, 1, 0);
    EXPECT_FALSE(life.rule.may_spin(life.now));
}

TEST(ThreadScheduleReader, SeesThatTheThreadSharesItsCpu) {
    std::atomic<bool> stop{false};
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &here);
    const auto pin = [&] { ASSERT_EQ(::sched_setaffinity(0, sizeof here, &here), 0); };
    cpu_set_t before;
    ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
    pin();
    std::thread other([&] {
        pin();
        while (!stop) {
        }
    });
    ThreadScheduleReader reader;
    reader.open();
    const ThreadSchedule start = reader.read();
    // Both want the whole CPU, so that sooner or later the kernel takes it from this one.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    ThreadSchedule now = start;
    while (now.preemptions == start.preemptions && std::chrono::steady_clock::now() < end) {
        now = reader.read();
    }
    stop = true;
    other.join();
    ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
    EXPECT_GT(now.preemptions, start.preemptions);
    if (now.run_delay_ns != 0) {
        EXPECT_GT(now.run_delay_ns, start.run_delay_ns);
    }
}

}  // namespace
}  // namespace sidecore::engine
