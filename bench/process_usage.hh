// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <sys/types.h>

#include "base/error.hh"

namespace sidecore::bench {

/// What all threads of a process have used so far, from /proc/<pid>/task. A thread that ends takes its share away.
struct ProcessUsage {
    std::uint64_t cpu_ns = 0;
    std::uint64_t context_switches = 0;  ///< voluntary and involuntary
};

Result<ProcessUsage> process_usage(pid_t pid);

}  // namespace sidecore::bench
