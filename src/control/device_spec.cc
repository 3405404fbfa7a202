// SPDX-License-Identifier: Apache-2.0
#include "control/device_spec.hh"

#include <algorithm>
#include <array>
#include <sys/un.h>
#include <utility>

#include "base/format.hh"
#include "control/units.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t max_socket_path_bytes = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::uint64_t min_retry_interval_ns = 1'000'000;
constexpr std::uint64_t max_retry_interval_ns = 3'600'000'000'000;

constexpr std::array<std::string_view, 3> device_types{"blk", "net", "scsi"};

/// Keys of a device that mean something for some types only.
struct KeyOfTypes {
    std::string_view key;
    std::string_view type;
    std::string_view other_type{};
};
constexpr std::array<KeyOfTypes, 13> keys_of_types{{{"queues", "blk", "scsi"},
                                                    {"read_only", "blk"},
                                                    {"serial", "blk"},
                                                    {"storage", "blk"},
                                                    {"pairs", "net"},
                                                    {"mac", "net"},
                                                    {"mtu", "net"},
                                                    {"speed", "net"},
                                                    {"offloads", "net"},
                                                    {"network", "net"},
                                                    {"limits", "net"},
                                                    {"seg_max", "scsi"},
                                                    {"unit", "scsi"}}};
constexpr std::array<std::string_view, 2> socket_modes{"listen", "connect"};

constexpr bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

std::vector<QueueSpec> read_queues(TableReader& device, std::uint16_t queues, Problems& problems) {
    std::vector<QueueSpec> result;
    for (const Value& element : device.array("queue")) {
        TableReader reader(element, "queue", problems);
        reader.require("index");
        QueueSpec queue;
        if (const auto index = reader.integer("index", 0, queues - 1U)) {
            queue.index = static_cast<std::uint16_t>(*index);
            if (std::ranges::find(result, queue.index, &QueueSpec::index) != result.end()) {
                reader.report("index", fmt::format("queue {} is there twice", *index));
            }
        }
        queue.worker = read_optional_name(reader, "worker");
        queue.settings = read_setting_values(reader, Level::queue, problems);
        reader.finish();
        result.push_back(std::move(queue));
    }
    return result;
}

}  // namespace

bool is_valid_name(std::string_view name) noexcept {
    constexpr std::size_t max_name_bytes = 64;
    return !name.empty() && name.size() <= max_name_bytes && name.front() != '.' && name.front() != '-' &&
           std::ranges::all_of(name, is_name_character);
}

std::string read_name(TableReader& reader, std::string_view key) {
    std::string name = reader.text(key).value_or("");
    if (reader.find(key) != nullptr && !is_valid_name(name)) {
        reader.report(key, fmt::format("{} has to be 1 to 64 letters, digits, '.', '_' or '-', and not start with "
                                       "'.' or '-'",
                                       key));
    }
    return name;
}

std::optional<std::string> read_optional_name(TableReader& reader, std::string_view key) {
    std::string name = read_name(reader, key);
    return name.empty() ? std::nullopt : std::optional(std::move(name));
}

std::string read_socket_path(TableReader& reader, std::string_view key) {
    return read_path(reader, key, max_socket_path_bytes);
}

std::string_view to_string(SocketMode mode) noexcept {
    return socket_modes[static_cast<std::size_t>(mode)];
}

std::uint16_t read_queue_count(TableReader& device, std::uint16_t most) {
    const auto queues = device.integer("queues", 1, most);
    const bool wrong = device.find("queues") != nullptr && !queues;
    return static_cast<std::uint16_t>(queues.value_or(wrong ? most : 1));
}

