// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/policy_settings.hh"
#include "sim/trace.hh"
#include "sim/world.hh"

namespace sidecore::sim {

/// A world in which a sleep costs a hundred times as much, arming takes no time, and the worker reads the clock after each look: what
/// is left between theory and simulation is chance.
World exact_world();

/// A policy under a name.
struct Contestant {
    std::string name;
    engine::PolicySettings policy;
};

/// `adaptive`, and all that it is compared with.
std::vector<Contestant> contestants();

/// The rule that polls for `time_ns` after the last work: 0 is never, infinity is always.
engine::PolicySettings polling_for(double time_ns);

/// How a policy did on a trace.
struct Result {
    Outcome outcome;
    double cost_ns = 0;
    double least_ns = 0;  ///< what the clairvoyant pays
    double ratio() const noexcept { return cost_ns / least_ns; }
};

/// `least_ns` of a trace without an adversary, if it is known already.
Result run(const World& world, const engine::PolicySettings& policy, const Trace& trace, double least_ns = 0);

/// Whether a trace depends on the policy.
bool has_adversary(const Trace& trace) noexcept;

struct FixedThreshold {
    double threshold_ns = 0;  ///< of polling_for()
    Result result;
};

/// Of all rules that poll for a fixed time, the one that would have been the cheapest on the trace, by search.
FixedThreshold best_fixed_threshold(const World& world, const Trace& trace, double least_ns = 0);

/// What happens when a load turns into another, again and again: the mean over all changes.
struct Adaptation {
    std::vector<double> cost;  ///< of the first, second, ... gap after a change, in prices of a sleep

    double first() const noexcept { return cost.front(); }
    double settled() const noexcept;  ///< of the later half of the gaps
    std::size_t gaps_to_most_of_the_gain()
        const noexcept;             ///< until nine tenths of the way from first to settled are gone
    double extra() const noexcept;  ///< what all gaps cost beyond settled()
};

/// Exponential gaps of `before` prices on average, then of `after`, a thousand of each, `length` altogether.
Adaptation adapt(const World& world, const engine::PolicySettings& policy, double before, double after,
                 std::size_t length);

}  // namespace sidecore::sim
