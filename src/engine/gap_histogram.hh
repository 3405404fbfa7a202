// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sidecore::engine {

/// How long the gaps between works were lately, in logarithmic buckets of an eighth of an octave; what is older counts less.
/// Answers the one question that matters about them: for how long would it have been cheapest to wait?
///
/// Invariants: total() is the sum of the buckets, and at most `memory`. 784 bytes, no allocation.
/// Thread: one at a time.
class GapHistogram {
public:
    /// Gaps that it remembers. When there are more, all that it holds counts half from then on.
    static constexpr float memory = 2048;

    /// Gaps below `shortest_ns` are all alike, and so are those from `longest_ns` (0.5 s) on.
    static constexpr std::uint64_t shortest_ns = 32;
    static constexpr std::uint64_t longest_ns = std::uint64_t{1} << 29U;

    void add(std::uint64_t gap_ns) noexcept {
        counts_[bucket_of(gap_ns)] += 1;
        total_ += 1;
        if (total_ >= memory) {
            keep(memory / 2);
        }
    }

    /// Makes everything that it holds count for `gaps` gaps altogether, if it is more: experience of another time.
    void keep(float gaps) noexcept;

    float total() const noexcept { return total_; }

    /// Mean of the gaps in ns, those from `longest_ns` on counted as that long; 0 while there are none.
    double mean_ns() const noexcept;

    /// The time to wait in each gap that would have cost least altogether if a gap that ends in time costs its length, and one
    /// that does not costs the waiting and `price_ns`. From 0 to `limit_ns`. Of those within `near_best` of the least cost it is
    /// the one nearest to `price_ns`, for that is what the unforeseen does least harm to. `price_ns` itself while there are no gaps.
    std::uint64_t cheapest_threshold(std::uint64_t price_ns, std::uint64_t limit_ns) const noexcept;

    static constexpr float near_best = 0.005F;

private:
    static constexpr unsigned sub_bits = 3;
    static constexpr unsigned first_octave = std::bit_width(shortest_ns) - 1;
    static constexpr unsigned last_octave = std::bit_width(longest_ns) - 1;
    static constexpr std::size_t bucket_count = 2 + ((last_octave - first_octave) << sub_bits);

    // The first bucket has what is shorter than the shortest, the last what is too long.
    static constexpr std::size_t bucket_of(std::uint64_t gap_ns) noexcept {
        if (gap_ns < shortest_ns) {
            return 0;
        }
        if (gap_ns >= longest_ns) {
            return bucket_count - 1;
        }
        const auto octave = static_cast<unsigned>(std::bit_width(gap_ns)) - 1;
        const std::uint64_t sub = (gap_ns >> (octave - sub_bits)) & ((1U << sub_bits) - 1);
        return 1 + ((octave - first_octave) << sub_bits) + sub;
    }

    static constexpr std::uint64_t start_of(std::size_t bucket) noexcept {
        if (bucket == 0) {
            return 0;
        }
        const std::size_t octave = first_octave + ((bucket - 1) >> sub_bits);
        const std::uint64_t sub = (bucket - 1) & ((1U << sub_bits) - 1);
        return ((1U << sub_bits) + sub) << (octave - sub_bits);
    }

    struct Edges;
    static const Edges edges;

    std::array<float, bucket_count> counts_{};
    float total_ = 0;
};

}  // namespace sidecore::engine
