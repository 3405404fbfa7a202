// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/clock.hh"
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

/// The load of `streams`, shared out among at most `most` jobs, each of which gives its streams a turn after the other. A stream has turn(now) and
/// forget(now), in cycles; the streams stay the caller's.
template <typename Stream>
Driven share_out(const std::vector<Stream*>& streams, std::size_t most) {
    Driven driven;
    const std::size_t jobs = std::clamp<std::size_t>(streams.size(), 1, most);
    for (std::size_t job = 0; job < jobs; ++job) {
        std::vector<Stream*> mine;
        for (std::size_t i = job; i < streams.size(); i += jobs) {
            mine.push_back(streams[i]);
        }
        driven.jobs.emplace_back([mine = std::move(mine)](double seconds) {
            const std::uint64_t end = cycles() + ns_to_cycles(static_cast<std::uint64_t>(seconds * 1e9));
            std::uint64_t now = cycles();
            while (now < end) {
                now = cycles();
                for (Stream* const stream : mine) {
                    stream->turn(now);
                }
            }
        });
    }
    driven.forget = [streams] {
        const std::uint64_t now = cycles();
        for (Stream* const stream : streams) {
            stream->forget(now);
        }
    };
    return driven;
}

/// Drives it, warm-up first; what it counts afterwards is of the time that was measured. `name` is for the progress.
Result<Measured> measure(const Driven& driven, const MeasureOptions& options, const std::string& name);

}  // namespace sidecore::bench
