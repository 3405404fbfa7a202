// SPDX-License-Identifier: Apache-2.0
#include "sim/host.hh"

#include <algorithm>

#include "sim/random.hh"
#include "sim/worker_model.hh"

namespace sidecore::sim {

namespace {

constexpr std::size_t guests = 1'000;
constexpr std::size_t busy_guests = 30;
constexpr std::size_t light_guests = 270;
constexpr std::uint32_t service_ns = 400;
constexpr std::size_t ring_size = 64;

/// Bursts of 8 requests at least, 2 us apart, one request every 50 us on average.
QueueTrace busy_queue(Random& random, std::uint64_t end_ns) {
    QueueTrace trace{.depth = ring_size, .arrivals = {}};
    std::uint64_t now = 0;
    double left = 0;
    while (now < end_ns) {
        double gap = random.between(1'000, 3'000);
        if (left-- < 1) {
            left = std::min(random.pareto(8), 1'000.0);
            gap = random.exponential(48'000 * left);
        }
        trace.arrivals.push_back({.gap_ns = static_cast<std::uint64_t>(gap), .service_ns = service_ns});
        now += trace.arrivals.back().gap_ns;
    }
    return trace;
}

QueueTrace random_queue(Random& random, double mean_gap_ns, std::uint64_t end_ns) {
    QueueTrace trace{.depth = ring_size, .arrivals = {}};
    std::uint64_t now = 0;
    while (now < end_ns) {
        const auto gap = static_cast<std::uint64_t>(random.exponential(mean_gap_ns));
        trace.arrivals.push_back({.gap_ns = gap, .service_ns = service_ns});
        now += gap;
    }
    return trace;
}

}  // namespace

std::vector<QueueTrace> busy_host(std::uint64_t end_ns) {
    Random random(31);
    std::vector<QueueTrace> queues;
    queues.reserve(guests * queues_per_guest);
    for (std::size_t guest = 0; guest < guests; ++guest) {
        // Spread over the numbers, so that each worker gets its share of each kind.
        const std::size_t kind = guest * 617 % guests;
        for (std::size_t i = 0; i < queues_per_guest; ++i) {
            if (kind < busy_guests) {
                queues.push_back(busy_queue(random, end_ns));
            } else {
                queues.push_back(random_queue(random, kind < busy_guests + light_guests ? 4e6 : 1e9, end_ns));
            }
        }
    }
    return queues;
}

HostOutcome run_host(const World& world, const engine::PolicySettings& policy, const std::vector<QueueTrace>& queues,
                     std::size_t workers, std::uint64_t end_ns) {
    HostOutcome all;
    for (std::size_t worker = 0; worker < workers; ++worker) {
        std::vector<QueueTrace> own;
        for (std::size_t i = 0; i < queues.size(); ++i) {
            if (i / queues_per_guest % workers == worker) {
                own.push_back(queues[i]);
            }
        }
        WorkerModel model(world, policy, own);
        const Outcome& outcome = model.run(end_ns);
        all.requests += outcome.requests;
        all.kicks += outcome.kicks;
        all.sleeps += outcome.sleeps;
        all.waits.add(outcome.waits);
        all.serving_ns += static_cast<double>(outcome.serving_ns);
        all.worker_cpu_ns += outcome.worker_cpu_ns(world);
        all.waits_ns += static_cast<double>(outcome.waits_ns);
        all.guest_cpu_ns += static_cast<double>(outcome.kicks) * world.costs.kick_ns;
    }
    return all;
}

}  // namespace sidecore::sim
