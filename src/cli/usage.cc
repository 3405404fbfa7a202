// SPDX-License-Identifier: Apache-2.0
#include "cli/usage.hh"

#include <algorithm>

namespace sidecore::cli {

namespace {

using control::counter;

std::uint64_t difference(std::uint64_t later, std::uint64_t earlier) {
    return later >= earlier ? later - earlier : later;
}

const control::QueueInfo* find_queue(const control::Statistics& statistics, std::string_view device,
                                     std::uint16_t index) {
    for (const control::DeviceInfo& candidate : statistics.devices) {
        if (candidate.name == device && index < candidate.queues.size()) {
            return &candidate.queues[index];
        }
    }
    return nullptr;
}

}  // namespace

Usage Usage::of(const control::QueueInfo& queue) {
    const control::Counters& counters = queue.counters;
    Usage usage;
    usage.requests = counter(counters, "poll_requests") + counter(counters, "notif_requests");
    usage.bytes = counter(counters, "poll_bytes") + counter(counters, "notif_bytes");
    usage.kicks = counter(counters, "kicks");
    usage.calls = counter(counters, "calls");
    usage.cpu = control::cpu_of(counters);
    usage.wait_times = queue.wait_times;
    usage.service_times = queue.service_times;
    return usage;
}

void Usage::add(const Usage& other) {
    requests += other.requests;
    bytes += other.bytes;
    kicks += other.kicks;
    calls += other.calls;
    cpu.add(other.cpu);
    wait_times.add(other.wait_times);
    service_times.add(other.service_times);
}

Usage Usage::since(const Usage& earlier) const {
    if (requests < earlier.requests) {
        return *this;
    }
    Usage result;
    result.requests = requests - earlier.requests;
    result.bytes = difference(bytes, earlier.bytes);
    result.kicks = difference(kicks, earlier.kicks);
    result.calls = difference(calls, earlier.calls);
    result.cpu = {difference(cpu.serving_ns, earlier.cpu.serving_ns),
                  difference(cpu.polling_ns, earlier.cpu.polling_ns), difference(cpu.waking_ns, earlier.cpu.waking_ns)};
    result.wait_times = wait_times.since(earlier.wait_times);
    result.service_times = service_times.since(earlier.service_times);
    return result;
}

Usage usage_of(const control::DeviceInfo& device, const control::QueueInfo& queue, const control::Statistics* before) {
    const control::QueueInfo* earlier = before != nullptr ? find_queue(*before, device.name, queue.index) : nullptr;
    const Usage now = Usage::of(queue);
    return earlier != nullptr ? now.since(Usage::of(*earlier)) : now;
}

std::vector<NamedUsage> usage_by(By by, const control::Statistics& statistics, const control::Statistics* before) {
    std::vector<NamedUsage> result;
    for (const control::DeviceInfo& device : statistics.devices) {
        const std::string name = by == By::device ? device.name : device.vm.empty() ? "-" : device.vm;
        auto found = std::ranges::find(result, name, &NamedUsage::name);
        if (found == result.end()) {
            found = result.insert(result.end(), NamedUsage{name, 0, {}});
        }
        for (const control::QueueInfo& queue : device.queues) {
            ++found->queues;
            found->usage.add(usage_of(device, queue, before));
        }
    }
    std::ranges::stable_sort(result, std::ranges::greater{},
                             [](const NamedUsage& named) { return named.usage.cpu.total_ns(); });
    return result;
}

std::uint64_t other_cpu_ns(const control::Statistics& statistics, const control::Statistics* before) {
    std::uint64_t sum = 0;
    for (const control::WorkerInfo& worker : statistics.workers) {
        std::uint64_t earlier = 0;
        if (before != nullptr) {
            const auto found = std::ranges::find(before->workers, worker.name, &control::WorkerInfo::name);
            earlier = found != before->workers.end() ? counter(found->counters, "cpu_other_ns") : 0;
        }
        sum += difference(counter(worker.counters, "cpu_other_ns"), earlier);
    }
    return sum;
}

}  // namespace sidecore::cli
