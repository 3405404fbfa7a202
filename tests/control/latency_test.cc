// SPDX-License-Identifier: Apache-2.0
#include "control/latency.hh"

#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

const LatencyInfo example{{{100, 50}, {200, 40}, {400, 9}, {800, 1}}};

TEST(LatencyInfo, KnowsItsQuantiles) {
    EXPECT_EQ(example.count(), 100U);
    EXPECT_EQ(example.quantile_ns(0.5), 100U);
    EXPECT_EQ(example.quantile_ns(0.51), 200U);
    EXPECT_EQ(example.quantile_ns(0.9), 200U);
    EXPECT_EQ(example.quantile_ns(0.99), 400U);
    EXPECT_EQ(example.quantile_ns(0.999), 800U);
    EXPECT_EQ(example.quantile_ns(1), 800U);
    EXPECT_EQ(LatencyInfo{}.quantile_ns(0.5), 0U);
}

TEST(LatencyInfo, AddsUpAndTakesAway) {
    LatencyInfo sum = example;
    sum.add({{{150, 7}, {200, 1}}});
    EXPECT_EQ(sum, (LatencyInfo{{{100, 50}, {150, 7}, {200, 41}, {400, 9}, {800, 1}}}));
    EXPECT_EQ(sum.since(example), (LatencyInfo{{{150, 7}, {200, 1}}}));
    EXPECT_EQ(example.since(sum), LatencyInfo{}) << "not below zero";
}

TEST(LatencyInfo, RoundTripsWithPercentilesForOthers) {
    const Json json = to_json(example);
    EXPECT_EQ(to_text(json), R"({"count":100,"p50_ns":100,"p90_ns":200,"p99_ns":400,"p99_9_ns":800,"max_ns":800,)"
                             R"("buckets":[[100,50],[200,40],[400,9],[800,1]]})");
    Problems problems;
    EXPECT_EQ(read_latency(parse_json(to_text(json)).value(), problems), example);
    EXPECT_TRUE(problems.empty());
    for (const char* buckets : {"[1]", "[[1]]", "[[1, 2, 3]]", "[[1, -2]]", R"([["a", 1]])"}) {
        problems.clear();
        read_latency(parse_json(std::string(R"({"buckets": )") + buckets + "}").value(), problems);
        ASSERT_EQ(problems.size(), 1U) << buckets;
        EXPECT_EQ(problems[0].where, "buckets[0]");
    }
}

}  // namespace
}  // namespace sidecore::control
