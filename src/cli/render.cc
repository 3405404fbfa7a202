// SPDX-License-Identifier: Apache-2.0
#include "cli/render.hh"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/table.hh"
#include "control/units.hh"

namespace sidecore::cli {

namespace {

using control::counter;
using control::DeviceInfo;
using control::QueueInfo;
using control::Statistics;
using control::WorkerInfo;

constexpr auto right = Table::Align::right;
constexpr double ns_per_s = 1e9;

using Bearers = std::vector<std::pair<std::string, const control::Settings*>>;

/// A row per setting of queues or of workers, a column per bearer of settings: each value with who said so.
std::string settings_table(std::string title, const Bearers& bearers, bool of_workers = false) {
    std::vector<Table::Column> columns{{std::move(title)}};
    for (const auto& [bearer, settings] : bearers) {
        columns.push_back({bearer});
    }
    Table table(std::move(columns));
    for (const auto& [setting, ignored] : bearers.front().second->all()) {
        const control::SettingDescription& description = control::describe(setting);
        if ((description.group == control::worker_group) != of_workers) {
            continue;
        }
        std::vector<std::string> cells{std::string(description.word)};
        for (const auto& [bearer, settings] : bearers) {
            const control::Settings::Sourced& sourced = settings->at(setting);
            cells.push_back(
                fmt::format("{} ({})", control::display(setting, sourced.value), to_string(sourced.source)));
        }
        table.add(std::move(cells));
    }
    return table.text();
}

std::string_view state_of(const QueueInfo& queue) {
    if (queue.broken) {
        return "broken";
    }
    if (!queue.attached) {
        return queue.size == 0 ? "not started" : "disabled";
    }
    if (queue.held) {
        return "held";
    }
    return queue.listed ? "listed" : queue.armed ? "armed" : "draining";
}

std::vector<std::string> workers_of(const DeviceInfo& device) {
    std::vector<std::string> names;
    for (const QueueInfo& queue : device.queues) {
        if (std::ranges::find(names, queue.worker) == names.end()) {
            names.push_back(queue.worker);
        }
    }
    return names;
}

bool is_polled(const QueueInfo& queue) {
    return queue.attached && queue.mode == "polled";
}

std::string count(std::size_t number, std::string_view what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

std::uint64_t requests_of(const control::Counters& counters) {
    return counter(counters, "poll_requests") + counter(counters, "notif_requests");
}

std::uint64_t bytes_of(const control::Counters& counters) {
    return counter(counters, "poll_bytes") + counter(counters, "notif_bytes");
}

std::string pinned_to(const WorkerInfo& worker) {
    return worker.cpu ? std::to_string(*worker.cpu) : "-";
}

/// Differences per second. A counter that went back was reset: it is taken to have started from zero.
class Rates {
public:
    Rates(const Statistics& before, const Statistics& after)
        : seconds_(after.time_ns > before.time_ns ? static_cast<double>(after.time_ns - before.time_ns) / ns_per_s
                                                  : 1) {}

    double per_second(std::uint64_t before, std::uint64_t after) const {
        return static_cast<double>(after >= before ? after - before : after) / seconds_;
    }
    std::string per_second(const control::Counters& before, const control::Counters& after,
                           std::string_view name) const {
        return fmt::format("{:.0f}", per_second(counter(before, name), counter(after, name)));
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

}  // namespace

std::string render_settings(const control::Settings& settings) {
    const Bearers bearers{{"VALUE", &settings}};
    const bool has_workers = settings.all().contains(control::Setting::worker_poll_budget);
    const bool has_queues = settings.all().contains(control::Setting::kind);
    std::string text = has_queues ? settings_table("SETTING", bearers) : "";
    if (has_workers) {
        text += has_queues ? "\n" : "";
        text += settings_table("SETTING OF WORKERS", bearers, true);
    }
    return text;
}

std::string render_costs(const control::CostsInfo& costs) {
    Table table({{"COST"}, {"NS", right}, {"QUARTER BELOW", right}, {"QUARTER ABOVE", right}, {"HOW"}});
    for (const control::CostInfo& cost : costs.values) {
        table.add({cost.name, fmt::format("{:.1f}", cost.value_ns), fmt::format("{:.1f}", cost.low_ns),
                   fmt::format("{:.1f}", cost.high_ns), cost.how});
    }
    std::string text = table.text() + "\nA worker's sleep and its wake-up cost";
    for (const auto& [prefer, price_ns] : costs.sleep_prices_ns) {
        text += fmt::format("{} {} with prefer = {}", &prefer == &costs.sleep_prices_ns.front().first ? "" : ",",
                            control::rough_duration(static_cast<std::uint64_t>(price_ns)), printable(prefer));
    }
    return text + ".\n";
}

std::string render_daemon(const control::DaemonInfo& daemon) {
    return fmt::format("sidecored {}, process {}, up for {}\n\n{}", printable(daemon.version), daemon.process_id,
                       control::rough_duration(daemon.uptime_ns),
                       fmt::format("{}\n{}", render_settings(daemon.settings), render_costs(daemon.costs)));
}

std::string render_devices(const std::vector<DeviceInfo>& devices) {
    Table table({{"NAME"},
                 {"TYPE"},
                 {"STATE"},
                 {"SIZE", right},
                 {"QUEUES", right},
                 {"POLLED", right},
                 {"WORKERS"},
                 {"POLICY"},
                 {"SOCKET"},
                 {"STORAGE"}});
    for (const DeviceInfo& device : devices) {
        table.add({device.name, device.type, device.state, control::format_size(device.capacity_bytes),
                   std::to_string(device.queues.size()),
                   std::to_string(std::ranges::count_if(device.queues, is_polled)),
                   fmt::format("{}", fmt::join(workers_of(device), ",")), device.settings.text(control::Setting::kind),
                   device.socket, device.storage_description});
    }
    return table.text();
}

std::string render_device(const DeviceInfo& device) {
    std::string text;
    const auto line = [&text](std::string_view key, std::string_view value) {
        text += fmt::format("{:<12}{}\n", key, printable(value));
    };
    line("name", device.name);
    line("type", device.type);
    line("state", device.state);
    line("socket",
         fmt::format("{} ({}), {} so far", device.socket, device.socket_mode, count(device.sessions, "session")));
    if (!device.last_error.empty()) {
        line("last error", device.last_error);
    }
    line("storage", device.storage_description);
    line("size", fmt::format("{} bytes ({})", device.capacity_bytes, control::format_size(device.capacity_bytes)));
    line("read-only", device.read_only ? "yes" : "no");
    line("serial", device.serial);
    line("features", fmt::format("{:#x}", device.features));

    Table queues(
        {{"QUEUE", right}, {"RING", right}, {"WORKER"}, {"MODE"}, {"SINCE", right}, {"STATE"}, {"REQUESTS", right}});
    Bearers bearers{{"DEVICE", &device.settings}};
    for (const QueueInfo& queue : device.queues) {
        queues.add({std::to_string(queue.index), std::to_string(queue.size), queue.worker,
                    queue.attached ? queue.mode : "-",
                    queue.attached ? control::rough_duration(queue.mode_age_ns) : "-", std::string(state_of(queue)),
                    std::to_string(requests_of(queue.counters))});
        if (queue.settings != device.settings) {
            bearers.emplace_back(fmt::format("QUEUE {}", queue.index), &queue.settings);
        }
    }
    return fmt::format("{}\n{}\n{}", text, settings_table("SETTING", bearers), queues.text());
}

std::string render_explanation(const control::Explanation& explanation) {
    std::string text;
    for (const control::QueueReasons& queue : explanation.queues) {
        text += fmt::format("{}{}, queue {}:\n", text.empty() ? "" : "\n", printable(explanation.device), queue.index);
        for (const std::string& sentence : queue.text) {
            text += fmt::format("  {}\n", printable(sentence));
        }
    }
    return text;
}

std::string render_counters(const DeviceInfo& device) {
    std::vector<Table::Column> columns{{"COUNTER"}};
    for (const QueueInfo& queue : device.queues) {
        columns.push_back({fmt::format("QUEUE {}", queue.index), right});
    }
    Table table(std::move(columns));
    if (!device.queues.empty()) {
        for (const auto& [name, ignored] : device.queues.front().counters) {
            std::vector<std::string> cells{name};
            for (const QueueInfo& queue : device.queues) {
                cells.push_back(std::to_string(counter(queue.counters, name)));
            }
            table.add(std::move(cells));
        }
    }
    return table.text();
}

std::string render_workers(const std::vector<WorkerInfo>& workers) {
    Table table({{"NAME"},
                 {"CPU", right},
                 {"THREAD", right},
                 {"QUEUES", right},
                 {"POLLED", right},
                 {"CPU TIME", right},
                 {"DEVICES"}});
    for (const WorkerInfo& worker : workers) {
        table.add({worker.name, pinned_to(worker), std::to_string(worker.thread_id), std::to_string(worker.queues),
                   std::to_string(worker.polled_queues), control::rough_duration(worker.cpu_time_ns),
                   fmt::format("{}", fmt::join(worker.devices, ","))});
    }
    return table.text();
}

std::string render_worker(const WorkerInfo& worker) {
    return fmt::format("{}\n{}", render_workers({worker}), render_settings(worker.settings));
}

std::string render_totals(const Statistics& statistics) {
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
            queues.add({device.name, std::to_string(queue.index), queue.attached ? queue.mode : "-",
                        std::to_string(requests_of(queue.counters)), std::to_string(bytes_of(queue.counters)),
                        total("kicks"), total("poll_kicks"), total("poll_empty"), total("holds"), total("to_polled"),
                        total("to_notified")});
        }
    }
    Table workers({{"WORKER"},
                   {"CPU", right},
                   {"QUEUES", right},
                   {"POLLED", right},
                   {"CPU TIME", right},
                   {"PASSES", right},
                   {"SLEEPS", right}});
    for (const WorkerInfo& worker : statistics.workers) {
        workers.add({worker.name, pinned_to(worker), std::to_string(worker.queues),
                     std::to_string(worker.polled_queues), control::rough_duration(worker.cpu_time_ns),
                     std::to_string(counter(worker.counters, "loops")),
                     std::to_string(counter(worker.counters, "switches"))});
    }
    return fmt::format("{}\n{}", queues.text(), workers.text());
}

std::string render_rates(const Statistics& before, const Statistics& after) {
    const Rates rates(before, after);
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
            constexpr double bytes_per_mib = 1U << 20U;
            const double changes = rates.per_second(counter(earlier, "to_polled"), counter(later, "to_polled")) +
                                   rates.per_second(counter(earlier, "to_notified"), counter(later, "to_notified"));
            queues.add({device.name, std::to_string(queue.index), queue.attached ? queue.mode : "-",
                        fmt::format("{:.0f}", rates.per_second(requests_of(earlier), requests_of(later))),
                        fmt::format("{:.1f}", rates.per_second(bytes_of(earlier), bytes_of(later)) / bytes_per_mib),
                        rates.per_second(earlier, later, "kicks"), rates.per_second(earlier, later, "poll_kicks"),
                        rates.per_second(earlier, later, "poll_empty"), fmt::format("{:.1f}", changes)});
        }
    }
    Table workers({{"WORKER"},
                   {"CPU", right},
                   {"QUEUES", right},
                   {"POLLED", right},
                   {"CPU USED", right},
                   {"PASSES/S", right},
                   {"SLEEPS/S", right}});
    for (const WorkerInfo& worker : after.workers) {
        const WorkerInfo earlier = worker_before(before, worker.name);
        constexpr double percent = 100;
        workers.add(
            {worker.name, pinned_to(worker), std::to_string(worker.queues), std::to_string(worker.polled_queues),
             fmt::format("{:.1f} %", rates.per_second(earlier.cpu_time_ns, worker.cpu_time_ns) / ns_per_s * percent),
             rates.per_second(earlier.counters, worker.counters, "loops"),
             rates.per_second(earlier.counters, worker.counters, "switches")});
    }
    return fmt::format("{}\n{}", queues.text(), workers.text());
}

}  // namespace sidecore::cli
