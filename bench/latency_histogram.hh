// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sidecore::bench {

/// How often each latency occurred, to about 3 %: 32 equal steps within each power of two. Fixed size, no allocation.
///
/// Thread: one. The unit is the caller's.
class LatencyHistogram {
public:
    void record(std::uint64_t value) noexcept {
        ++counts_[bucket_of(value)];
        ++total_;
    }

    std::uint64_t total() const noexcept { return total_; }

    /// The value that `share` (0 to 1) of all recorded ones do not exceed: the upper end of its step. 0 without any.
    std::uint64_t percentile(double share) const noexcept {
        const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted || (seen == total_ && total_ != 0)) {
                return upper_end_of(i);
            }
        }
        return 0;
    }

    void add(const LatencyHistogram& other) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            counts_[i] += other.counts_[i];
        }
        total_ += other.total_;
    }

    void clear() noexcept {
        counts_.fill(0);
        total_ = 0;
    }

private:
    static constexpr unsigned step_bits = 5;
    static constexpr std::size_t steps = 1U << step_bits;

    static std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < steps) {
            return value;
        }
        const auto power = static_cast<unsigned>(std::bit_width(value)) - 1 - step_bits;
        return (power + 1) * steps + ((value >> power) - steps);
    }

    static std::uint64_t upper_end_of(std::size_t bucket) noexcept {
        if (bucket < steps) {
            return bucket;
        }
        const auto power = static_cast<unsigned>(bucket / steps - 1);
        return ((bucket % steps + steps + 1) << power) - 1;
    }

    std::array<std::uint64_t, (64 - step_bits + 1) * steps> counts_{};
    std::uint64_t total_ = 0;
};

}  // namespace sidecore::bench
