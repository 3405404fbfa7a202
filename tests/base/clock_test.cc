// SPDX-License-Identifier: Apache-2.0
#include "base/clock.hh"

#include <gtest/gtest.h>

namespace sidecore {
namespace {

TEST(Clock, MonotonicTimeNeverGoesBack) {
    std::uint64_t last_ns = monotonic_ns();
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t now_ns = monotonic_ns();
        ASSERT_GE(now_ns, last_ns);
        last_ns = now_ns;
    }
}

TEST(Clock, CyclesNeverGoBackOnOneThread) {
    std::uint64_t last = cycles();
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t now = cycles();
        ASSERT_GE(now, last);
        last = now;
    }
}

// The thread may be preempted between the two readings of a pair, so each pair bounds the other from one side only.
TEST(Clock, CyclesMeasureTheSameTimeAsTheMonotonicClock) {
    constexpr std::uint64_t interval_ns = 20'000'000;
    (void)cycles_per_ns();  // the first call may have to measure

    const std::uint64_t outer_start_ns = monotonic_ns();
    const std::uint64_t start = cycles();
    const std::uint64_t inner_start_ns = monotonic_ns();
    std::uint64_t inner_end_ns = inner_start_ns;
    while (inner_end_ns - inner_start_ns < interval_ns) {
        inner_end_ns = monotonic_ns();
    }
    const std::uint64_t measured_ns = cycles_to_ns(cycles() - start);
    const std::uint64_t outer_end_ns = monotonic_ns();

    const auto inner_ns = static_cast<double>(inner_end_ns - inner_start_ns);
    const auto outer_ns = static_cast<double>(outer_end_ns - outer_start_ns);
    EXPECT_GE(static_cast<double>(measured_ns), 0.9 * inner_ns);
    EXPECT_LE(static_cast<double>(measured_ns), 1.1 * outer_ns);
}

TEST(Clock, ConversionsAreInverseToEachOther) {
    for (const std::uint64_t ns : {std::uint64_t{0}, std::uint64_t{1'000}, std::uint64_t{3'000'000'000}}) {
        const std::uint64_t back = cycles_to_ns(ns_to_cycles(ns));
        EXPECT_LE(back, ns);
        EXPECT_LE(ns - back, 10U + ns / 1'000'000U) << ns;
    }
}

TEST(Clock, ThreadCpuTimeCountsWorkOfThisThread) {
    constexpr std::uint64_t work_ns = 5'000'000;
    const std::uint64_t start_ns = thread_cpu_ns();
    const std::uint64_t wall_start_ns = monotonic_ns();
    while (thread_cpu_ns() - start_ns < work_ns) {
    }
    EXPECT_GE(monotonic_ns() - wall_start_ns + 1'000'000U, work_ns);
}

}  // namespace
}  // namespace sidecore
