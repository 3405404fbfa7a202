// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/costs.hh"
#include "engine/policy_figures.hh"
#include "engine/policy_settings.hh"

namespace sidecore::engine {

/// Who finds new work in a queue: the guest tells us, or we look.
enum class Mode : std::uint8_t { notified, polled };

std::string_view to_string(Mode mode) noexcept;

/// A time that never comes.
inline constexpr std::uint64_t forever_ns = UINT64_MAX;

/// Work that was found in a queue.
struct Work {
    std::uint64_t now_ns = 0;      ///< when the turn that found it was over
    std::uint64_t arrived_ns = 0;  ///< when it came, as well as can be told: after a sleep, not when it was noticed
    double pass_ns = 0;            ///< the worker's time from one look at this queue to the next, lately; 0: not known
};

/// What a queue shall be from now on.
struct Decision {
    Mode mode = Mode::notified;
    std::uint64_t until_ns = forever_ns;  ///< if polled, and no work is found until then: on_idle() is asked again

    friend bool operator==(const Decision&, const Decision&) = default;
};

/// What it takes for a worker to go to sleep over a polled queue that has no work.
enum class Persistence : std::uint8_t {
    yields,      ///< the worker's SpinRule decides; the queue is armed and counts as notified until it has work again
    until_idle,  ///< the policy's own time is over, or others want the CPU
    unconditional,  ///< only a poll budget: the operator has ordered it to be polled
};

/// Decides one queue's mode from its past. Pure: no clock, no I/O; the same object serves worker, tests and
/// simulator.
///
/// Thread: one at a time. Times are nanoseconds of one monotonic clock and never go back.
class Policy {
public:
    virtual ~Policy() = default;
    Policy() = default;
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;

    /// The mode of a queue when it starts, or when it is given this policy while in `current` mode. Called once, first.
    virtual Decision start(std::uint64_t now_ns, Mode current) noexcept = 0;

    /// A turn found work.
    virtual Decision on_work(const Work& work) noexcept = 0;

    /// The queue is polled, the time of the last decision has come, and there was no work.
    virtual Decision on_idle(std::uint64_t now_ns) noexcept = 0;

    /// The same at all times.
    virtual Persistence persistence() const noexcept { return Persistence::until_idle; }

    /// The worker has gone to sleep over the queue, whatever the policy wanted.
    virtual void on_sleep(std::uint64_t now_ns) noexcept { static_cast<void>(now_ns); }

    /// What the policy goes by at present, for explain().
    virtual PolicyFigures figures() const noexcept = 0;
};

/// A policy of `settings.kind` that has seen nothing yet. Allocates; the policy's own functions do not.
std::unique_ptr<Policy> make_policy(const PolicySettings& settings, const Costs& costs);

}  // namespace sidecore::engine
