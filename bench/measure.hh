// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <sys/types.h>

#include "base/error.hh"
#include "spinner.hh"

namespace sidecore::bench {

struct MeasureOptions {
    double seconds = 1;
    double warm_up_seconds = 0.3;
    int cpu = 0;            ///< of the driver: the calling thread stays there
    pid_t backend_pid = 0;  ///< 0: what the back-end uses is not known
};

/// How long it took, and what the back-end's process used meanwhile.
struct Measured {
    double seconds = 0;
    std::optional<double> backend_cpus{};  ///< CPU time per time
    std::optional<double> backend_switches_per_s{};
};

/// Drives the streams, warm-up first; what they count afterwards is of the time that was measured. They still have requests in flight.
Result<Measured> measure_streams(std::span<Stream> streams, const MeasureOptions& options);

}  // namespace sidecore::bench
