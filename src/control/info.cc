// SPDX-License-Identifier: Apache-2.0
#include "control/info.hh"

#include <array>
#include <limits>
#include <map>

#include "base/format.hh"
#include "control/reply_reader.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t max_id = std::numeric_limits<std::int64_t>::max();

/// Names of error kinds in replies, in the order of ErrorKind.
constexpr std::array<std::string_view, 9> error_kinds{
    "invalid_argument", "protocol_violation", "not_found", "already_exists", "unsupported", "out_of_range", "system",
    "closed",           "timed_out"};
static_assert(error_kinds.size() == static_cast<std::size_t>(ErrorKind::timed_out) + 1);

CpuInfo read_cpu_info(const Value& table, Problems& problems) {
    ReplyReader reader(table, "cpu", problems);
    CpuInfo cpu;
    cpu.serving_ns = reader.integer("serving_ns");
    cpu.polling_ns = reader.integer("polling_ns");
    cpu.waking_ns = reader.integer("waking_ns");
    return cpu;
}

VmInfo read_vm(const Value& table, Problems& problems) {
    ReplyReader reader(table, "vm", problems);
    VmInfo vm;
    vm.name = reader.text("name");
    vm.devices = reader.list("devices", read_string);
    vm.cpu = reader.table("cpu", read_cpu_info);
    return vm;
}

DiskInfo read_disk(ReplyReader& reader) {
    DiskInfo disk;
    disk.read_only = reader.boolean("read_only");
    disk.serial = reader.text("serial");
    disk.capacity_bytes = reader.integer("capacity_bytes");
    disk.storage_kind = reader.text("storage_kind");
    disk.storage_description = reader.text("storage_description");
    return disk;
}

NetLimits read_limits_of_reply(const Value& table, Problems& problems) {
    return read_net_limits(table, problems, TableReader::Unknown::ignore);
}

NetInfo read_net(ReplyReader& reader) {
    constexpr std::uint64_t most = std::numeric_limits<std::uint16_t>::max();
    NetInfo net;
    net.mac = reader.text("mac");
    net.mtu = static_cast<std::uint16_t>(reader.integer("mtu", most));
    net.pairs = static_cast<std::uint16_t>(reader.integer("pairs", most));
    net.pairs_in_use = static_cast<std::uint16_t>(reader.integer("pairs_in_use", most));
    net.network_kind = reader.text("network_kind");
    net.network_description = reader.text("network_description");
    net.limits = reader.table("limits", read_limits_of_reply);
    net.transmitted = reader.counters("transmitted");
    net.received = reader.counters("received");
    return net;
}

DeviceInfo read_device(const Value& table, Problems& problems) {
    ReplyReader reader(table, "device", problems);
    DeviceInfo device;
    device.name = reader.text("name");
    device.type = reader.text("type");
    device.vm = reader.text("vm");
    device.state = reader.text("state");
    device.socket = reader.text("socket");
    device.socket_mode = reader.text("socket_mode");
    device.sessions = reader.integer("sessions");
    device.last_error = reader.text("last_error");
    if (device.type == "blk") {
        device.disk = read_disk(reader);
    } else if (device.type == "net") {
        device.net = read_net(reader);
    } else if (device.type == "scsi") {
        device.scsi = ScsiInfo{reader.list("units", read_unit_info)};
    }
    device.features = reader.hexadecimal("features");
    device.settings = reader.settings(Level::device);
    device.cpu = reader.table("cpu", read_cpu_info);
    device.queues = reader.list("queues", read_queue_info);
    return device;
}

WorkerInfo read_worker(const Value& table, Problems& problems) {
    ReplyReader reader(table, "worker", problems);
    WorkerInfo worker;
    worker.name = reader.text("name");
    if (const auto cpu = reader.optional_integer("cpu", std::numeric_limits<std::uint32_t>::max())) {
        worker.cpu = static_cast<std::uint32_t>(*cpu);
    }
    worker.thread_id = static_cast<std::int64_t>(reader.integer("thread_id", max_id));
    worker.cpu_time_ns = reader.integer("cpu_time_ns");
    worker.queues = reader.integer("queues");
    worker.polled_queues = reader.integer("polled_queues");
    worker.devices = reader.list("devices", read_string);
    worker.switches = reader.list("switches", read_string);
    worker.settings = reader.worker_settings();
    worker.counters = reader.counters();
    return worker;
}

