// SPDX-License-Identifier: Apache-2.0
#include "sim/theory.hh"

#include <cmath>

namespace sidecore::sim {

double expected_ratio(double share, double first, double second, double threshold) noexcept {
    // E[min(gap, t)] = mean * P(gap < t), and P(gap > t) = exp(-t / mean).
    const auto expected_cost = [&](double wait, double price) {
        const auto of = [&](double mean) {
            const double longer = std::exp(-wait / mean);
            return mean * (1 - longer) + longer * price;
        };
        return share * of(first) + (1 - share) * of(second);
    };
    return expected_cost(threshold, 1) / expected_cost(1, 0);
}

}  // namespace sidecore::sim
