// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/device_spec.hh"
#include "control/info.hh"
#include "control/settings.hh"

namespace sidecore::control {

/// Whose settings to change: the queue's, or without a queue the device's, or without either the daemon's.
struct SettingsTarget {
    std::optional<std::string> device;
    std::optional<std::uint16_t> queue;  ///< only with a device

    Level level() const noexcept { return queue ? Level::queue : device ? Level::device : Level::daemon; }
    friend bool operator==(const SettingsTarget&, const SettingsTarget&) = default;
};

/// All that can be asked of a running daemon. The daemon implements it; the control server and tests use it.
///
/// Thread: one call at a time, from one thread; calls may take as long as it takes to drain a device.
/// Requests have been checked by the parse_* functions; what they cannot know (names in use, a file that is
/// not there) comes back as an Error: not_found, already_exists, unsupported, …
class Service {
public:
    Service() = default;
    virtual ~Service() = default;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    virtual DaemonInfo daemon() = 0;
    virtual std::vector<DeviceInfo> devices() = 0;
    virtual Result<DeviceInfo> device(std::string_view name) = 0;
    virtual std::vector<WorkerInfo> workers() = 0;

    /// Of everything, or of one device and its worker.
    virtual Result<Statistics> statistics(std::optional<std::string_view> device) = 0;

    virtual Result<DeviceInfo> add_device(const DeviceSpec& spec) = 0;

    /// Finishes accepted I/O, closes the connection, removes the socket.
    virtual Result<void> remove_device(std::string_view name) = 0;

    virtual Result<DeviceInfo> resize_device(std::string_view name, const ResizeRequest& request) = 0;

    /// Takes effect on running queues before it returns. The target's settings afterwards.
    virtual Result<Settings> change_settings(const SettingsTarget& target, const SettingsChange& change) = 0;
};

}  // namespace sidecore::control
