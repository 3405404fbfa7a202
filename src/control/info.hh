// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "control/costs.hh"
#include "control/json.hh"
#include "control/latency.hh"
#include "control/net_limits.hh"
#include "control/scsi_info.hh"
#include "control/settings.hh"

namespace sidecore::control {

/// What the daemon says about itself and what it serves. to_json() writes a reply's body; parse_*() reads one
/// and passes over keys that it does not know, so that a tool can speak with a newer daemon.

/// Counters by name, in the order in which they are listed in engine/statistics.hh, where they are explained.
using Counters = std::vector<std::pair<std::string, std::uint64_t>>;

/// The value of one counter, 0 if there is none of this name.
std::uint64_t counter(const Counters& counters, std::string_view name) noexcept;

/// CPU time of workers.
struct CpuInfo {
    std::uint64_t serving_ns = 0;  ///< requests
    std::uint64_t polling_ns = 0;  ///< looks that found nothing
    std::uint64_t waking_ns = 0;   ///< going to sleep, waking up, and the loop around the turns

    std::uint64_t total_ns() const noexcept { return serving_ns + polling_ns + waking_ns; }
    void add(const CpuInfo& other) noexcept;
    friend bool operator==(const CpuInfo&, const CpuInfo&) = default;
};

/// Of a queue's counters.
CpuInfo cpu_of(const Counters& counters) noexcept;

struct QueueInfo {
    std::uint16_t index = 0;
    std::uint32_t size = 0;         ///< entries of its ring; 0: the driver has not started it
    std::string worker;             ///< that serves it, or will
    bool attached = false;          ///< the worker serves it: it is started and enabled
    std::string mode = "notified";  ///< or "polled"
    std::uint64_t mode_age_ns = 0;  ///< how long in this mode
    bool listed = false;            ///< on the worker's list of queues that may have work
    bool held = false;              ///< the device cannot take more now
    bool armed = false;             ///< kicks are asked for
    bool broken = false;            ///< the driver broke the rules; no more turns until a reset
    Settings settings;
    LatencyInfo wait_times;     ///< from a request's arrival to its turn
    LatencyInfo service_times;  ///< from its being taken to its completion towards the guest
    Counters counters;

    friend bool operator==(const QueueInfo&, const QueueInfo&) = default;
};

/// What only blk devices have.
struct DiskInfo {
    bool read_only = false;
    std::string serial;
    std::uint64_t capacity_bytes = 0;
    std::string storage_kind;         ///< "null", "memory", "file"
    std::string storage_description;  ///< for people

    friend bool operator==(const DiskInfo&, const DiskInfo&) = default;
};

/// What only network devices have.
struct NetInfo {
    std::string mac;  ///< empty: only the front-end or the driver knows it
    std::uint16_t mtu = 0;
    std::uint16_t pairs = 1;
    std::uint16_t pairs_in_use = 1;
    std::string network_kind;         ///< "null", "loopback", "tap", "stream", "af_xdp", "switch"
    std::string network_description;  ///< for people
    NetLimits limits{};               ///< in force
    Counters transmitted;             ///< packets of the guest's: names in device/net_counters.hh
    Counters received;                ///< packets to the guest

    friend bool operator==(const NetInfo&, const NetInfo&) = default;
};

struct DeviceInfo {
    std::string name;
    std::string type;   ///< "blk", "net" or "scsi"
    std::string vm;     ///< as configured; may be empty
    std::string state;  ///< "waiting": no front-end; "connected": one, no queue started yet; "running"
    std::string socket;
    std::string socket_mode;     ///< "listen" or "connect"
    std::uint64_t sessions = 0;  ///< front-ends that have connected so far
    std::string last_error;      ///< why the last session that went wrong did, or empty
    std::optional<DiskInfo> disk;
    std::optional<NetInfo> net;
    std::optional<ScsiInfo> scsi;
    std::uint64_t features = 0;  ///< virtio features that the driver has accepted; JSON: hexadecimal string
    Settings settings;
    CpuInfo cpu;  ///< of its queues
    std::vector<QueueInfo> queues;

    friend bool operator==(const DeviceInfo&, const DeviceInfo&) = default;
};

struct WorkerInfo {
    std::string name;
    std::optional<std::uint32_t> cpu;  ///< that it is pinned to
    std::int64_t thread_id = 0;        ///< as in /proc/PID/task
    std::uint64_t cpu_time_ns = 0;     ///< of its thread, all in all
    std::uint64_t queues = 0;
    std::uint64_t polled_queues = 0;
    std::vector<std::string> devices;
    std::vector<std::string> switches;  ///< whose uplinks it serves
    Settings settings;
    Counters counters;

    friend bool operator==(const WorkerInfo&, const WorkerInfo&) = default;
};

/// The devices that are said to be of one virtual machine.
struct VmInfo {
    std::string name;
    std::vector<std::string> devices;
    CpuInfo cpu;

    friend bool operator==(const VmInfo&, const VmInfo&) = default;
};

/// By name, of those that have one.
std::vector<VmInfo> vms_of(const std::vector<DeviceInfo>& devices);

/// Everything, at one moment, so that two of them give rates.
struct Statistics {
    std::uint64_t time_ns = 0;  ///< CLOCK_MONOTONIC
    double cycles_per_ns = 0;   ///< what the counters of cycles are counted in
    std::vector<WorkerInfo> workers;
    std::vector<DeviceInfo> devices;
    std::vector<VmInfo> vms;

    friend bool operator==(const Statistics&, const Statistics&) = default;
};

struct DaemonInfo {
    std::string version;
    std::int64_t process_id = 0;
    std::uint64_t uptime_ns = 0;
    Settings settings;
    CostsInfo costs;

    friend bool operator==(const DaemonInfo&, const DaemonInfo&) = default;
};

Json counters_to_json(const Counters& counters);

/// A queue of a reply; what is wrong goes to `problems`.
QueueInfo read_queue_info(const Value& table, Problems& problems);

/// What to_json() makes of each, where it is declared by then.
template <typename T>
Json list_to_json(const std::vector<T>& elements) {
    Json json = Json::array();
    for (const T& element : elements) {
        json.push_back(to_json(element));
    }
    return json;
}

Json to_json(const CpuInfo& cpu);
Json to_json(const VmInfo& vm);
Json to_json(const QueueInfo& queue);
Json to_json(const DeviceInfo& device);
Json to_json(const std::vector<DeviceInfo>& devices);  // {"devices": […]}
Json to_json(const WorkerInfo& worker);
Json to_json(const std::vector<WorkerInfo>& workers);  // {"workers": […]}
Json to_json(const Statistics& statistics);
Json to_json(const DaemonInfo& daemon);

Result<DeviceInfo> parse_device_info(std::string_view body);
Result<std::vector<DeviceInfo>> parse_device_list(std::string_view body);
Result<WorkerInfo> parse_worker_info(std::string_view body);
Result<std::vector<WorkerInfo>> parse_worker_list(std::string_view body);
Result<Statistics> parse_statistics(std::string_view body);
Result<DaemonInfo> parse_daemon_info(std::string_view body);

/// {"error": {"kind": "not_found", "message": "…"}}
Json to_json(const Error& error);

/// The error of a reply's body; a body that is none becomes an error that quotes it.
Error parse_error_reply(std::string_view body);

}  // namespace sidecore::control
