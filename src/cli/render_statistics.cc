// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.hh"
#include "cli/render.hh"
#include "cli/table.hh"
#include "cli/usage.hh"
#include "control/units.hh"

namespace sidecore::cli {

namespace {

using control::counter;
using control::DeviceInfo;
using control::QueueInfo;
using control::rough_duration;
using control::Statistics;
using control::WorkerInfo;

constexpr double ns_per_s = 1e9;
constexpr double percent = 100;

/// Between two moments. A counter that went back was reset: it is taken to have started from zero.
class Rates {
public:
    Rates(const Statistics& before, const Statistics& after)
        : seconds_(after.time_ns > before.time_ns ? static_cast<double>(after.time_ns - before.time_ns) / ns_per_s
                                                  : 1) {}

    double per_second(std::uint64_t number) const { return static_cast<double>(number) / seconds_; }
    double per_second(std::uint64_t before, std::uint64_t after) const {
        return per_second(after >= before ? after - before : after);
    }
    std::string per_second(const control::Counters& before, const control::Counters& after,
                           std::string_view name) const {
        return fmt::format("{:.0f}", per_second(counter(before, name), counter(after, name)));
    }

    /// CPU time as percent of one CPU.
    std::string share(std::uint64_t cpu_ns) const {
        return fmt::format("{:.1f} %", per_second(cpu_ns) / ns_per_s * percent);
    }
    std::string mebibytes(std::uint64_t bytes) const {
        constexpr double bytes_per_mib = 1U << 20U;
        return fmt::format("{:.1f}", per_second(bytes) / bytes_per_mib);
    }

private:
    double seconds_;
};

control::Counters counters_before(const Statistics& before, std::string_view device, std::uint16_t index) {
    for (const DeviceInfo& candidate : before.devices) {
        if (candidate.name == device && index < candidate.queues.size()) {
            return candidate.queues[index].counters;
        }
    }
    return {};
}

WorkerInfo worker_before(const Statistics& before, std::string_view name) {
    const auto found = std::ranges::find(before.workers, name, &WorkerInfo::name);
    return found != before.workers.end() ? *found : WorkerInfo{};
}

std::string quantile(const control::LatencyInfo& latency, double share) {
    return latency.count() == 0 ? "-" : rough_duration(latency.quantile_ns(share));
}

/// A row of latencies per queue that has any, from its arrival to its turn and from there to its completion.
std::string latency_table(const Statistics& statistics, const Statistics* before) {
    static constexpr std::array<std::pair<std::string_view, double>, 5> quantiles{
        {{"50 %", 0.5}, {"90 %", 0.9}, {"99 %", 0.99}, {"99.9 %", 0.999}, {"MAX", 1}}};
    std::vector<Table::Column> columns{{"DEVICE"}, {"QUEUE", right}, {"TIME"}};
    for (const auto& [title, share] : quantiles) {
        columns.push_back({std::string(title), right});
    }
    Table table(std::move(columns));
    for (const DeviceInfo& device : statistics.devices) {
        for (const QueueInfo& queue : device.queues) {
            const Usage usage = usage_of(device, queue, before);
            const auto add = [&](std::string_view what, const control::LatencyInfo& latency) {
                if (latency.count() == 0) {
                    return;
                }
                std::vector<std::string> cells{device.name, std::to_string(queue.index), std::string(what)};
                for (const auto& [title, share] : quantiles) {
                    cells.push_back(quantile(latency, share));
                }
                table.add(std::move(cells));
            };
            add("waiting", usage.wait_times);
            add("service", usage.service_times);
        }
    }
    return table.text();
}

/// A row per device or virtual machine. `number` and `cpu` write a count of events and a CPU time.
template <typename Number, typename Bytes, typename Cpu>
std::string summed_table(By by, std::string_view per, const Statistics& statistics, const Statistics* before,
                         Number number, Bytes bytes, Cpu cpu) {
    const auto title = [per](std::string_view what) { return fmt::format("{}{}", what, per); };
    Table table({{by == By::vm ? "VM" : "DEVICE"},
                 {"QUEUES", right},
                 {title("REQUESTS"), right},
                 {per.empty() ? "BYTES" : title("MIB"), right},
                 {title("KICKS"), right},
                 {title("CALLS"), right},
                 {"CPU", right},
                 {"SERVING", right},
                 {"POLLING", right},
                 {"WAKING", right},
                 {"WAIT 50 %", right},
                 {"99 %", right},
                 {"SERVICE 50 %", right},
                 {"99 %", right}});
    Usage all;
    const auto add = [&](std::string name, const std::string& queues, const Usage& usage, std::uint64_t other_ns) {
        table.add({std::move(name), queues, number(usage.requests), bytes(usage.bytes), number(usage.kicks),
                   number(usage.calls), cpu(usage.cpu.total_ns() + other_ns), cpu(usage.cpu.serving_ns),
                   cpu(usage.cpu.polling_ns), cpu(usage.cpu.waking_ns), quantile(usage.wait_times, 0.5),
                   quantile(usage.wait_times, 0.99), quantile(usage.service_times, 0.5),
                   quantile(usage.service_times, 0.99)});
    };
    std::size_t queues = 0;
    for (const NamedUsage& named : usage_by(by, statistics, before)) {
        add(named.name, std::to_string(named.queues), named.usage, 0);
        all.add(named.usage);
        queues += named.queues;
    }
    const std::uint64_t other_ns = other_cpu_ns(statistics, before);
    add("(no queue)", "", {}, other_ns);
    add("(all)", std::to_string(queues), all, other_ns);
    return table.text();
}

std::string worker_totals(const Statistics& statistics) {
    Table workers({{"WORKER"},
                   {"CPU", right},
                   {"QUEUES", right},
                   {"POLLED", right},
                   {"CPU TIME", right},
                   {"PASSES", right},
                   {"SLEEPS", right}});
    for (const WorkerInfo& worker : statistics.workers) {
        workers.add({worker.name, pinned_to(worker), std::to_string(worker.queues),
                     std::to_string(worker.polled_queues), rough_duration(worker.cpu_time_ns),
                     std::to_string(counter(worker.counters, "loops")),
                     std::to_string(counter(worker.counters, "switches"))});
    }
    return workers.text();
}

std::string worker_rates(const Rates& rates, const Statistics& before, const Statistics& after) {
    Table workers({{"WORKER"},
                   {"CPU", right},
                   {"QUEUES", right},
                   {"POLLED", right},
                   {"CPU USED", right},
                   {"PASSES/S", right},
                   {"SLEEPS/S", right}});
    for (const WorkerInfo& worker : after.workers) {
        const WorkerInfo earlier = worker_before(before, worker.name);
        const std::uint64_t used_ns =
            worker.cpu_time_ns >= earlier.cpu_time_ns ? worker.cpu_time_ns - earlier.cpu_time_ns : worker.cpu_time_ns;
        workers.add({worker.name, pinned_to(worker), std::to_string(worker.queues),
                     std::to_string(worker.polled_queues), rates.share(used_ns),
                     rates.per_second(earlier.counters, worker.counters, "loops"),
                     rates.per_second(earlier.counters, worker.counters, "switches")});
    }
    return workers.text();
}

std::string queue_totals(const Statistics& statistics) {
    Table queues({{"DEVICE"},
                  {"QUEUE", right},
                  {"MODE"},
                  {"REQUESTS", right},
                  {"BYTES", right},
                  {"KICKS", right},
                  {"KICKS SAVED", right},
                  {"EMPTY POLLS", right},
                  {"HOLDS", right},
                  {"TO POLLED", right},
                  {"TO NOTIFIED", right}});
    for (const DeviceInfo& device : statistics.devices) {
        for (const QueueInfo& queue : device.queues) {
            const auto total = [&queue](std::string_view name) {
                return std::to_string(counter(queue.counters, name));
            };
            const Usage usage = Usage::of(queue);
            queues.add({device.name, std::to_string(queue.index), queue.attached ? queue.mode : "-",
                        std::to_string(usage.requests), std::to_string(usage.bytes), total("kicks"),
                        total("poll_kicks"), total("poll_empty"), total("holds"), total("to_polled"),
                        total("to_notified")});
        }
    }
    return queues.text();
}

std::string queue_rates(const Rates& rates, const Statistics& before, const Statistics& after) {
    Table queues({{"DEVICE"},
                  {"QUEUE", right},
                  {"MODE"},
                  {"REQUESTS/S", right},
                  {"MIB/S", right},
                  {"KICKS/S", right},
                  {"KICKS SAVED/S", right},
                  {"EMPTY POLLS/S", right},
                  {"MODE CHANGES/S", right}});
    for (const DeviceInfo& device : after.devices) {
        for (const QueueInfo& queue : device.queues) {
            const control::Counters earlier = counters_before(before, device.name, queue.index);
            const control::Counters& later = queue.counters;
            const double changes = rates.per_second(counter(earlier, "to_polled"), counter(later, "to_polled")) +
                                   rates.per_second(counter(earlier, "to_notified"), counter(later, "to_notified"));
            const Usage usage = usage_of(device, queue, &before);
            queues.add({device.name, std::to_string(queue.index), queue.attached ? queue.mode : "-",
                        fmt::format("{:.0f}", rates.per_second(usage.requests)), rates.mebibytes(usage.bytes),
                        rates.per_second(earlier, later, "kicks"), rates.per_second(earlier, later, "poll_kicks"),
                        rates.per_second(earlier, later, "poll_empty"), fmt::format("{:.1f}", changes)});
        }
    }
    return queues.text();
}

}  // namespace

std::string render_totals(const Statistics& statistics, By by) {
    const auto plain = [](std::uint64_t number) { return std::to_string(number); };
    const std::string first = by == By::queue ? queue_totals(statistics) + "\n" + latency_table(statistics, nullptr)
                                              : summed_table(by, "", statistics, nullptr, plain, plain, rough_duration);
    return fmt::format("{}\n{}", first, worker_totals(statistics));
}

std::string render_rates(const Statistics& before, const Statistics& after, By by) {
    const Rates rates(before, after);
    const auto number = [&](std::uint64_t value) { return fmt::format("{:.0f}", rates.per_second(value)); };
    const auto bytes = [&](std::uint64_t value) { return rates.mebibytes(value); };
    const auto cpu = [&](std::uint64_t cpu_ns) { return rates.share(cpu_ns); };
    const std::string first = by == By::queue ? queue_rates(rates, before, after) + "\n" + latency_table(after, &before)
                                              : summed_table(by, "/S", after, &before, number, bytes, cpu);
    return fmt::format("{}\n{}", first, worker_rates(rates, before, after));
}

}  // namespace sidecore::cli
