// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/latency_histogram.hh"
#include "engine/costs.hh"
#include "engine/policy.hh"
#include "engine/worker_habits.hh"

namespace sidecore::sim {

/// The machine that is simulated, and how its workers go about things. The intervals are those of the engine's worker.
struct World {
    engine::Costs costs{};                    ///< what things cost there
    std::optional<engine::Costs> believed{};  ///< what the policies have been told, if something else

    /// What latency is worth: to the policies, and in what a run is charged with.
    engine::Prefer prefer = engine::Prefer::balanced;

    std::uint64_t pass_ns = 8;           ///< a pass over the list, beside the looks
    std::uint64_t turn_ns = 0;           ///< a turn, beside the requests
    std::uint32_t looks_per_clock = 16;  ///< a spinning worker reads the clock once in so many looks
    /// Between two askings of the policies: the engine's is housekeeping_ns. 0, whenever the clock is read: so a fixed threshold is what it says.
    std::uint64_t policy_check_ns = 0;

    // An awake worker looks for kicks this often
    std::uint64_t busy_kick_check_ns = engine::busy_kick_check_ns;  ///< ... while it has work
    std::uint64_t spin_kick_check_ns = engine::spin_kick_check_ns;  ///< ... while it has none
    std::uint64_t kernel_visit_ns = engine::kernel_visit_ns;        ///< ... while no queue is armed

    /// A worker that has nothing to poll looks for kicks, before it sleeps, for as long as its spin rule says.
    bool lingers = true;

    /// A queue is listed again after so many sleeps since it had work.
    std::uint32_t relist_patience = engine::relist_patience;
    std::uint32_t turn_requests = 64;
    std::uint64_t turn_max_ns = 50'000;

    /// The price of a sleep and its wake-up: the unit that costs are told in.
    double sleep_price_ns() const noexcept { return costs.sleep_price_ns(prefer); }
    const engine::Costs& told() const noexcept { return believed ? *believed : costs; }
};

/// What has happened to one worker so far.
struct Outcome {
    std::uint64_t end_ns = 0;
    std::uint64_t requests = 0;  ///< answered
    std::uint64_t completions = 0;
    std::uint64_t turns = 0;  ///< with work
    std::uint64_t sleeps = 0;
    std::uint64_t kicks = 0;
    std::uint64_t kick_checks = 0;
    std::uint64_t awake_ns = 0;
    std::uint64_t serving_ns = 0;  ///< of these, spent on requests and completions
    std::uint64_t late_ns = 0;     ///< time in which there was work and nobody looked; see cost_ns()
    std::uint64_t waits_ns = 0;    ///< from the arrival to the turn, of all requests
    LatencySnapshot waits{};

    /// What is compared: CPU that served nobody, kicks, wake-ups, and w times the lateness. A sleeping worker is late from the
    /// first arrival to its first instruction, once, however many requests come meanwhile; an awake one is late with a queue
    /// from the kick to its seeing it.
    double cost_ns(const World& world) const noexcept {
        return static_cast<double>(awake_ns - serving_ns) + static_cast<double>(sleeps) * world.costs.wake_ns +
               static_cast<double>(kicks) * world.costs.kick_ns +
               engine::Costs::latency_weight(world.prefer) * static_cast<double>(late_ns);
    }

    /// The CPU part of it that is the worker's own.
    double worker_cpu_ns(const World& world) const noexcept {
        return static_cast<double>(awake_ns) + static_cast<double>(sleeps) * world.costs.wake_ns;
    }
};

}  // namespace sidecore::sim
