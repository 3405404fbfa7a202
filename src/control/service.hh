// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/capture.hh"
#include "control/device_spec.hh"
#include "control/explanation.hh"
#include "control/info.hh"
#include "control/net_limits.hh"
#include "control/requests.hh"
#include "control/scsi_info.hh"
#include "control/scsi_spec.hh"
#include "control/settings.hh"
#include "control/switch_info.hh"
#include "control/switch_spec.hh"
#include "control/worker_spec.hh"

namespace sidecore::control {

/// Whose settings to change: a worker's, or a queue's, or without a queue the device's, or without any the daemon's.
struct SettingsTarget {
    std::optional<std::string> device{};
    std::optional<std::uint16_t> queue{};  ///< only with a device
    std::optional<std::string> worker{};   ///< only without

    Level level() const noexcept {
        return worker ? Level::worker : queue ? Level::queue : device ? Level::device : Level::daemon;
    }
    friend bool operator==(const SettingsTarget&, const SettingsTarget&) = default;
};

/// A queue, or all queues of a device.
struct QueueTarget {
    std::string device;
    std::optional<std::uint16_t> queue{};
};

/// All that can be asked of a running daemon. The daemon implements it; the control server and tests use it.
///
/// Thread: any; calls take their turns, and may take as long as it takes to drain a device.
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

    /// Why a queue, or each queue of a device, is treated as it is.
    virtual Result<Explanation> explain(const QueueTarget& target) = 0;

    /// Captures a network device's packets from now on; the device may go before the stream does, and ends it.
    virtual Result<std::unique_ptr<CaptureStream>> capture(std::string_view name, const CaptureRequest& request) = 0;

    virtual Result<DeviceInfo> add_device(const DeviceSpec& spec) = 0;

    /// Finishes accepted I/O, closes the connection, removes the socket.
    virtual Result<void> remove_device(std::string_view name) = 0;

    virtual Result<DeviceInfo> resize_device(std::string_view name, const ResizeRequest& request) = 0;

    /// Makes a network device's guest known to its network again: the driver is asked to announce itself, where that is possible, and the network
    /// is told of its MAC address, if that is known.
    virtual Result<void> announce_device(std::string_view name) = 0;

    /// The logical units of a scsi device. unsupported: it is none.
    virtual Result<std::vector<UnitInfo>> units(std::string_view device) = 0;
    virtual Result<UnitInfo> unit(std::string_view device, UnitAddress address) = 0;

    /// The driver is told, also by the two that follow.
    virtual Result<UnitInfo> add_unit(std::string_view device, const UnitSpec& spec) = 0;

    /// Finishes accepted I/O, and lets go of the unit's storage if it is its own. timed_out: that takes long; then the guest has lost the unit, and
    /// asking again goes on waiting.
    virtual Result<void> remove_unit(std::string_view device, UnitAddress address) = 0;

    /// A shared disk is resized for all that have it.
    virtual Result<UnitInfo> resize_unit(std::string_view device, UnitAddress address,
                                         const ResizeRequest& request) = 0;

    /// Disks that units of several devices may be.
    virtual std::vector<SharedDiskInfo> disks() = 0;
    virtual Result<SharedDiskInfo> disk(std::string_view name) = 0;
    virtual Result<SharedDiskInfo> add_disk(const SharedDiskSpec& spec) = 0;

    /// Not while it is a unit of any device. timed_out: as remove_unit().
    virtual Result<void> remove_disk(std::string_view name) = 0;
    virtual Result<SharedDiskInfo> resize_disk(std::string_view name, const ResizeRequest& request) = 0;

    virtual std::vector<SwitchInfo> switches() = 0;
    virtual Result<SwitchInfo> switch_info(std::string_view name) = 0;
    virtual Result<std::vector<StationInfo>> stations(std::string_view switch_name) = 0;
    virtual Result<SwitchInfo> add_switch(const SwitchSpec& spec) = 0;

    /// Not while devices have ports of it.
    virtual Result<void> remove_switch(std::string_view name) = 0;

    /// Hands its uplink over to another worker. The switch afterwards.
    virtual Result<SwitchInfo> move_switch(std::string_view name, const MoveRequest& request) = 0;

    /// Changes a network device's rate limits, also while it runs. The device afterwards.
    virtual Result<DeviceInfo> limit_device(std::string_view name, const NetLimitsChange& change) = 0;

    virtual Result<WorkerInfo> add_worker(const WorkerSpec& spec) = 0;

    /// Moves its queues to the others, then ends it. Not the last one.
    virtual Result<void> remove_worker(std::string_view name) = 0;

    virtual Result<WorkerInfo> pin_worker(std::string_view name, const PinRequest& request) = 0;

    /// Hands queues over to another worker, while they run. The device afterwards.
    virtual Result<DeviceInfo> move(const QueueTarget& target, const MoveRequest& request) = 0;

    /// Takes effect on running queues and workers before it returns. The target's settings afterwards.
    virtual Result<Settings> change_settings(const SettingsTarget& target, const SettingsChange& change) = 0;
};

}  // namespace sidecore::control
