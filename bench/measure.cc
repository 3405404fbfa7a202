// SPDX-License-Identifier: Apache-2.0
#include "measure.hh"

#include "base/clock.hh"
#include "ping_pong.hh"
#include "process_usage.hh"

namespace sidecore::bench {

Result<Measured> measure_driven(const Driven& driven, const MeasureOptions& options) {
    SIDECORE_TRY(pin_this_thread(options.cpu));
    driven.spin(options.warm_up_seconds);
    ProcessUsage before;
    if (options.backend_pid != 0) {
        SIDECORE_TRY_ASSIGN(before, process_usage(options.backend_pid));
    }
    driven.forget();
    const std::uint64_t start_ns = monotonic_ns();
    driven.spin(options.seconds);
    Measured measured;
    measured.seconds = static_cast<double>(monotonic_ns() - start_ns) / 1e9;
    if (options.backend_pid != 0) {
        SIDECORE_TRY_ASSIGN(const ProcessUsage after, process_usage(options.backend_pid));
        measured.backend_cpus = static_cast<double>(after.cpu_ns - before.cpu_ns) / 1e9 / measured.seconds;
        measured.backend_switches_per_s =
            static_cast<double>(after.context_switches - before.context_switches) / measured.seconds;
    }
    return measured;
}

Result<Measured> measure_streams(std::span<Stream> streams, const MeasureOptions& options) {
    return measure_driven(
        {.spin = [streams](double seconds) { spin_for(streams, seconds); }, .forget = [streams] { forget(streams); }},
        options);
}

}  // namespace sidecore::bench
