// SPDX-License-Identifier: Apache-2.0
#include "control/device_spec.hh"

#include <algorithm>
#include <array>
#include <sys/un.h>
#include <utility>

#include <fmt/format.h>

#include "control/units.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t max_storage_bytes = 1ULL << 62U;
constexpr std::uint64_t max_path_bytes = 4095;
constexpr std::uint64_t max_socket_path_bytes = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::uint64_t min_retry_interval_ns = 1'000'000;
constexpr std::uint64_t max_retry_interval_ns = 3'600'000'000'000;
constexpr std::uint64_t max_storage_threads = 256;

constexpr std::array<std::string_view, 2> device_types{"blk", "net"};

// Keys of a device that mean something for one type only.
constexpr std::array<std::string_view, 4> disk_keys{"queues", "read_only", "serial", "storage"};
constexpr std::array<std::string_view, 7> net_keys{"pairs", "mac", "mtu", "speed", "offloads", "network", "limits"};
constexpr std::array<std::string_view, 3> storage_kinds{"null", "memory", "file"};
constexpr std::array<std::string_view, 3> file_engines{"auto", "io_uring", "threads"};
constexpr std::array<std::string_view, 2> socket_modes{"listen", "connect"};

constexpr bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

std::string read_path(TableReader& reader, std::string_view key, std::uint64_t max_bytes) {
    std::optional<std::string> path = reader.text(key);
    if (path && !path->starts_with('/')) {
        reader.report(key, fmt::format("{} has to be an absolute path", key));
    } else if (path && path->size() > max_bytes) {
        reader.report(key, fmt::format("{} is longer than {} bytes", key, max_bytes));
    }
    return path.value_or("");
}

StorageSpec read_storage(const Value& table, Problems& problems) {
    TableReader reader(table, "storage", problems);
    StorageSpec storage;
    reader.require("kind");
    const auto kind = reader.choice("kind", storage_kinds);
    storage.kind = static_cast<StorageKind>(kind.value_or(0));
    storage.path = read_path(reader, "path", max_path_bytes);
    storage.size_bytes = reader.size("size", sector_bytes, max_storage_bytes).value_or(0);
    if (storage.size_bytes % sector_bytes != 0) {
        reader.report("size", fmt::format("size has to be a multiple of {} bytes", sector_bytes));
    }
    storage.direct = reader.boolean("direct").value_or(false);
    storage.engine = static_cast<FileEngine>(reader.choice("engine", file_engines).value_or(0));
    if (const auto threads = reader.integer("threads", 1, max_storage_threads)) {
        storage.threads = static_cast<std::uint32_t>(*threads);
    }
    if (kind && storage.kind == StorageKind::file) {
        reader.require("path");
        reader.refuse("size", "for kind = \"file\", where the file gives it");
        if (storage.engine == FileEngine::io_uring) {
            reader.refuse("threads", "for engine = \"io_uring\"");
        }
    } else if (kind) {
        const std::string choice = fmt::format("for kind = \"{}\"", to_string(storage.kind));
        reader.require("size");
        reader.refuse("path", choice);
        reader.refuse("direct", choice);
        reader.refuse("engine", choice);
        reader.refuse("threads", choice);
    }
    reader.finish();
    return storage;
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

std::string read_serial(TableReader& reader) {
    std::string serial = reader.text("serial").value_or("");
    const bool printable = std::ranges::all_of(serial, [](char c) { return c >= ' ' && c <= '~'; });
    if (!printable || serial.size() > DeviceSpec::max_serial_bytes) {
        reader.report("serial", fmt::format("serial has to be at most {} printable ASCII characters",
                                            DeviceSpec::max_serial_bytes));
    }
    return serial;
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

std::string_view to_string(StorageKind kind) noexcept {
    return storage_kinds[static_cast<std::size_t>(kind)];
}

std::string_view to_string(FileEngine engine) noexcept {
    return file_engines[static_cast<std::size_t>(engine)];
}

std::string_view to_string(SocketMode mode) noexcept {
    return socket_modes[static_cast<std::size_t>(mode)];
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
    bool queues_wrong = false;
    if (spec.is_disk()) {
        const auto queues = reader.integer("queues", 1, DeviceSpec::max_queues);
        spec.queues = static_cast<std::uint16_t>(queues.value_or(1));
        queues_wrong = reader.find("queues") != nullptr && !queues;
        spec.read_only = reader.boolean("read_only").value_or(false);
        spec.serial = read_serial(reader);
        reader.require("storage");
        if (const Value* storage = reader.table("storage")) {
            spec.storage = read_storage(*storage, problems);
        }
    } else {
        spec.net = read_net_spec(reader, problems);
        spec.queues = static_cast<std::uint16_t>(2 * spec.net.pairs + 1);
    }
    for (const std::string_view key : spec.is_disk() ? std::span<const std::string_view>(net_keys) : disk_keys) {
        reader.refuse(key, fmt::format("for type = \"{}\"", spec.type));
    }
    spec.worker = read_optional_name(reader, "worker");
    spec.settings = read_setting_values(reader, Level::device, problems);
    // With a wrong number of queues any index is possible: one mistake, one message.
    spec.queue_specs = read_queues(reader, queues_wrong ? DeviceSpec::max_queues : spec.queues, problems);
    reader.finish();
    return spec;
}

Result<DeviceSpec> parse_device_spec(std::string_view body) {
    return parse_json_as(body, read_device_spec);
}

namespace {

Json storage_to_json(const StorageSpec& storage) {
    Json json = {{"kind", to_string(storage.kind)}};
    if (storage.kind != StorageKind::file) {
        json["size"] = storage.size_bytes;
        return json;
    }
    json["path"] = storage.path;
    if (storage.direct) {
        json["direct"] = true;
    }
    if (storage.engine != FileEngine::automatic) {
        json["engine"] = to_string(storage.engine);
    }
    if (storage.threads) {
        json["threads"] = *storage.threads;
    }
    return json;
}

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
    json["storage"] = storage_to_json(spec.storage);
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
