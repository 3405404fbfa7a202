// SPDX-License-Identifier: Apache-2.0
#include "cli/render_switch.hh"

#include <string_view>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "cli/table.hh"
#include "cli/usage.hh"
#include "control/units.hh"

namespace sidecore::cli {

namespace {

using control::counter;

std::string vlan_of(std::uint16_t vlan) {
    return vlan == 0 ? "-" : std::to_string(vlan);
}

/// "12 (inbox_full 10, isolated 2)"
std::string drops(const control::Counters& counters) {
    constexpr std::string_view prefix = "dropped_";
    std::uint64_t all = 0;
    std::vector<std::string> reasons;
    for (const auto& [name, count] : counters) {
        if (name.starts_with(prefix) && count != 0) {
            all += count;
            reasons.push_back(fmt::format("{} {}", printable(name.substr(prefix.size())), count));
        }
    }
    return all == 0 ? "0" : fmt::format("{} ({})", all, fmt::join(reasons, ", "));
}

}  // namespace

std::string render_switches(const std::vector<control::SwitchInfo>& switches) {
    Table table({{"NAME"}, {"PORTS", right}, {"STATIONS", right}, {"OF", right}, {"WORKER"}, {"UPLINK"}});
    for (const control::SwitchInfo& info : switches) {
        table.add({info.name, std::to_string(info.ports.size()), std::to_string(info.stations),
                   std::to_string(info.stations_max), info.uplink ? info.uplink->queue.worker : "-",
                   info.uplink ? info.uplink->network_description : "-"});
    }
    return table.text();
}

std::string render_switch(const control::SwitchInfo& info) {
    std::string text;
    const auto line = [&text](std::string_view key, std::string_view value) {
        text += fmt::format("{:<12}{}\n", key, printable(value));
    };
    line("name", info.name);
    line("stations",
         fmt::format("{} of {}, forgotten after {} s of silence", info.stations, info.stations_max, info.age_s));
    if (info.uplink) {
        const control::QueueInfo& queue = info.uplink->queue;
        line("uplink", info.uplink->network_description);
        line("worker", queue.worker.empty() ? "-" : queue.worker);
        line("mode",
             queue.attached ? fmt::format("{} for {}", queue.mode, control::rough_duration(queue.mode_age_ns)) : "-");
    } else {
        line("uplink", "none");
    }
    Table ports({{"PORT"},
                 {"VLAN", right},
                 {"ISOLATED"},
                 {"FRAMES IN", right},
                 {"BYTES IN", right},
                 {"FRAMES OUT", right},
                 {"BYTES OUT", right},
                 {"FLOODED", right},
                 {"DROPPED"}});
    for (const control::PortInfo& port : info.ports) {
        const auto number = [&port](std::string_view name) { return std::to_string(counter(port.counters, name)); };
        const auto size = [&port](std::string_view name) { return control::format_size(counter(port.counters, name)); };
        ports.add({port.name, vlan_of(port.vlan), port.isolated ? "yes" : "no", number("frames_in"), size("bytes_in"),
                   number("frames_out"), size("bytes_out"), number("flooded"), drops(port.counters)});
    }
    return fmt::format("{}\n{}", text, ports.text());
}

std::string render_stations(const std::vector<control::StationInfo>& stations) {
    Table table({{"MAC"}, {"VLAN", right}, {"PORT"}, {"HEARD", right}});
    for (const control::StationInfo& station : stations) {
        table.add({station.mac, vlan_of(station.vlan), station.port, fmt::format("{} s ago", station.age_s)});
    }
    return table.text();
}

}  // namespace sidecore::cli
