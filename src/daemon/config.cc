// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.hh"

#include <algorithm>
#include <array>
#include <fstream>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "base/log.hh"
#include "daemon/toml_value.hh"

namespace sidecore::daemon {

namespace {

using control::DeviceSpec;
using control::Problem;
using control::Problems;
using control::TableReader;
using control::Value;
using control::WorkerSpec;

void read_daemon(const Value& table, Config& config, Problems& problems) {
    TableReader reader(table, "daemon", problems);
    if (std::string socket = control::read_socket_path(reader, "control_socket"); !socket.empty()) {
        config.control_socket = std::move(socket);
    }
    config.control_socket_permissions =
        reader.permissions("control_socket_permissions").value_or(Config::default_socket_permissions);
    config.control_socket_group = reader.text("control_socket_group").value_or("");
    if (const auto name = reader.text("log_level")) {
        if (const auto level = parse_log_level(*name)) {
            config.log_level = *level;
        } else {
            reader.report("log_level", "log_level: " + level.error().message);
        }
    }
    reader.finish();
}

/// Finds values that have to differ and do not.
class Unique {
public:
    Unique(std::string_view what, Problems& problems) : what_(what), problems_(problems) {}

    void add(const std::string& value, const std::string& where) {
        const auto first = std::ranges::find(seen_, value, &std::pair<std::string, std::string>::first);
        if (first != seen_.end()) {
            problems_.push_back({where, fmt::format("{} \"{}\" is taken, at {}", what_, value, first->second)});
        } else if (!value.empty()) {
            seen_.emplace_back(value, where);
        }
    }

private:
    std::string_view what_;
    Problems& problems_;
    std::vector<std::pair<std::string, std::string>> seen_;
};

/// Where a member of a table is written, or the table if it is not there.
const std::string& place_of(const Value& table, std::string_view key) {
    if (const auto* members = std::get_if<Value::Table>(&table.data)) {
        const auto found = std::ranges::find(*members, key, &Value::Member::key);
        if (found != members->end()) {
            return found->value.where;
        }
    }
    return table.where;
}

/// What the member `key` names, if it is there and a string, has to be one of `known`.
template <typename Spec>
void check_reference(const Value& table, std::string_view key, const std::vector<Spec>& known, Problems& problems) {
    TableReader reader(table, "device", problems);
    const Value* value = reader.find(key);
    const std::string* name = value != nullptr ? std::get_if<std::string>(&value->data) : nullptr;
    if (name == nullptr || std::ranges::find(known, *name, &Spec::name) != known.end()) {
        return;
    }
    std::vector<std::string_view> names;
    names.reserve(known.size());
    for (const Spec& each : known) {
        names.push_back(each.name);
    }
    reader.report(key,
                  fmt::format("there is no {} \"{}\"; {}", key, *name,
                              names.empty() ? "there are none" : fmt::format("there are {}", fmt::join(names, ", "))));
}

void check_worker(const Value& table, const std::vector<WorkerSpec>& workers, Problems& problems) {
    check_reference(table, "worker", workers, problems);
}

/// The switch whose port a device has to be has to exist.
void check_switch(const Value& device, const std::vector<control::SwitchSpec>& switches, Problems& problems) {
    if (std::holds_alternative<Value::Table>(device.data)) {
        Problems reported_before;
        const Value* network = TableReader(device, "device", reported_before).table("network");
        if (network != nullptr) {
            check_reference(*network, "switch", switches, problems);
        }
    }
}

/// The files that a disk keeps something in are its own.
void check_files(const Value& table, const control::ScsiDiskSpec& disk, Unique& files) {
    files.add(disk.reservations_file, place_of(table, "reservations_file"));
    files.add(disk.state_file, place_of(table, "state_file"));
}

/// The shared disks that the units of a device name have to exist.
void check_units(const Value& device, const DeviceSpec& spec, const std::vector<control::SharedDiskSpec>& disks,
                 Unique& files, Problems& problems) {
    if (!std::holds_alternative<Value::Table>(device.data)) {
        return;
    }
    Problems reported_before;
    std::size_t index = 0;
    for (const Value& unit : TableReader(device, "device", reported_before).array("unit")) {
        if (std::holds_alternative<Value::Table>(unit.data)) {
            check_reference(unit, "disk", disks, problems);
        }
        if (index < spec.scsi.units.size()) {
            check_files(unit, spec.scsi.units[index++].disk, files);
        }
    }
}

/// The workers that a device and its queues name have to exist.
void check_workers(const Value& device, const std::vector<WorkerSpec>& workers, Problems& problems) {
    if (!std::holds_alternative<Value::Table>(device.data)) {
        return;
    }
    check_worker(device, workers, problems);
    Problems reported_before;
    for (const Value& queue : TableReader(device, "device", reported_before).array("queue")) {
        if (std::holds_alternative<Value::Table>(queue.data)) {
            check_worker(queue, workers, problems);
        }
    }
}

engine::PlacementSettings read_placement(const Value& table, Problems& problems) {
    constexpr std::uint64_t most_workers = 1024;
    TableReader reader(table, "placement", problems);
    engine::PlacementSettings placement;
    reader.require("workers_max");
    placement.workers_min = static_cast<std::uint32_t>(reader.integer("workers_min", 1, most_workers).value_or(1));
    placement.workers_max =
        static_cast<std::uint32_t>(reader.integer("workers_max", 1, most_workers).value_or(most_workers));
    if (placement.workers_min > placement.workers_max) {
        reader.report("workers_min", fmt::format("workers_min is {}, more than workers_max, which is {}",
                                                 placement.workers_min, placement.workers_max));
    }
    reader.finish();
    return placement;
}

Config read_config(const Value& root, Problems& problems) {
    TableReader reader(root, "the configuration", problems);
    Config config;
    if (const Value* daemon = reader.table("daemon")) {
        read_daemon(*daemon, config, problems);
    }
    config.settings = control::read_setting_values(reader, control::Level::daemon, problems);

    if (const Value* costs = reader.table("costs")) {
        config.costs = read_cost_spec(*costs, problems);
    }

    const Value* placement = reader.table("placement");
    if (placement != nullptr) {
        config.placement = read_placement(*placement, problems);
    }

    Unique worker_names("the worker name", problems);
    for (const Value& table : reader.array("worker")) {
        config.workers.push_back(control::read_worker_spec(table, problems));
        worker_names.add(config.workers.back().name, place_of(table, "name"));
    }
    if (config.workers.empty()) {
        config.workers.push_back({"worker0"});
    }
    if (config.placement && config.workers.size() > config.placement->workers_max) {
        problems.push_back(
            {place_of(*placement, "workers_max"), fmt::format("workers_max is {}, and there are {} [[worker]]",
                                                              config.placement->workers_max, config.workers.size())});
    }

    Unique switch_names("the switch name", problems);
    for (const Value& table : reader.array("switch")) {
        config.switches.push_back(control::read_switch_spec(table, problems));
        switch_names.add(config.switches.back().name, place_of(table, "name"));
        if (std::holds_alternative<Value::Table>(table.data)) {
            check_worker(table, config.workers, problems);
        }
    }

    Unique disk_names("the disk name", problems);
    Unique files("the file", problems);
    for (const Value& table : reader.array("disk")) {
        config.disks.push_back(control::read_shared_disk_spec(table, problems));
        disk_names.add(config.disks.back().name, place_of(table, "name"));
        check_files(table, config.disks.back().disk, files);
    }

    Unique device_names("the device name", problems);
    Unique sockets("the socket", problems);
    sockets.add(config.control_socket, "the control socket");
    for (const Value& table : reader.array("device")) {
        DeviceSpec device = control::read_device_spec(table, problems);
        device_names.add(device.name, place_of(table, "name"));
        sockets.add(device.socket, place_of(table, "socket"));
        check_workers(table, config.workers, problems);
        check_switch(table, config.switches, problems);
        check_units(table, device, config.disks, files, problems);
        config.devices.push_back(std::move(device));
    }
    reader.finish();
    return config;
}

}  // namespace

tl::expected<Config, Problems> parse_config(std::string_view text, std::string_view file_name) {
    auto root = parse_toml(text, file_name);
    if (!root) {
        return tl::unexpected(Problems{std::move(root).error()});
    }
    Problems problems;
    Config config = read_config(*root, problems);
    if (!problems.empty()) {
        return tl::unexpected(std::move(problems));
    }
    return config;
}

tl::expected<Config, Problems> load_config(const std::string& path) {
    const auto unreadable = [&path](std::string what) { return tl::unexpected(Problems{{path, std::move(what)}}); };
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return unreadable(Error::from_errno("cannot be opened").message);
    }
    std::string text;
    std::array<char, 4096> chunk{};
    do {
        file.read(chunk.data(), chunk.size());
        text.append(chunk.data(), static_cast<std::size_t>(file.gcount()));
    } while (file);
    if (file.bad()) {
        return unreadable(Error::from_errno("cannot be read").message);
    }
    return parse_config(text, path);
}

}  // namespace sidecore::daemon