Statistics read_statistics(const Value& table, Problems& problems) {
    ReplyReader reader(table, "statistics", problems);
    Statistics statistics;
    statistics.time_ns = reader.integer("time_ns");
    statistics.cycles_per_ns = reader.number("cycles_per_ns");
    statistics.workers = reader.list("workers", read_worker);
    statistics.devices = reader.list("devices", read_device);
    statistics.vms = reader.list("vms", read_vm);
    return statistics;
}

DaemonInfo read_daemon(const Value& table, Problems& problems) {
    ReplyReader reader(table, "daemon", problems);
    DaemonInfo daemon;
    daemon.version = reader.text("version");
    daemon.process_id = static_cast<std::int64_t>(reader.integer("process_id", max_id));
    daemon.uptime_ns = reader.integer("uptime_ns");
    daemon.settings = reader.settings(Level::daemon);
    daemon.costs = reader.table("costs", read_costs);
    return daemon;
}

std::vector<DeviceInfo> read_devices(const Value& table, Problems& problems) {
    return ReplyReader(table, "reply", problems).list("devices", read_device);
}

std::vector<WorkerInfo> read_workers(const Value& table, Problems& problems) {
    return ReplyReader(table, "reply", problems).list("workers", read_worker);
}

}  // namespace

Json counters_to_json(const Counters& counters) {
    Json json = Json::object();
    for (const auto& [name, value] : counters) {
        json[name] = value;
    }
    return json;
}

QueueInfo read_queue_info(const Value& table, Problems& problems) {
    ReplyReader reader(table, "queue", problems);
    QueueInfo queue;
    queue.index = static_cast<std::uint16_t>(reader.integer("index", std::numeric_limits<std::uint16_t>::max()));
    queue.size = static_cast<std::uint32_t>(reader.integer("size", std::numeric_limits<std::uint32_t>::max()));
    queue.worker = reader.text("worker");
    queue.attached = reader.boolean("attached");
    queue.mode = reader.text("mode");
    queue.mode_age_ns = reader.integer("mode_age_ns");
    queue.listed = reader.boolean("listed");
    queue.held = reader.boolean("held");
    queue.armed = reader.boolean("armed");
    queue.broken = reader.boolean("broken");
    queue.settings = reader.settings(Level::queue);
    queue.wait_times = reader.table("wait_times", read_latency);
    queue.service_times = reader.table("service_times", read_latency);
    queue.counters = reader.counters();
    return queue;
}

std::uint64_t counter(const Counters& counters, std::string_view name) noexcept {
    for (const auto& [known, value] : counters) {
        if (known == name) {
            return value;
        }
    }
    return 0;
}

void CpuInfo::add(const CpuInfo& other) noexcept {
    serving_ns += other.serving_ns;
    polling_ns += other.polling_ns;
    waking_ns += other.waking_ns;
}

CpuInfo cpu_of(const Counters& counters) noexcept {
    return {counter(counters, "cpu_serving_ns"), counter(counters, "cpu_polling_ns"),
            counter(counters, "cpu_waking_ns")};
}

std::vector<VmInfo> vms_of(const std::vector<DeviceInfo>& devices) {
    std::map<std::string, VmInfo> vms;
    for (const DeviceInfo& device : devices) {
        if (!device.vm.empty()) {
            VmInfo& vm = vms[device.vm];
            vm.name = device.vm;
            vm.devices.push_back(device.name);
            vm.cpu.add(device.cpu);
        }
    }
    std::vector<VmInfo> result;
    result.reserve(vms.size());
    for (auto& [name, vm] : vms) {
        result.push_back(std::move(vm));
    }
    return result;
}

Json to_json(const CpuInfo& cpu) {
    return {{"serving_ns", cpu.serving_ns}, {"polling_ns", cpu.polling_ns}, {"waking_ns", cpu.waking_ns}};
}

Json to_json(const VmInfo& vm) {
    return {{"name", vm.name}, {"devices", vm.devices}, {"cpu", to_json(vm.cpu)}};
}

Json to_json(const QueueInfo& queue) {
    Json json = {
        {"index", queue.index},       {"size", queue.size}, {"worker", queue.worker},
        {"attached", queue.attached}, {"mode", queue.mode}, {"mode_age_ns", queue.mode_age_ns},
        {"listed", queue.listed},     {"held", queue.held}, {"armed", queue.armed},
        {"broken", queue.broken},
    };
    add_to_json(json, queue.settings);
    json["wait_times"] = to_json(queue.wait_times);
    json["service_times"] = to_json(queue.service_times);
    json["counters"] = counters_to_json(queue.counters);
    return json;
}

