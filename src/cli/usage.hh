// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/info.hh"

namespace sidecore::cli {

/// What a queue, or several together, have done and cost.
struct Usage {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;
    std::uint64_t kicks = 0;
    std::uint64_t calls = 0;
    control::CpuInfo cpu;
    control::LatencyInfo wait_times;
    control::LatencyInfo service_times;

    static Usage of(const control::QueueInfo& queue);
    void add(const Usage& other);

    /// What has come since `earlier`. A queue whose counters went back was started anew: it counts from zero.
    Usage since(const Usage& earlier) const;
};

/// By what statistics are summed up.
enum class By : std::uint8_t { queue, device, vm };

struct NamedUsage {
    std::string name;  ///< of the device or the virtual machine; "-": of none
    std::size_t queues = 0;
    Usage usage;
};

/// One for each device or virtual machine, the one that took the most CPU time first. `before`: an earlier state; only what has
/// come since counts.
std::vector<NamedUsage> usage_by(By by, const control::Statistics& statistics,
                                 const control::Statistics* before = nullptr);

/// The same of one queue of a device.
Usage usage_of(const control::DeviceInfo& device, const control::QueueInfo& queue, const control::Statistics* before);

/// CPU time of the workers that is no queue's.
std::uint64_t other_cpu_ns(const control::Statistics& statistics, const control::Statistics* before = nullptr);

}  // namespace sidecore::cli
