// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hh"

namespace sidecore::bench {

/// Keeps the calling thread on one CPU.
Result<void> pin_this_thread(int cpu);

/// Nanoseconds that a cache line takes from one core to the other and back: the unit in which every request between a
/// driver and a device on two cores is paid. Where the two virtual cores lie on the host can change by itself, so a
/// figure without this beside it can be compared with nothing.
///
/// Takes about 50 ms of both CPUs; the median of many short rounds, so that other work on them disturbs it little.
/// The calling thread is left on `first`.
Result<double> ping_pong_ns(int first, int second);

}  // namespace sidecore::bench
