// SPDX-License-Identifier: Apache-2.0
#include "engine/gap_histogram.hh"

#include <algorithm>
#include <vector>

// clang-format off: RapidCheck's header needs GoogleTest's before it
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
// clang-format on

namespace sidecore::engine {
namespace {

constexpr std::uint64_t price = 5'000;
constexpr std::uint64_t limit = 16 * price;

GapHistogram of(const std::vector<std::uint64_t>& gaps) {
    GapHistogram histogram;
    for (const std::uint64_t gap : gaps) {
        histogram.add(gap);
    }
    return histogram;
}

double cost(const std::vector<std::uint64_t>& gaps, std::uint64_t threshold) {
    double sum = 0;
    for (const std::uint64_t gap : gaps) {
        sum += static_cast<double>(gap <= threshold ? gap : threshold + price);
    }
    return sum;
}

/// By trying all that can be right: each gap as the threshold, and 0.
double least_cost(const std::vector<std::uint64_t>& gaps) {
    double least = cost(gaps, 0);
    for (const std::uint64_t gap : gaps) {
        if (gap <= limit) {
            least = std::min(least, cost(gaps, gap));
        }
    }
    return least;
}

TEST(GapHistogram, WithoutExperienceThePriceIsTheThreshold) {
    EXPECT_EQ(GapHistogram{}.cheapest_threshold(price, limit), price);
    EXPECT_EQ(GapHistogram{}.cheapest_threshold(price, price / 2), price / 2);
    EXPECT_EQ(GapHistogram{}.mean_ns(), 0);
}

TEST(GapHistogram, WaitsNotAtAllForGapsThatAreLongerThanThePrice) {
    EXPECT_EQ(of({6'000, 7'000, 90'000}).cheapest_threshold(price, limit), 0U);
}

TEST(GapHistogram, WhereItMakesNoDifferenceThePriceIsTheThreshold) {
    const std::uint64_t threshold = of({100, 200, 300}).cheapest_threshold(price, limit);
    EXPECT_NEAR(static_cast<double>(threshold), price, 0.07 * price);  // the nearest end of a bucket
}

TEST(GapHistogram, WaitsForTheShortGapsOfTwoKinds) {
    const auto histogram = of({500, 500, 500, 1'000'000});
    const std::uint64_t threshold = histogram.cheapest_threshold(price, limit);
    EXPECT_GE(threshold, 500U);
    EXPECT_LT(threshold, 500U * 9 / 8);
}

TEST(GapHistogram, WaitsForLongerThanThePriceWhereGapsAreMostlyALittleLessThanTheLimit) {
    // Nine in ten are short, and the tenth's remaining time is below the price once it has lasted for one: wait for it.
    std::vector<std::uint64_t> gaps(90, 2'000);
    gaps.insert(gaps.end(), 10, 5'500);
    EXPECT_GE(of(gaps).cheapest_threshold(price, limit), 5'500U);
}

TEST(GapHistogram, KeepsToTheLimit) {
    const std::vector<std::uint64_t> gaps(10, 4'900);
    EXPECT_GE(of(gaps).cheapest_threshold(price, limit), 4'900U);
    EXPECT_LE(of(gaps).cheapest_threshold(price, 4'000), 4'000U);
}

TEST(GapHistogram, ForgetsWhatIsOldByHalves) {
    GapHistogram histogram;
    for (int i = 0; i < 10'000; ++i) {
        histogram.add(1'000'000);
        ASSERT_LT(histogram.total(), GapHistogram::memory);
    }
    ASSERT_EQ(histogram.cheapest_threshold(price, limit), 0U);
    for (int i = 0; i < 2 * static_cast<int>(GapHistogram::memory); ++i) {
        histogram.add(100);
    }
    EXPECT_GT(histogram.cheapest_threshold(price, limit), 100U);
}

TEST(GapHistogram, KeepLetsNewGapsCountForMore) {
    auto histogram = of(std::vector<std::uint64_t>(1'000, 1'000'000));
    histogram.keep(10);
    EXPECT_FLOAT_EQ(histogram.total(), 10);
    histogram.keep(20);
    EXPECT_FLOAT_EQ(histogram.total(), 10);
    for (int i = 0; i < 100; ++i) {
        histogram.add(100);
    }
    EXPECT_GT(histogram.cheapest_threshold(price, limit), 100U);
}

TEST(GapHistogram, TheMeanIsThatOfTheGaps) {
    EXPECT_NEAR(of({1'000, 2'000, 6'000}).mean_ns(), 3'000, 0.07 * 3'000);
}

TEST(GapHistogram, TakesTheShortestAndTheLongestGaps) {
    auto histogram = of({0, 1, UINT64_MAX, GapHistogram::longest_ns, GapHistogram::longest_ns - 1});
    EXPECT_FLOAT_EQ(histogram.total(), 5);
    EXPECT_LE(histogram.cheapest_threshold(GapHistogram::longest_ns, UINT64_MAX / 2), GapHistogram::longest_ns);
}

RC_GTEST_PROP(GapHistogramProperty, ItsThresholdCostsLittleMoreThanTheBestThereIs, ()) {
    const auto gaps = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint64_t>>(
        rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(1, 2 * price), rc::gen::inRange<std::uint64_t>(1, 40 * price))));
    RC_PRE(gaps.size() < static_cast<std::size_t>(GapHistogram::memory));
    const std::uint64_t threshold = of(gaps).cheapest_threshold(price, limit);
    RC_ASSERT(threshold <= limit);
    // An eighth: the width of a bucket, by which a threshold and a gap may be taken for longer than they are.
    RC_ASSERT(cost(gaps, threshold) <= (1 + GapHistogram::near_best) * 9 / 8 * least_cost(gaps));
}

}  // namespace
}  // namespace sidecore::engine
