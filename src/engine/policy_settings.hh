// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.hh"
#include "engine/costs.hh"

namespace sidecore::engine {

enum class PolicyKind : std::uint8_t {
    never,   ///< notification only
    always,  ///< polled as long as the queue runs
    rate,    ///< the 2014 Linux patch "vhost: Add polling mode"
    fixed,   ///< polled for a fixed time after the last work: vhost-net's busyloop, Cloud Hypervisor's block device
    grow_shrink,  ///< that time grows while the next work comes soon, and is 0 after a long gap: KVM halt polling, QEMU's aio
    breakeven,  ///< polled for as long as a sleep and its wake-up cost: never more than twice what a clairvoyant pays
    adaptive,   ///< polled for what would have been cheapest in the gaps seen lately, under the same bound
};

std::string_view to_string(PolicyKind kind) noexcept;
Result<PolicyKind> parse_policy_kind(std::string_view name);

std::string_view to_string(Prefer prefer) noexcept;
Result<Prefer> parse_prefer(std::string_view name);

/// A policy and its parameters. Parameters that a kind does not use are kept, so that changing the kind back
/// and forth loses nothing.
struct PolicySettings {
    PolicyKind kind = PolicyKind::adaptive;

    /// rate: works within one tick that make a notified queue polled; 0: never. A work is a turn that found
    /// something to do, however many requests it took (the patch's "work").
    std::uint32_t poll_start_rate = 4;

    /// rate: a polled queue without work for this long is notified again. 1 to 2^62 ns.
    std::uint64_t poll_stop_idle_ns = 3'000'000'000;

    /// rate: the interval that works are counted in. 1 to 2^62 ns.
    std::uint64_t tick_ns = 1'000'000;

    /// breakeven, adaptive: what waiting is worth.
    Prefer prefer = Prefer::balanced;

    /// fixed: how long the queue is polled after its last work. 1 to 2^62 ns.
    std::uint64_t poll_time_ns = 50'000;

    /// grow_shrink: the shortest time other than 0, and the longest; a longest below the shortest counts as equal to it. 1 to 2^62 ns.
    std::uint64_t grow_start_ns = 10'000;
    std::uint64_t grow_max_ns = 200'000;

    friend bool operator==(const PolicySettings&, const PolicySettings&) = default;
};

}  // namespace sidecore::engine
