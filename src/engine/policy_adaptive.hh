// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/costs.hh"
#include "engine/policy.hh"
#include "engine/threshold_learner.hh"

namespace sidecore::engine {

/// The default policy, a queue's half of it: whether the worker, *while it is awake*, looks at this queue or waits for its kick. How long
/// the worker stays awake is not decided here but by its SpinRule, so the policy yields.
///
/// A listed queue costs one check per pass, the share check / pass of the worker's time. A queue that has left costs a kick when it
/// gets work. That is ski rental with the price
///     B = price of a kick to an awake worker * pass / check,
/// in time of the worker: beside busy queues a pass is long and a look is cheap next to it, on a spinning worker it is the other way
/// round. A gap ends when work comes, or when the worker goes to sleep: from then on the queue costs nothing, and the wake-up is the
/// SpinRule's to pay.
///
/// The queue stays on the list for at least as long as the SpinRule may look on. Its leaving would send the worker to sleep if it
/// is the last, and when to sleep is the SpinRule's to say: it has promised to pay no more than twice what a clairvoyant pays, and could not
/// keep that if somebody else cut its waiting short.
class AdaptivePolicy final : public Policy {
public:
    /// A queue without work leaves the list after so long, however cheap its looks are: a thousand of them are not.
    static constexpr std::uint64_t longest_price_ns = 20'000'000;

    AdaptivePolicy(Prefer prefer, const Costs& costs) noexcept;

    Decision start(std::uint64_t now_ns, Mode current) noexcept override;
    Decision on_work(const Work& work) noexcept override;
    Decision on_idle(std::uint64_t now_ns) noexcept override;
    void on_sleep(std::uint64_t now_ns) noexcept override;
    Persistence persistence() const noexcept override { return Persistence::yields; }
    PolicyFigures figures() const noexcept override { return learner_.figures(); }

private:
    void end_gap(std::uint64_t now_ns) noexcept;
    Decision gap_from(std::uint64_t now_ns, double pass_ns) noexcept;
    std::uint64_t price_ns(double pass_ns) const noexcept;

    const double kick_price_ns_;
    const std::uint64_t at_least_ns_;
    const double check_ns_;
    ThresholdLearner learner_;
    std::uint64_t gap_since_ns_ = 0;
    std::uint64_t last_price_ns_ = 0;
};

}  // namespace sidecore::engine
