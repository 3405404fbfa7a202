// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/error.hh"

namespace sidecore::bench {

struct MeasureOptions {
    double seconds = 2;
    double warm_up_seconds = 0.3;
    std::vector<int> cpus{0};  ///< of the driver: job i stays on cpus[i % cpus.size()]
    pid_t backend_pid = 0;     ///< 0: what the back-end uses is not known
    bool progress = false;     ///< shown on standard error
};

/// How long it took, and what the back-end's process used meanwhile.
struct Measured {
    double seconds = 0;
    std::optional<double> backend_cpus{};  ///< CPU time per time
    std::optional<double> backend_switches_per_s{};
};

/// What is measured.
struct Driven {
    std::vector<std::function<void(double)>> jobs;  ///< each runs for so many seconds, on a thread of its own
    std::function<void()> forget;                   ///< counts anew; no job runs meanwhile
};

/// Drives it, warm-up first; what it counts afterwards is of the time that was measured. `name` is for the progress.
Result<Measured> measure(const Driven& driven, const MeasureOptions& options, const std::string& name);

}  // namespace sidecore::bench
