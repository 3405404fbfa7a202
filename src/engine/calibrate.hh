// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hh"
#include "engine/costs.hh"

namespace sidecore::engine {

/// One cost, and how it came about: for the operator.
struct Measurement {
    std::string name;     ///< of the member of Costs
    double value_ns = 0;  ///< the median
    double low_ns = 0;    ///< a quarter of the samples were below
    double high_ns = 0;   ///< a quarter were above
    std::string how;      ///< what was done and timed, in one sentence
};

struct Calibration {
    Costs costs;
    std::vector<Measurement> measurements;
};

/// How long to look: medians of fewer samples come to the same within some percent, but for what disturbs the machine meanwhile.
enum class CalibrationEffort : std::uint8_t {
    brief,     ///< about 5 ms, for a daemon's start
    thorough,  ///< about 50 ms
};

/// Measures the costs of this host by doing what workers and guests do: an eventfd write that wakes a thread up which sleeps
/// in epoll_wait, a look at a line of memory, a store with a full barrier and another look.
/// The guest's part of a kick is what the write costs here; where guests leave through the hypervisor first, a VM exit (one
/// to a few microseconds) comes on top, and `vm_exit_ns` says so.
///
/// Thread: any; starts one of its own and ends it. Errors: system, when the kernel gives no eventfd, epoll set or thread.
Result<Calibration> calibrate(double vm_exit_ns = 0, CalibrationEffort effort = CalibrationEffort::thorough);

}  // namespace sidecore::engine
