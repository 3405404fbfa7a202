// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sidecore {

/// A moment's copy of a LatencyHistogram.
class LatencySnapshot {
public:
    static constexpr unsigned sub_buckets = 4;  ///< of each power of two: a bucket is at most 25 % wide
    static constexpr std::size_t bucket_count = std::size_t{sub_buckets} * 46;

    /// The bucket of `value`; the last one takes all that is larger.
    static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < sub_buckets) {
            return static_cast<std::size_t>(value);
        }
        const auto power = static_cast<unsigned>(std::bit_width(value)) - 1;  // at least 2
        const std::size_t bucket = std::size_t{power - 1} * sub_buckets + ((value >> (power - 2)) & (sub_buckets - 1));
        return bucket < bucket_count ? bucket : bucket_count - 1;
    }

    /// The smallest value of a bucket.
    static constexpr std::uint64_t lower_end(std::size_t bucket) noexcept {
        if (bucket < sub_buckets) {
            return bucket;
        }
        const std::size_t power = bucket / sub_buckets + 1;
        return (sub_buckets + bucket % sub_buckets) << (power - 2);
    }

    std::uint64_t count() const noexcept;

    /// The value that `share` (0 to 1) of all values do not exceed, to within a bucket: its upper end. 0 if there are none.
    std::uint64_t quantile(double share) const noexcept;

    void add(const LatencySnapshot& other) noexcept;

    /// What has come in since `earlier`, a copy of the same histogram.
    LatencySnapshot since(const LatencySnapshot& earlier) const noexcept;

    std::array<std::uint64_t, bucket_count> counts{};
};

/// Counts of durations in buckets of logarithmic width. Any unit; Sidecore uses cycles.
///
/// Thread: one records, any thread reads.
class LatencyHistogram {
public:
    void record(std::uint64_t value, std::uint64_t times = 1) noexcept {
        auto& count = counts_[LatencySnapshot::bucket_of(value)];
        count.store(count.load(std::memory_order_relaxed) + times, std::memory_order_relaxed);
    }

    LatencySnapshot read() const noexcept;

private:
    std::array<std::atomic<std::uint64_t>, LatencySnapshot::bucket_count> counts_{};
};

}  // namespace sidecore
