// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sidecore::sim {

/// What a fixed threshold costs relative to the clairvoyant when the gaps are a mixture of two exponential ones: `share` of all
/// have the mean `first`, the others the mean `second`. Everything in prices of a sleep; the threshold may be infinite.
double expected_ratio(double share, double first, double second, double threshold) noexcept;

/// The same for exponential gaps of which there are `a` in a price, on average.
inline double expected_poisson_ratio(double a, double threshold) noexcept {
    return expected_ratio(1, 1 / a, 1, threshold);
}

}  // namespace sidecore::sim
