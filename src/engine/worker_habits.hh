// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// What a worker does how often, in nanoseconds: the engine's worker, and the simulator's model of it.
namespace sidecore::engine {

/// A worker that is awake looks for the kicks of notified queues this often. Such a look is a system call, and with what it
/// drives out of the caches costs a busy worker about a microsecond; one that spins has nothing better to do.
inline constexpr std::uint64_t busy_kick_check_ns = 40'000;
inline constexpr std::uint64_t spin_kick_check_ns = 5'000;

/// The same without notified queues. One that has moved on may have I/O that was submitted by this thread, and io_uring posts its
/// completion only when this thread passes through the kernel.
inline constexpr std::uint64_t kernel_visit_ns = 1'000'000;

/// How often an awake worker sees whether a time is over: that of a policy, which is then asked whether to go on polling, or one of
/// those here.
inline constexpr std::uint64_t housekeeping_ns = 5'000;

/// How often it looks at the poll budgets and at its neighbours.
inline constexpr std::uint64_t limits_check_ns = 50'000;

/// A queue over which the worker went to sleep is looked at again when the worker wakes up, for whatever reason, after so many
/// sleeps since it had work; after that it has to kick. To list and arm it again costs a few hundredths of a kick.
inline constexpr std::uint32_t relist_patience = 16;

}  // namespace sidecore::engine
