// SPDX-License-Identifier: Apache-2.0
#include "sim/random.hh"

#include <cmath>

#include <gtest/gtest.h>

namespace sidecore::sim {
namespace {

TEST(Random, IsTheSameEverywhereAndForEver) {
    Random random(0);
    // splitmix64 of 0 as the state, then xoshiro256**: worked out by a second implementation.
    EXPECT_EQ(random.next(), 0x99EC5F36CB75F2B4U);
    EXPECT_EQ(random.next(), 0xBF6E1F784956452AU);
    EXPECT_EQ(random.next(), 0x1A5F849D4933E6E0U);
}

TEST(Random, AnotherSeedIsAnotherSequence) {
    EXPECT_NE(Random(1).next(), Random(2).next());
    EXPECT_EQ(Random(1).next(), Random(1).next());
}

TEST(Random, ItsLogarithmIsTheLogarithm) {
    for (double x = 1e-300; x < 1e300; x *= 1.37) {
        ASSERT_NEAR(natural_log(x), std::log(x), 4e-16 * std::fabs(std::log(x)) + 1e-16) << x;
    }
    EXPECT_EQ(natural_log(1), 0);
}

TEST(Random, UniformNumbersLieBetweenTheEnds) {
    Random random(3);
    double sum = 0;
    for (int i = 0; i < 100'000; ++i) {
        const double x = random.uniform();
        ASSERT_GT(x, 0);
        ASSERT_LT(x, 1);
        sum += x;
    }
    EXPECT_NEAR(sum / 100'000, 0.5, 0.005);
}

TEST(Random, ExponentialNumbersHaveTheirMeanAndVariance) {
    Random random(4);
    double sum = 0;
    double squares = 0;
    constexpr int count = 200'000;
    for (int i = 0; i < count; ++i) {
        const double x = random.exponential(7);
        sum += x;
        squares += x * x;
    }
    EXPECT_NEAR(sum / count, 7, 0.07);
    EXPECT_NEAR(squares / count, 98, 2);  // 2 * mean^2
}

TEST(Random, ParetosNumbersHaveTheirTail) {
    Random random(5);
    constexpr int count = 200'000;
    int beyond_16 = 0;
    for (int i = 0; i < count; ++i) {
        const double x = random.pareto(2);
        ASSERT_GE(x, 2);
        beyond_16 += x > 16 ? 1 : 0;
    }
    // (16 / 2)^(-4/3) = 1 / 16
    EXPECT_NEAR(beyond_16, count / 16.0, count / 320.0);
}

}  // namespace
}  // namespace sidecore::sim
