// SPDX-License-Identifier: Apache-2.0
#include "engine/poll_budget.hh"

#include <algorithm>

namespace sidecore::engine {

void PollBudget::earn(std::uint64_t now_ns) noexcept {
    if (!started_ || now_ns < earned_until_ns_) {  // workers may report a little out of order
        earned_until_ns_ = started_ ? earned_until_ns_ : now_ns;
        started_ = true;
        return;
    }
    credit_ns_ += static_cast<double>(now_ns - earned_until_ns_) * percent_ / 100;
    credit_ns_ = std::min(credit_ns_, burst_ns * percent_ / 100);
    earned_until_ns_ = now_ns;
}

void PollBudget::spend(std::uint64_t now_ns, std::uint64_t empty_ns) noexcept {
    if (limited()) {
        earn(now_ns);
        credit_ns_ -= static_cast<double>(empty_ns);
    }
}

bool PollBudget::open(std::uint64_t now_ns) noexcept {
    if (!limited()) {
        return true;
    }
    earn(now_ns);
    open_ = open_ ? credit_ns_ > 0 : credit_ns_ >= burst_ns * percent_ / 100 / 4;
    return open_ && percent_ != 0;
}

}  // namespace sidecore::engine