Json to_json(const DeviceInfo& device) {
    Json json = {
        {"name", device.name},
        {"type", device.type},
        {"vm", device.vm},
        {"state", device.state},
        {"socket", device.socket},
        {"socket_mode", device.socket_mode},
        {"sessions", device.sessions},
        {"last_error", device.last_error},
        {"features", fmt::format("{:#x}", device.features)},
    };
    if (device.disk) {
        json["read_only"] = device.disk->read_only;
        json["serial"] = device.disk->serial;
        json["capacity_bytes"] = device.disk->capacity_bytes;
        json["storage_kind"] = device.disk->storage_kind;
        json["storage_description"] = device.disk->storage_description;
    }
    if (device.net) {
        json["mac"] = device.net->mac;
        json["mtu"] = device.net->mtu;
        json["pairs"] = device.net->pairs;
        json["pairs_in_use"] = device.net->pairs_in_use;
        json["network_kind"] = device.net->network_kind;
        json["network_description"] = device.net->network_description;
        json["limits"] = to_json(device.net->limits);
        json["transmitted"] = counters_to_json(device.net->transmitted);
        json["received"] = counters_to_json(device.net->received);
    }
    if (device.scsi) {
        json["units"] = list_to_json(device.scsi->units);
    }
    add_to_json(json, device.settings);
    json["cpu"] = to_json(device.cpu);
    json["queues"] = list_to_json(device.queues);
    return json;
}

Json to_json(const std::vector<DeviceInfo>& devices) {
    return {{"devices", list_to_json(devices)}};
}

Json to_json(const WorkerInfo& worker) {
    return {
        {"name", worker.name},
        {"cpu", worker.cpu ? Json(*worker.cpu) : Json(nullptr)},
        {"thread_id", worker.thread_id},
        {"cpu_time_ns", worker.cpu_time_ns},
        {"queues", worker.queues},
        {"polled_queues", worker.polled_queues},
        {"devices", worker.devices},
        {"switches", worker.switches},
        {"settings", to_json(worker.settings, Level::worker)},
        {"counters", counters_to_json(worker.counters)},
    };
}

Json to_json(const std::vector<WorkerInfo>& workers) {
    return {{"workers", list_to_json(workers)}};
}

Json to_json(const Statistics& statistics) {
    return {
        {"time_ns", statistics.time_ns},
        {"cycles_per_ns", statistics.cycles_per_ns},
        {"workers", list_to_json(statistics.workers)},
        {"devices", list_to_json(statistics.devices)},
        {"vms", list_to_json(statistics.vms)},
    };
}

Json to_json(const DaemonInfo& daemon) {
    Json json = {
        {"version", daemon.version},
        {"process_id", daemon.process_id},
        {"uptime_ns", daemon.uptime_ns},
    };
    add_to_json(json, daemon.settings);
    json["costs"] = to_json(daemon.costs);
    return json;
}

Result<DeviceInfo> parse_device_info(std::string_view body) {
    return parse_reply(body, read_device);
}

Result<std::vector<DeviceInfo>> parse_device_list(std::string_view body) {
    return parse_reply(body, read_devices);
}

Result<WorkerInfo> parse_worker_info(std::string_view body) {
    return parse_reply(body, read_worker);
}

Result<std::vector<WorkerInfo>> parse_worker_list(std::string_view body) {
    return parse_reply(body, read_workers);
}

Result<Statistics> parse_statistics(std::string_view body) {
    return parse_reply(body, read_statistics);
}

Result<DaemonInfo> parse_daemon_info(std::string_view body) {
    return parse_reply(body, read_daemon);
}

Json to_json(const Error& error) {
    return {{"error", {{"kind", error_kinds[static_cast<std::size_t>(error.kind)]}, {"message", error.message}}}};
}

Error parse_error_reply(std::string_view body) {
    Problems problems;
    if (const auto value = parse_json(body, "reply")) {
        TableReader reply(*value, "reply", problems, TableReader::Unknown::ignore);
        if (const Value* table = reply.table("error")) {
            TableReader error(*table, "error", problems, TableReader::Unknown::ignore);
            const auto kind = error.choice("kind", error_kinds);
            auto message = error.text("message");
            if (message) {
                return Error{kind ? static_cast<ErrorKind>(*kind) : ErrorKind::system, std::move(*message), 0};
            }
        }
    }
    constexpr std::size_t max_quoted = 200;
    return Error{ErrorKind::protocol_violation,
                 fmt::format("the daemon's answer makes no sense: \"{}\"", body.substr(0, max_quoted)), 0};
}

}  // namespace sidecore::control
