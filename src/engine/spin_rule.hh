// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/threshold_learner.hh"

namespace sidecore::engine {

/// When nothing is left to do: how long a worker looks on before it arms everything and sleeps. One per worker; it decides for the
/// queues whose policy yields, and where nothing is polled how long the worker looks for kicks. Another queue's policy may keep the worker awake for longer.
///
/// The worker calls begin() and end() in turn; begin() again without end() forgets the gap that was. Pure: no clock, no I/O. Thread: the worker's. Times are nanoseconds of one monotonic
/// clock.
class SpinRule {
public:
    /// All work is done at `now_ns`. Returns when to stop looking; `now_ns` itself: sleep at once. `price_ns` is what a sleep and its
    /// wake-up cost: Costs::sleep_price_ns for the one of the queues concerned that minds latency most; Costs::wake_ns where nothing is polled.
    std::uint64_t begin(std::uint64_t now_ns, double price_ns) noexcept;

    /// Work has come, at `arrived_ns`: found by looking, or by the wake-up that ended a sleep. It is the time of arrival, as
    /// well as can be told: were it the time of noticing, then oversleeping would make gaps look longer and sleeping better.
    /// Nothing happens when no gap has begun.
    void end(std::uint64_t arrived_ns) noexcept;

    PolicyFigures figures() const noexcept { return learner_.figures(); }

private:
    ThresholdLearner learner_;
    std::uint64_t gap_since_ns_ = 0;
};

}  // namespace sidecore::engine
