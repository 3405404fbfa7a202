// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_adaptive.hh"

#include <algorithm>

#include "engine/worker_habits.hh"

namespace sidecore::engine {

namespace {

/// A pass of a worker of which nothing is known yet: one that spins over a handful of queues.
constexpr double usual_pass_ns = 100;

/// Nothing costs nothing; a check that was measured as 0 would make the price infinite.
constexpr double least_check_ns = 0.1;

}  // namespace

AdaptivePolicy::AdaptivePolicy(Prefer prefer, const Costs& costs) noexcept
    : kick_price_ns_(costs.awake_kick_price_ns(prefer, static_cast<double>(busy_kick_check_ns))),
      at_least_ns_(
          static_cast<std::uint64_t>(std::clamp(ThresholdLearner::longest_threshold * costs.sleep_price_ns(prefer), 1.0,
                                                static_cast<double>(longest_price_ns)))),
      check_ns_(std::max(costs.check_ns, least_check_ns)) {}

Decision AdaptivePolicy::start(std::uint64_t now_ns, Mode current) noexcept {
    return current == Mode::polled ? gap_from(now_ns, 0) : Decision{};
}

Decision AdaptivePolicy::on_work(const Work& work) noexcept {
    end_gap(work.arrived_ns);
    return gap_from(work.now_ns, work.pass_ns);
}

Decision AdaptivePolicy::on_idle(std::uint64_t) noexcept {
    return {};
}

void AdaptivePolicy::on_sleep(std::uint64_t now_ns) noexcept {
    end_gap(now_ns);
}

void AdaptivePolicy::end_gap(std::uint64_t now_ns) noexcept {
    learner_.end(now_ns > gap_since_ns_ ? now_ns - gap_since_ns_ : 0);
}

Decision AdaptivePolicy::gap_from(std::uint64_t now_ns, double pass_ns) noexcept {
    gap_since_ns_ = now_ns;
    // A busy worker's passes are never alike, and each other price asks for other thresholds: it follows only larger changes.
    const std::uint64_t price = price_ns(pass_ns);
    if (price > last_price_ns_ + last_price_ns_ / 2 || price < last_price_ns_ - last_price_ns_ / 3) {
        last_price_ns_ = price;
    }
    return {Mode::polled, now_ns + learner_.begin(last_price_ns_, at_least_ns_)};
}

std::uint64_t AdaptivePolicy::price_ns(double pass_ns) const noexcept {
    const double looks_for_a_kick = std::max((pass_ns > 0 ? pass_ns : usual_pass_ns) / check_ns_, 1.0);
    const double price = std::min(kick_price_ns_ * looks_for_a_kick, static_cast<double>(longest_price_ns));
    return std::max(static_cast<std::uint64_t>(price), at_least_ns_);
}

}  // namespace sidecore::engine
