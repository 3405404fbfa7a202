// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/json.hh"
#include "control/net_spec.hh"
#include "control/scsi_spec.hh"
#include "control/settings.hh"
#include "control/storage_spec.hh"
#include "control/value.hh"

namespace sidecore::control {

/// Names of devices and workers: 1 to 64 letters, digits, '.', '_', '-', not starting with '.' or '-', so
/// that they fit in a URL, a file name and a command line as they are.
bool is_valid_name(std::string_view name) noexcept;

/// Reads a name, which is reported if it is none; "" if the key is absent.
std::string read_name(TableReader& reader, std::string_view key);

/// The same; nothing if the key is absent.
std::optional<std::string> read_optional_name(TableReader& reader, std::string_view key);

/// Reads the path of a UNIX socket, which is reported if it is not absolute or too long; "" if the key is absent.
std::string read_socket_path(TableReader& reader, std::string_view key);

/// Reads the key `queues`, 1 to `most`. A wrong number gives `most`: then any index of a queue is possible, and there is one message for one mistake.
std::uint16_t read_queue_count(TableReader& device, std::uint16_t most);

enum class SocketMode : std::uint8_t {
    listen,   ///< the front-end connects to us
    connect,  ///< we connect to the front-end, again and again until it is there
};

struct QueueSpec {
    std::uint16_t index = 0;
    std::optional<std::string> worker;  ///< none: the device's
    SettingValues settings;

    friend bool operator==(const QueueSpec&, const QueueSpec&) = default;
};

/// A device as a [[device]] table and as the body of POST /v1/devices describe it.
struct DeviceSpec {
    static constexpr std::uint16_t max_queues = 64;
    static constexpr std::size_t max_serial_bytes = 20;  // VIRTIO 5.2.6: VIRTIO_BLK_T_GET_ID
    static constexpr std::uint32_t default_socket_permissions = 0600;
    static constexpr std::uint64_t default_retry_interval_ns = 1'000'000'000;

    std::string name;
    std::string type = "blk";  ///< or "net", "scsi"
    std::string vm;            ///< whose device it is, for sums; empty: nobody said
    std::string socket;        ///< absolute path
    std::uint32_t socket_permissions = default_socket_permissions;  ///< listen: who may connect
    std::string socket_group;                                       ///< listen: the socket's group; empty: the daemon's
    SocketMode mode = SocketMode::listen;
    std::uint64_t retry_interval_ns = default_retry_interval_ns;  ///< connect: between attempts
    std::uint16_t queues = 1;           ///< blk: 1 to max_queues; net, scsi: what they make with the others
    bool read_only = false;             ///< blk
    std::string serial;                 ///< blk: printable ASCII; empty: the name, cut to max_serial_bytes
    std::optional<std::string> worker;  ///< none: the one with the fewest queues
    StorageSpec storage;                ///< blk
    NetSpec net;                        ///< net
    ScsiSpec scsi;                      ///< scsi
    SettingValues settings;
    std::vector<QueueSpec> queue_specs;  ///< key "queue"; each index once, below `queues`

    bool is_disk() const noexcept { return type == "blk"; }
    bool is_scsi() const noexcept { return type == "scsi"; }

    friend bool operator==(const DeviceSpec&, const DeviceSpec&) = default;
};

std::string_view to_string(SocketMode mode) noexcept;

/// Reads one device; what is wrong goes to `problems`, and the result is to be used only if nothing was.
DeviceSpec read_device_spec(const Value& table, Problems& problems);

/// The body of POST /v1/devices.
Result<DeviceSpec> parse_device_spec(std::string_view body);

/// The other way round; what has its default is left out.
Json to_json(const DeviceSpec& spec);

}  // namespace sidecore::control
