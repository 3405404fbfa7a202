// SPDX-License-Identifier: Apache-2.0
#include "cli/render.hh"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "cli/render_scsi.hh"
#include "cli/table.hh"
#include "cli/usage.hh"
#include "control/units.hh"

namespace sidecore::cli {

namespace {

using control::counter;
using control::DeviceInfo;
using control::QueueInfo;
using control::WorkerInfo;

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

}  // namespace

std::string pinned_to(const WorkerInfo& worker) {
    return worker.cpu ? std::to_string(*worker.cpu) : "-";
}

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

namespace {

std::string stands_on(const DeviceInfo& device) {
    if (device.scsi) {
        return count(device.scsi->units.size(), "unit");
    }
    return device.disk ? device.disk->storage_description : device.net ? device.net->network_description : "";
}

/// "120 packets, 9.8KiB, 3 dropped (bad_info)"
std::string packets(const control::Counters& counters) {
    constexpr std::string_view drop = "dropped_";
    std::uint64_t dropped = 0;
    std::vector<std::string> reasons;
    for (const auto& [name, count] : counters) {
        if (name.starts_with(drop) && count != 0) {
            dropped += count;
            reasons.push_back(name.substr(drop.size()));
        }
    }
    std::string text = fmt::format("{}, {}", count(counter(counters, "packets"), "packet"),
                                   control::format_size(counter(counters, "bytes")));
    if (dropped != 0) {
        text += fmt::format(", {} dropped ({})", dropped, fmt::join(reasons, ", "));
    }
    if (const std::uint64_t times = counter(counters, "throttled"); times != 0) {
        text += fmt::format(", held back {} for {}", count(times, "time"),
                            control::rough_duration(counter(counters, "throttled_ns")));
    }
    return text;
}

/// "1Gbit/s, 50000 packets/s"; empty: no limit.
std::string limit(std::uint64_t rate_bits, std::uint64_t packets_per_s) {
    std::string text = rate_bits != 0 ? fmt::format("{}/s", control::format_rate(rate_bits)) : "";
    if (packets_per_s != 0) {
        text += fmt::format("{}{} packets/s", text.empty() ? "" : ", ", packets_per_s);
    }
    return text;
}

/// "sends 1Gbit/s, 50000 packets/s; receives 2Gbit/s; burst 10ms".
std::string limits_of(const control::NetLimits& limits) {
    std::vector<std::string> parts;
    if (const std::string sends = limit(limits.transmit_rate_bits, limits.transmit_packets); !sends.empty()) {
        parts.push_back("sends " + sends);
    }
    if (const std::string receives = limit(limits.receive_rate_bits, limits.receive_packets); !receives.empty()) {
        parts.push_back("receives " + receives);
    }
    if (limits.burst_ns != 0) {
        parts.push_back("burst " + control::format_duration(limits.burst_ns));
    }
    return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

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
                 {"BACK-END"}});
    for (const DeviceInfo& device : devices) {
        table.add({device.name, device.type, device.state,
                   device.disk ? control::format_size(device.disk->capacity_bytes) : "-",
                   std::to_string(device.queues.size()),
                   std::to_string(std::ranges::count_if(device.queues, is_polled)),
                   fmt::format("{}", fmt::join(workers_of(device), ",")), device.settings.text(control::Setting::kind),
                   device.socket, stands_on(device)});
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
    if (!device.vm.empty()) {
        line("vm", device.vm);
    }
    line("state", device.state);
    line("socket",
         fmt::format("{} ({}), {} so far", device.socket, device.socket_mode, count(device.sessions, "session")));
    if (!device.last_error.empty()) {
        line("last error", device.last_error);
    }
    if (device.disk) {
        line("storage", device.disk->storage_description);
        line("size", fmt::format("{} bytes ({})", device.disk->capacity_bytes,
                                 control::format_size(device.disk->capacity_bytes)));
        line("read-only", device.disk->read_only ? "yes" : "no");
        line("serial", device.disk->serial);
    }
    if (device.net) {
        line("network", device.net->network_description);
        line("mac", device.net->mac.empty() ? "the front-end's" : device.net->mac);
        if (device.net->mtu != 0) {
            line("mtu", std::to_string(device.net->mtu));
        }
        line("queues", fmt::format("{} of {} pairs in use", device.net->pairs_in_use, device.net->pairs));
        if (device.net->limits.any()) {
            line("limits", limits_of(device.net->limits));
        }
        line("sent", packets(device.net->transmitted));
        line("received", packets(device.net->received));
    }
    line("features", fmt::format("{:#x}", device.features));

    Table queues(
        {{"QUEUE", right}, {"RING", right}, {"WORKER"}, {"MODE"}, {"SINCE", right}, {"STATE"}, {"REQUESTS", right}});
    Bearers bearers{{"DEVICE", &device.settings}};
    for (const QueueInfo& queue : device.queues) {
        queues.add({std::to_string(queue.index), std::to_string(queue.size), queue.worker,
                    queue.attached ? queue.mode : "-",
                    queue.attached ? control::rough_duration(queue.mode_age_ns) : "-", std::string(state_of(queue)),
                    std::to_string(Usage::of(queue).requests)});
        if (queue.settings != device.settings) {
            bearers.emplace_back(fmt::format("QUEUE {}", queue.index), &queue.settings);
        }
    }
    const std::string units = device.scsi ? "\n" + render_units(device.scsi->units) : "";
    return fmt::format("{}{}\n{}\n{}", text, units, settings_table("SETTING", bearers), queues.text());
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
                 {"DEVICES"},
                 {"SWITCHES"}});
    for (const WorkerInfo& worker : workers) {
        table.add({worker.name, pinned_to(worker), std::to_string(worker.thread_id), std::to_string(worker.queues),
                   std::to_string(worker.polled_queues), control::rough_duration(worker.cpu_time_ns),
                   fmt::format("{}", fmt::join(worker.devices, ",")),
                   fmt::format("{}", fmt::join(worker.switches, ","))});
    }
    return table.text();
}

std::string render_worker(const WorkerInfo& worker) {
    return fmt::format("{}\n{}", render_workers({worker}), render_settings(worker.settings));
}

}  // namespace sidecore::cli
