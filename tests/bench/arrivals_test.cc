// SPDX-License-Identifier: Apache-2.0
#include "arrivals.hh"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"

namespace sidecore::bench {
namespace {

constexpr std::uint64_t start = 1'000'000'000;

/// When the first `count` arrive, in seconds after the start.
std::vector<double> arrivals_of(const Arrivals::Options& options, int count, std::uint64_t seed = 1) {
    Arrivals arrivals(options, seed);
    arrivals.restart(start);
    std::vector<double> times;
    for (int i = 0; i < count; ++i, arrivals.advance()) {
        times.push_back(static_cast<double>(arrivals.next() - start) / (cycles_per_ns() * 1e9));
    }
    return times;
}

TEST(Arrivals, WithoutARateThereAreNone) {
    EXPECT_TRUE(Arrivals({}).closed());
    EXPECT_FALSE(Arrivals({.rate = 1}).closed());
}

TEST(Arrivals, PeriodicOnesAreEvenlyApart) {
    const auto times = arrivals_of({.rate = 2000, .kind = Arrivals::Kind::periodic}, 100);
    for (std::size_t i = 0; i < times.size(); ++i) {
        EXPECT_NEAR(times[i], static_cast<double>(i) * 0.0005, 1e-6);
    }
}

TEST(Arrivals, RandomOnesHaveTheRateAndTheSpreadOfPoisson) {
    constexpr int count = 100'000;
    const auto times = arrivals_of({.rate = 1000}, count);
    EXPECT_NEAR(times.back(), count / 1000.0, 2);
    double squares = 0;
    int within_mean = 0;
    for (std::size_t i = 1; i < times.size(); ++i) {
        const double gap = (times[i] - times[i - 1]) * 1000;
        squares += (gap - 1) * (gap - 1);
        within_mean += gap < 1 ? 1 : 0;
    }
    EXPECT_NEAR(squares / count, 1, 0.05) << "the variance of an exponential gap is the square of its mean";
    EXPECT_NEAR(static_cast<double>(within_mean) / count, 1 - 1 / std::exp(1), 0.01);
    EXPECT_NE(times, arrivals_of({.rate = 1000}, count, 2));
}

TEST(Arrivals, OnOffHasTheRateInTheMeanAndPauses) {
    constexpr int count = 50'000;
    const auto times = arrivals_of({.rate = 1000, .kind = Arrivals::Kind::on_off, .on_s = 0.02, .off_s = 0.06}, count);
    EXPECT_NEAR(times.back(), count / 1000.0, 2);
    for (const double time : times) {
        ASSERT_LE(std::fmod(time, 0.08), 0.02 + 1e-6) << "at " << time;
    }
}

TEST(Arrivals, RestartBeginsAnew) {
    Arrivals arrivals({.rate = 1000, .kind = Arrivals::Kind::periodic});
    arrivals.restart(start);
    arrivals.advance();
    arrivals.restart(2 * start);
    EXPECT_EQ(arrivals.next(), 2 * start);
}

}  // namespace
}  // namespace sidecore::bench
