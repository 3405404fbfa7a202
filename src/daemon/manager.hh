// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/service.hh"
#include "daemon/host_costs.hh"
#include "daemon/placer.hh"
#include "daemon/served_device.hh"
#include "daemon/served_switch.hh"
#include "engine/worker.hh"

namespace sidecore::daemon {

/// The workers, devices, switches and shared disks of a daemon, and everything that may be asked of them while they run.
///
/// Thread: any but the workers' and the endpoints'; a mutex lets one public function run at a time. The control server and
/// whoever places queues by measured load call the same functions.
///
/// Invariants:
///  1. Names of workers, of switches, of shared disks, and names and sockets of devices, differ. There is at least one worker.
///  2. Each queue runs under the daemon's settings, with what its device and then itself say in their place, and each worker
///     under the daemon's with its own in their place, from the moment a change returns.
///  3. What the operator has placed, by a worker's name in the configuration or by move(), placement leaves there.
///  4. A worker ends when no queue is on it and no I/O is in flight that its thread has submitted.
class Manager final : public control::Service, public Placeable {
public:
    struct Options {
        std::vector<control::WorkerSpec> workers;  ///< at least one
        control::SettingValues settings{};         ///< the daemon's own
        HostCosts costs{};
        std::optional<engine::PlacementSettings> placement{};  ///< automatic, if given
    };

    /// Starts the workers. Errors: as add_worker().
    static Result<std::unique_ptr<Manager>> create(Options options);

    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;
    /// Removes all devices as remove_device() does, then ends the workers.
    ~Manager() override;

    control::DaemonInfo daemon() override;
    std::vector<control::DeviceInfo> devices() override;
    Result<control::DeviceInfo> device(std::string_view name) override;
    std::vector<control::WorkerInfo> workers() override;
    Result<control::Statistics> statistics(std::optional<std::string_view> name) override;
    Result<control::Explanation> explain(const control::QueueTarget& target) override;
    Result<std::unique_ptr<control::CaptureStream>> capture(std::string_view name,
                                                            const control::CaptureRequest& request) override;
    Result<control::DeviceInfo> add_device(const control::DeviceSpec& spec) override;
    Result<void> remove_device(std::string_view name) override;
    Result<control::DeviceInfo> resize_device(std::string_view name, const control::ResizeRequest& request) override;
    Result<void> announce_device(std::string_view name) override;
    Result<std::vector<control::UnitInfo>> units(std::string_view device) override;
    Result<control::UnitInfo> unit(std::string_view device, control::UnitAddress address) override;
    Result<control::UnitInfo> add_unit(std::string_view device, const control::UnitSpec& spec) override;
    Result<void> remove_unit(std::string_view device, control::UnitAddress address) override;
    Result<control::UnitInfo> resize_unit(std::string_view device, control::UnitAddress address,
                                          const control::ResizeRequest& request) override;
    std::vector<control::SharedDiskInfo> disks() override;
    Result<control::SharedDiskInfo> disk(std::string_view name) override;
    Result<control::SharedDiskInfo> add_disk(const control::SharedDiskSpec& spec) override;
    Result<void> remove_disk(std::string_view name) override;
    Result<control::SharedDiskInfo> resize_disk(std::string_view name, const control::ResizeRequest& request) override;
    std::vector<control::SwitchInfo> switches() override;
    Result<control::SwitchInfo> switch_info(std::string_view name) override;
    Result<std::vector<control::StationInfo>> stations(std::string_view switch_name) override;
    Result<control::SwitchInfo> add_switch(const control::SwitchSpec& spec) override;
    Result<void> remove_switch(std::string_view name) override;
    Result<control::SwitchInfo> move_switch(std::string_view name, const control::MoveRequest& request) override;
    Result<control::DeviceInfo> limit_device(std::string_view name, const control::NetLimitsChange& change) override;
    Result<control::WorkerInfo> add_worker(const control::WorkerSpec& spec) override;

    /// timed_out if a front-end is changing one of its queues and that takes long; then some queues have moved, and the worker
    /// stays.
    Result<void> remove_worker(std::string_view name) override;
    Result<control::WorkerInfo> pin_worker(std::string_view name, const control::PinRequest& request) override;

    /// timed_out as for remove_worker(); the queues before that one have moved.
    Result<control::DeviceInfo> move(const control::QueueTarget& target, const control::MoveRequest& request) override;
    Result<control::Settings> change_settings(const control::SettingsTarget& target,
                                              const control::SettingsChange& change) override;

    // Automatic placement. Workers that it adds are called auto1, auto2, …; those alone it removes.
    engine::PlacementView measure() override;
    Result<void> carry_out(const engine::PlacementStep& step) override;

private:
    struct ServedWorker {
        std::unique_ptr<engine::Worker> engine;
        control::SettingValues settings;  // its own
        std::uint32_t id = 0;             // for placement
        bool automatic = false;           // added by placement
    };

    struct SharedDisk {
        std::string name;
        std::shared_ptr<scsi::LogicalUnit> unit;
    };

    explicit Manager(Options options);

    // All with mutex_ held
    control::Settings queue_settings() const;
    control::Settings worker_settings() const;
    control::Settings worker_settings(const ServedWorker& worker) const;
    Result<void> start_worker(const control::WorkerSpec& spec);
    Result<void> end_worker(const engine::Worker& ending);
    Result<void> add_automatic_worker(const std::string& reason);
    Result<void> place(std::uint64_t queue_id, std::uint32_t to_id, std::string_view reason);
    Result<ServedDevice*> find_device(std::string_view name);
    Result<ServedSwitch*> find_switch(std::string_view name);
    Result<ServedUnits*> find_units(std::string_view device);
    Result<SharedDisk*> find_disk(std::string_view name);
    control::SharedDiskInfo describe(const SharedDisk& disk) const;
    Result<ServedWorker*> find_worker(std::string_view name);
    std::uint32_t id_of(const engine::Worker& worker) const;
    engine::Worker& least_loaded_worker(const engine::Worker* except = nullptr);
    Result<std::vector<engine::Worker*>> workers_for(const control::DeviceSpec& spec);
    Result<control::Settings> change_daemon_settings(const control::SettingsChange& change);
    Result<control::Settings> change_worker_settings(std::string_view name, const control::SettingsChange& change);
    void settle_accounts() const;
    control::WorkerInfo describe(const ServedWorker& served) const;
    std::vector<control::WorkerInfo> describe_workers() const;
    std::vector<control::DeviceInfo> describe_devices() const;

    const std::uint64_t started_ns_;
    const HostCosts costs_;

    std::mutex mutex_;
    std::vector<ServedWorker> workers_;                    // outlive the devices
    std::vector<std::unique_ptr<ServedSwitch>> switches_;  // outlive the devices, too
    std::vector<SharedDisk> disks_;                        // likewise
    std::vector<std::unique_ptr<ServedDevice>> devices_;
    control::SettingValues settings_;

    // Placement
    const std::shared_ptr<engine::ActivityBell> bell_;  // null without it
    std::uint32_t next_worker_id_ = 0;
    std::uint32_t next_automatic_worker_ = 1;
    std::uint64_t measured_ns_ = 0;
    std::unique_ptr<Placer> placer_;  // last: it uses all of the above
};

}  // namespace sidecore::daemon
