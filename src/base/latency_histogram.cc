// SPDX-License-Identifier: Apache-2.0
#include "base/latency_histogram.hh"

#include <cmath>
#include <numeric>

namespace sidecore {

std::uint64_t LatencySnapshot::count() const noexcept {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

std::uint64_t LatencySnapshot::quantile(double share) const noexcept {
    const std::uint64_t all = count();
    if (all == 0) {
        return 0;
    }
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all)));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket + 1 < bucket_count; ++bucket) {
        seen += counts[bucket];
        if (seen >= wanted && seen != 0) {
            return lower_end(bucket + 1) - 1;
        }
    }
    return lower_end(bucket_count - 1);
}

void LatencySnapshot::add(const LatencySnapshot& other) noexcept {
    for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) {
        counts[bucket] += other.counts[bucket];
    }
}

LatencySnapshot LatencySnapshot::since(const LatencySnapshot& earlier) const noexcept {
    LatencySnapshot difference;
    for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) {
        difference.counts[bucket] = counts[bucket] - earlier.counts[bucket];
    }
    return difference;
}

LatencySnapshot LatencyHistogram::read() const noexcept {
    LatencySnapshot snapshot;
    for (std::size_t bucket = 0; bucket < LatencySnapshot::bucket_count; ++bucket) {
        snapshot.counts[bucket] = counts_[bucket].load(std::memory_order_relaxed);
    }
    return snapshot;
}

}  // namespace sidecore
