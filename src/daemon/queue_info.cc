// SPDX-License-Identifier: Apache-2.0
#include "daemon/queue_info.hh"

#include "base/clock.hh"

namespace sidecore::daemon {

namespace {

control::Counters to_counters(const engine::QueueSnapshot& snapshot) {
#define SIDECORE_NAME_AND_VALUE(name) {#name, snapshot.name},
    return {SIDECORE_QUEUE_COUNTERS(SIDECORE_NAME_AND_VALUE)};
#undef SIDECORE_NAME_AND_VALUE
}

/// Of cycles.
control::LatencyInfo to_latency(const LatencySnapshot& snapshot) {
    control::LatencyInfo latency;
    for (std::size_t bucket = 0; bucket < LatencySnapshot::bucket_count; ++bucket) {
        if (snapshot.counts[bucket] != 0) {
            // Several buckets of a few cycles may end in the same nanosecond.
            const std::uint64_t upper_ns = cycles_to_ns(LatencySnapshot::lower_end(bucket + 1) - 1);
            if (latency.buckets.empty() || latency.buckets.back().first != upper_ns) {
                latency.buckets.emplace_back(upper_ns, 0);
            }
            latency.buckets.back().second += snapshot.counts[bucket];
        }
    }
    return latency;
}

}  // namespace

control::QueueInfo to_queue_info(const engine::QueueSnapshot& snapshot, std::uint64_t now_ns) {
    control::QueueInfo info;
    info.attached = snapshot.attached;
    info.mode = engine::to_string(snapshot.mode);
    // The worker may have written it after the clock was read.
    const bool known = snapshot.attached && snapshot.mode_since_ns != 0 && snapshot.mode_since_ns < now_ns;
    info.mode_age_ns = known ? now_ns - snapshot.mode_since_ns : 0;
    info.listed = snapshot.listed;
    info.held = snapshot.held;
    info.armed = snapshot.armed;
    info.broken = snapshot.broken;
    info.wait_times = to_latency(snapshot.wait_times);
    info.service_times = to_latency(snapshot.service_times);
    info.counters = to_counters(snapshot);
    return info;
}

}  // namespace sidecore::daemon
