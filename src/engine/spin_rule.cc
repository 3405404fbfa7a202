// SPDX-License-Identifier: Apache-2.0
#include "engine/spin_rule.hh"

#include <algorithm>

namespace sidecore::engine {

std::uint64_t SpinRule::begin(std::uint64_t now_ns, double price_ns) noexcept {
    gap_since_ns_ = now_ns;
    const double within_range = std::clamp(price_ns, 1.0, static_cast<double>(ThresholdLearner::highest_price_ns));
    return now_ns + learner_.begin(static_cast<std::uint64_t>(within_range));
}

void SpinRule::end(std::uint64_t arrived_ns) noexcept {
    learner_.end(arrived_ns > gap_since_ns_ ? arrived_ns - gap_since_ns_ : 0);
}

}  // namespace sidecore::engine
