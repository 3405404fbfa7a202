// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/policy_settings.hh"
#include "sim/trace.hh"
#include "sim/world.hh"

namespace sidecore::sim {

/// The queues of a host with 1,000 virtual machines of 4 queues each, VM after VM: 30 VMs carry most of the load in bursts, 270 have a
/// request now and then, 700 have hardly any. Together 2.7 million requests per second, 64 at most under way in each queue.
std::vector<QueueTrace> busy_host(std::uint64_t end_ns);
inline constexpr std::size_t queues_per_guest = 4;

/// How several workers did together.
struct HostOutcome {
    std::uint64_t requests = 0;
    std::uint64_t kicks = 0;
    std::uint64_t sleeps = 0;
    LatencySnapshot waits{};  ///< from arrival to turn
    double serving_ns = 0;
    double worker_cpu_ns = 0;  ///< of all workers, serving included
    double guest_cpu_ns = 0;   ///< of the guests, for kicks
    double waits_ns = 0;       ///< of all requests
};

/// `workers` workers, to which the guests of `queues` are dealt in turn, until `end_ns`. They are independent of each other.
HostOutcome run_host(const World& world, const engine::PolicySettings& policy, const std::vector<QueueTrace>& queues,
                     std::size_t workers, std::uint64_t end_ns);

}  // namespace sidecore::sim
