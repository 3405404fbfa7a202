// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
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

/// What is measured: how it runs for so many seconds, and how it counts anew.
struct Driven {
    std::function<void(double)> spin;
    std::function<void()> forget;
};

/// Drives it, warm-up first; what it counts afterwards is of the time that was measured.
Result<Measured> measure_driven(const Driven& driven, const MeasureOptions& options);

/// Likewise the streams, which still have requests in flight afterwards.
Result<Measured> measure_streams(std::span<Stream> streams, const MeasureOptions& options);

}  // namespace sidecore::bench
