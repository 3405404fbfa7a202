// SPDX-License-Identifier: Apache-2.0
#include "base/latency_histogram.hh"

#include <gtest/gtest.h>

namespace sidecore {
namespace {

TEST(LatencyHistogram, EveryValueLiesBetweenItsBucketsEnds) {
    for (std::uint64_t value = 0; value < 100'000; ++value) {
        const std::size_t bucket = LatencySnapshot::bucket_of(value);
        ASSERT_LE(LatencySnapshot::lower_end(bucket), value);
        ASSERT_GT(LatencySnapshot::lower_end(bucket + 1), value);
    }
}

TEST(LatencyHistogram, BucketsAreAtMostAQuarterOfTheirValueWide) {
    for (std::size_t bucket = LatencySnapshot::sub_buckets; bucket + 1 < LatencySnapshot::bucket_count; ++bucket) {
        const std::uint64_t low = LatencySnapshot::lower_end(bucket);
        ASSERT_LE(4 * (LatencySnapshot::lower_end(bucket + 1) - low), low) << "bucket " << bucket;
    }
}

TEST(LatencyHistogram, WhatIsTooLargeGoesIntoTheLastBucket) {
    LatencyHistogram histogram;
    histogram.record(UINT64_MAX);
    EXPECT_EQ(histogram.read().counts.back(), 1U);
}

TEST(LatencyHistogram, QuantilesAreTheUpperEndsOfTheirBuckets) {
    LatencyHistogram histogram;
    histogram.record(2, 50);
    histogram.record(100, 49);
    histogram.record(5000);
    const LatencySnapshot snapshot = histogram.read();
    EXPECT_EQ(snapshot.count(), 100U);
    EXPECT_EQ(snapshot.quantile(0), 2U);
    EXPECT_EQ(snapshot.quantile(0.5), 2U);
    EXPECT_EQ(snapshot.quantile(0.51), 111U);  // 96 to 111
    EXPECT_EQ(snapshot.quantile(0.99), 111U);
    EXPECT_EQ(snapshot.quantile(1), 5119U);  // 4096 to 5119
}

TEST(LatencyHistogram, NothingHasNoQuantile) {
    EXPECT_EQ(LatencySnapshot{}.quantile(0.99), 0U);
}

TEST(LatencyHistogram, SnapshotsAddUpAndTellWhatIsNew) {
    LatencyHistogram histogram;
    histogram.record(7, 3);
    const LatencySnapshot before = histogram.read();
    histogram.record(7);
    histogram.record(900);
    const LatencySnapshot fresh = histogram.read().since(before);
    EXPECT_EQ(fresh.count(), 2U);
    LatencySnapshot sum = before;
    sum.add(fresh);
    EXPECT_EQ(sum.counts, histogram.read().counts);
}

}  // namespace
}  // namespace sidecore
