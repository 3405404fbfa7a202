// SPDX-License-Identifier: Apache-2.0
#include "sim/clairvoyant.hh"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace sidecore::sim {

namespace {

/// All arrivals of open loops in one row.
QueueTrace merged(const std::vector<QueueTrace>& queues) {
    struct Timed {
        std::uint64_t time_ns;
        Arrival arrival;
    };
    std::vector<Timed> row;
    for (const QueueTrace& queue : queues) {
        std::uint64_t time = 0;
        for (const Arrival& arrival : queue.arrivals) {
            time += arrival.gap_ns;
            row.push_back({time, arrival});
        }
    }
    std::stable_sort(row.begin(), row.end(), [](const Timed& a, const Timed& b) { return a.time_ns < b.time_ns; });
    QueueTrace result;
    std::uint64_t before = 0;
    for (Timed& timed : row) {
        timed.arrival.gap_ns = timed.time_ns - before;
        before = timed.time_ns;
        result.arrivals.push_back(timed.arrival);
    }
    return result;
}

/// The way through one row of arrivals. A state is the arrival that ended a gap and whether the worker was asleep then.
class Passage {
public:
    Passage(const World& world, const QueueTrace& trace)
        : world_(world),
          trace_(trace),
          latency_ns_(static_cast<std::uint64_t>(world.costs.wake_latency_ns)),
          least_(trace.arrivals.size(), {unreached, unreached}) {}

    double cheapest() {
        const auto& arrivals = trace_.arrivals;
        if (arrivals.empty()) {
            return 0;
        }
        double end = unreached;
        reach(0, 0, arrivals[0].gap_ns);
        for (std::size_t first = 0; first < arrivals.size(); ++first) {
            for (const bool asleep : {false, true}) {
                const double cost = least_[first][asleep ? 1 : 0];
                if (cost == unreached) {
                    continue;
                }
                const auto [next, gap_ns] = work(first, asleep ? latency_ns_ : 0);
                if (next == arrivals.size()) {
                    end = std::min(end, cost);
                } else {
                    reach(next, cost, gap_ns);
                }
            }
        }
        return end;
    }

private:
    static constexpr double unreached = std::numeric_limits<double>::infinity();

    /// A gap of `gap_ns` before `arrival`, after what has cost `cost`.
    void reach(std::size_t arrival, double cost, std::uint64_t gap_ns) {
        auto& [awake, asleep] = least_[arrival];
        awake = std::min(awake, cost + static_cast<double>(gap_ns));
        const engine::Costs& costs = world_.costs;
        const double kick = trace_.arrivals[arrival].completion ? 0 : costs.kick_ns + std::round(costs.arm_ns);
        const double lateness = engine::Costs::latency_weight(world_.prefer) * static_cast<double>(latency_ns_);
        asleep = std::min(asleep, cost + kick + costs.wake_ns + lateness);
    }

    struct Gap {
        std::size_t next;
        std::uint64_t length_ns;
    };

    /// The worker serves from `late_ns` after the arrival `first` on, until nothing is left to do. What comes next, and when.
    Gap work(std::size_t first, std::uint64_t late_ns) const {
        const auto& arrivals = trace_.arrivals;
        std::size_t next = first + 1;
        std::size_t outstanding = 1;
        std::uint64_t since = 0;  // the next gap counts from here; times are from the arrival `first` on
        std::uint64_t now = late_ns;
        const auto blocked = [&] { return trace_.depth != 0 && outstanding >= trace_.depth; };
        const auto arrive_until = [&](std::uint64_t time) {
            while (next < arrivals.size() && !blocked() && since + arrivals[next].gap_ns <= time) {
                since += arrivals[next].gap_ns;
                ++next;
                ++outstanding;
            }
        };
        std::size_t served = first;
        while (outstanding != 0) {
            arrive_until(now);
            const std::size_t batch = std::min<std::size_t>(outstanding, world_.turn_requests);
            for (const std::size_t end = served + batch; served < end; ++served) {
                now += arrivals[served].service_ns;
            }
            arrive_until(now);
            if (blocked()) {
                since = now;
            }
            outstanding -= batch;
        }
        return {next, next < arrivals.size() ? since + arrivals[next].gap_ns - now : 0};
    }

    const World& world_;
    const QueueTrace& trace_;
    const std::uint64_t latency_ns_;
    std::vector<std::array<double, 2>> least_;
};

}  // namespace

double least_cost_ns(const World& world, const std::vector<QueueTrace>& queues) {
    if (queues.size() == 1) {
        return Passage(world, queues.front()).cheapest();
    }
    return Passage(world, merged(queues)).cheapest();
}

double least_cost_ns(const World& world, const std::vector<Arrival>& gaps) {
    return Passage(world, {.depth = 1, .arrivals = gaps}).cheapest();
}

}  // namespace sidecore::sim