DeviceSpec read_device_spec(const Value& table, Problems& problems) {
    TableReader reader(table, "device", problems);
    DeviceSpec spec;
    for (const std::string_view key : {"name", "socket"}) {
        reader.require(key);
    }
    spec.name = read_name(reader, "name");
    if (const auto type = reader.choice("type", device_types)) {
        spec.type = device_types[*type];
    }
    spec.vm = read_name(reader, "vm");
    spec.socket = read_socket_path(reader, "socket");
    spec.mode = static_cast<SocketMode>(reader.choice("mode", socket_modes).value_or(0));
    spec.retry_interval_ns = reader.duration("retry_interval", min_retry_interval_ns, max_retry_interval_ns)
                                 .value_or(DeviceSpec::default_retry_interval_ns);
    spec.socket_permissions = reader.permissions("socket_permissions").value_or(DeviceSpec::default_socket_permissions);
    spec.socket_group = reader.text("socket_group").value_or("");
    if (spec.mode == SocketMode::listen) {
        reader.refuse("retry_interval", "for mode = \"listen\"");
    } else {
        reader.refuse("socket_permissions", "for mode = \"connect\"");
        reader.refuse("socket_group", "for mode = \"connect\"");
    }
    if (spec.is_disk()) {
        spec.queues = read_queue_count(reader, DeviceSpec::max_queues);
        spec.read_only = reader.boolean("read_only").value_or(false);
        spec.serial = read_printable(reader, "serial", DeviceSpec::max_serial_bytes);
        spec.storage = read_storage(reader, problems);
    } else if (spec.is_scsi()) {
        spec.scsi = read_scsi_spec(reader, problems);
        spec.queues = static_cast<std::uint16_t>(ScsiSpec::other_queues + spec.scsi.request_queues);
    } else {
        spec.net = read_net_spec(reader, problems);
        spec.queues = static_cast<std::uint16_t>(2 * spec.net.pairs + 1);
    }
    for (const KeyOfTypes& key : keys_of_types) {
        if (key.type != spec.type && key.other_type != spec.type) {
            reader.refuse(key.key, fmt::format("for type = \"{}\"", spec.type));
        }
    }
    spec.worker = read_optional_name(reader, "worker");
    spec.settings = read_setting_values(reader, Level::device, problems);
    spec.queue_specs = read_queues(reader, spec.queues, problems);
    reader.finish();
    return spec;
}

Result<DeviceSpec> parse_device_spec(std::string_view body) {
    return parse_json_as(body, read_device_spec);
}

namespace {

void add_disk_to_json(Json& json, const DeviceSpec& spec) {
    if (spec.queues != 1) {
        json["queues"] = spec.queues;
    }
    if (spec.read_only) {
        json["read_only"] = true;
    }
    if (!spec.serial.empty()) {
        json["serial"] = spec.serial;
    }
    json["storage"] = to_json(spec.storage);
}

}  // namespace

Json to_json(const DeviceSpec& spec) {
    Json json = {{"name", spec.name}, {"type", spec.type}, {"socket", spec.socket}};
    if (!spec.vm.empty()) {
        json["vm"] = spec.vm;
    }
    if (spec.mode == SocketMode::connect) {
        json["mode"] = to_string(spec.mode);
        if (spec.retry_interval_ns != DeviceSpec::default_retry_interval_ns) {
            json["retry_interval"] = format_duration(spec.retry_interval_ns);
        }
    }
    if (spec.socket_permissions != DeviceSpec::default_socket_permissions) {
        json["socket_permissions"] = format_permissions(spec.socket_permissions);
    }
    if (!spec.socket_group.empty()) {
        json["socket_group"] = spec.socket_group;
    }
    if (spec.worker) {
        json["worker"] = *spec.worker;
    }
    if (spec.is_disk()) {
        add_disk_to_json(json, spec);
    } else if (spec.is_scsi()) {
        add_to_json(json, spec.scsi);
    } else {
        add_to_json(json, spec.net);
    }
    add_to_json(json, spec.settings);
    for (const QueueSpec& queue : spec.queue_specs) {
        Json element = {{"index", queue.index}};
        if (queue.worker) {
            element["worker"] = *queue.worker;
        }
        add_to_json(element, queue.settings);
        json["queue"].push_back(std::move(element));
    }
    return json;
}

}  // namespace sidecore::control
