// SPDX-License-Identifier: Apache-2.0
#include "engine/gap_histogram.hh"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sidecore::engine {

/// Where the buckets lie: each gap counts as the middle of its bucket, and a threshold is the end of one.
struct GapHistogram::Edges {
    std::array<float, bucket_count> middle{};
    std::array<float, bucket_count> end{};

    constexpr Edges() noexcept {
        for (std::size_t i = 0; i + 1 < bucket_count; ++i) {
            const std::uint64_t start = start_of(i);
            const std::uint64_t next = start_of(i + 1);
            middle[i] = static_cast<float>(start + next) / 2;
            end[i] = static_cast<float>(next - 1);
        }
        middle[bucket_count - 1] = end[bucket_count - 1] = static_cast<float>(longest_ns);
    }
};

constinit const GapHistogram::Edges GapHistogram::edges{};

void GapHistogram::keep(float gaps) noexcept {
    if (total_ <= gaps) {
        return;
    }
    const float factor = gaps / total_;
    float sum = 0;
    for (float& count : counts_) {
        count *= factor;
        sum += count;
    }
    total_ = sum;  // not `gaps`: rounding must not add up over the years
}

double GapHistogram::mean_ns() const noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        sum += static_cast<double>(counts_[i]) * static_cast<double>(edges.middle[i]);
    }
    return total_ > 0 ? sum / static_cast<double>(total_) : 0;
}

std::uint64_t GapHistogram::cheapest_threshold(std::uint64_t price_ns, std::uint64_t limit_ns) const noexcept {
    if (total_ <= 0) {
        return std::min(price_ns, limit_ns);
    }
    const auto price = static_cast<float>(price_ns);
    const std::size_t candidates = bucket_of(std::min(limit_ns, longest_ns) + 1);  // their ends are within the limit
    // Calls `use(threshold, cost)` for each candidate, the shortest first.
    const auto for_each = [&](const auto& use) {
        float found = 0;
        float waiting = 0;
        use(0.0F, total_ * price);
        for (std::size_t i = 0; i < candidates; ++i) {
            found += counts_[i];
            waiting += counts_[i] * edges.middle[i];
            use(edges.end[i], waiting + std::max(total_ - found, 0.0F) * (edges.end[i] + price));
        }
    };
    float least = total_ * price;
    for_each([&](float, float cost) { least = std::min(least, cost); });
    const float good_enough = least * (1 + near_best);
    float chosen = 0;
    float distance = std::numeric_limits<float>::infinity();
    for_each([&](float threshold, float cost) {
        if (cost <= good_enough && std::fabs(threshold - price) < distance) {
            chosen = threshold;
            distance = std::fabs(threshold - price);
        }
    });
    // Nearer to the price by next to nothing is no reason to look at all.
    const bool pointless = chosen < price / 16 && total_ * price <= good_enough;
    return pointless ? 0 : static_cast<std::uint64_t>(chosen);
}

}  // namespace sidecore::engine
