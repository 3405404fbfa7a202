// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "control/capture.hh"
#include "control/device_spec.hh"
#include "control/explanation.hh"
#include "control/info.hh"
#include "control/settings.hh"
#include "daemon/device_maker.hh"
#include "daemon/served_units.hh"
#include "daemon/unit_maker.hh"
#include "endpoint/endpoint.hh"
#include "engine/worker.hh"

namespace sidecore::daemon {

/// A number for a device or a switch that no other of this process has had. Thread: any.
std::uint64_t next_served_id();

/// What a worker has done for a queue since it was last asked.
struct QueueWork {
    std::uint64_t cpu_ns = 0;  ///< serving it, and waking up for it
    std::uint64_t completions = 0;
};

/// From `last`, which becomes what `counters` say, to these.
QueueWork work_since(QueueWork& last, const engine::QueueSnapshot& counters);

/// One device as its DeviceSpec describes it, at work: storage, virtio device, endpoint, the settings of its queues.
///
/// Thread: one call at a time, from any thread but the workers' and the endpoint's. The destructor finishes accepted
/// I/O, ends the session and closes the socket.
class ServedDevice {
public:
    /// A socket that is there already, instead of the one that the spec names, and what to do when it is over.
    struct Given {
        Fd socket;
        std::function<void()> on_ended;
    };

    /// What the daemon has for it.
    struct Surroundings {
        std::vector<engine::Worker*> workers;  ///< of queue i: workers[i]; they outlive the device
        control::Settings settings;            ///< the daemon's
        SwitchFinder find_switch{};
        DiskFinder find_disk{};
    };

    /// Opens the storage or the network, and the socket. Errors: those of these, and of the device.
    static Result<std::unique_ptr<ServedDevice>> create(const control::DeviceSpec& spec, Surroundings surroundings,
                                                        Given given = {});

    const std::string& name() const noexcept { return spec_.name; }
    const std::string& socket() const noexcept { return spec_.socket; }
    const std::vector<engine::Worker*>& workers() const noexcept { return workers_; }

    control::DeviceInfo info() const;
    std::string description() const { return endpoint_->device().description(); }

    /// Why a queue is treated as it is.
    control::QueueReasons explain(std::uint16_t queue) const;

    /// The device's settings, or those of one of its queues (below spec's `queues`).
    control::Settings settings() const { return above_.overridden_by(spec_.settings, control::Level::device); }
    control::Settings settings(std::uint16_t queue) const;

    /// The daemon's, the device's or a queue's settings have changed: holds for running queues when it returns. The settings
    /// afterwards.
    void set_settings_above(const control::Settings& above);
    control::Settings change_settings(const control::SettingsChange& change);
    control::Settings change_settings(std::uint16_t queue, const control::SettingsChange& change);

    /// Hands a queue over to `to`, which outlives the device, or the queue leaves it before. Errors: as Endpoint::move_queue.
    Result<void> move(std::uint16_t queue, engine::Worker& to);

    /// Waits until no I/O is in flight that the device's queues submitted while they were on `worker`, where they are no longer.
    /// Errors: as Endpoint::settle.
    Result<void> settle(const engine::Worker& worker);
    std::uint16_t queues() const noexcept { return spec_.queues; }

    /// A number that no other device of this process has had.
    std::uint64_t id() const noexcept { return id_; }

    /// Whether automatic placement may move a queue: not if the operator has said where it belongs, or has moved it.
    bool may_be_moved(std::uint16_t queue) const { return movable_.at(queue); }
    void keep(std::uint16_t queue) { movable_.at(queue) = false; }

    /// What workers have done for each queue since the last time this was asked.
    std::vector<QueueWork> work_since_last();

    /// Captures its packets, whatever front-end it has or will have. Errors: unsupported if it is no network device; as
    /// PcapngStream::start().
    Result<std::unique_ptr<control::CaptureStream>> capture(const control::CaptureRequest& request);

    /// Its logical units. unsupported if it is no scsi device.
    Result<ServedUnits*> units();

    /// The same; null if it is none.
    const ServedUnits* units_if_any() const noexcept { return units_.get(); }

    /// 0: takes over the length that the file has now. The driver is told. invalid_argument if it is no disk.
    Result<void> resize(std::uint64_t size_bytes);

    /// Holds for running queues when it returns. invalid_argument if it is no network device.
    Result<void> change_limits(const control::NetLimitsChange& change);

    /// See NetDevice::announce(). The driver is told. invalid_argument if it is no network device.
    Result<void> announce();

private:
    ServedDevice(control::DeviceSpec spec, std::vector<engine::Worker*> workers, control::Settings above);

    engine::QueueSettings queue_settings(std::uint16_t queue) const;
    void apply_settings();
    void set_poll_budget();

    control::DeviceSpec spec_;
    std::vector<engine::Worker*> workers_;               // by queue
    std::vector<std::set<const engine::Worker*>> left_;  // by queue: where I/O of it may still be in flight
    const std::uint64_t id_;
    std::vector<bool> movable_;       // by queue
    std::vector<QueueWork> counted_;  // by queue, so far
    control::Settings above_;
    std::vector<control::SettingValues> queue_settings_;
    std::uint32_t poll_budget_percent_ = 100;  // as the endpoint has it
    device::BlkDevice* disk_ = nullptr;        // the endpoint's, if it is one
    device::NetDevice* net_ = nullptr;         // likewise
    std::unique_ptr<ServedUnits> units_;       // of the endpoint's, if it is a scsi device
    std::unique_ptr<endpoint::Endpoint> endpoint_;
};

}  // namespace sidecore::daemon
