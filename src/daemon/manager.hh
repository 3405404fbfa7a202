// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/service.hh"
#include "daemon/config.hh"
#include "daemon/served_device.hh"
#include "engine/worker.hh"

namespace sidecore::daemon {

/// The workers and devices of a daemon, and everything that may be asked of them while they run.
///
/// Thread: one call at a time, from any thread but the workers' and the endpoints'.
///
/// Invariants:
///  1. Names and sockets of devices differ.
///  2. Each queue runs under the daemon's settings, with what its device and then itself say in their place, from the
///     moment a change returns.
class Manager final : public control::Service {
public:
    /// Starts the workers. Errors: as engine::Worker::create, with the worker's name.
    static Result<std::unique_ptr<Manager>> create(const std::vector<WorkerSpec>& workers,
                                                   control::SettingValues settings);

    /// Removes all devices as remove_device() does, then ends the workers.
    ~Manager() override;

    control::DaemonInfo daemon() override;
    std::vector<control::DeviceInfo> devices() override;
    Result<control::DeviceInfo> device(std::string_view name) override;
    std::vector<control::WorkerInfo> workers() override;
    Result<control::Statistics> statistics(std::optional<std::string_view> device) override;
    Result<control::DeviceInfo> add_device(const control::DeviceSpec& spec) override;
    Result<void> remove_device(std::string_view name) override;
    Result<control::DeviceInfo> resize_device(std::string_view name, const control::ResizeRequest& request) override;
    Result<control::Settings> change_settings(const control::SettingsTarget& target,
                                              const control::SettingsChange& change) override;

private:
    Manager(std::vector<std::unique_ptr<engine::Worker>> workers, control::SettingValues settings);

    control::Settings settings() const;
    Result<ServedDevice*> find_device(std::string_view name);
    Result<engine::Worker*> find_worker(std::string_view name);
    engine::Worker& least_loaded_worker();
    Result<std::vector<engine::Worker*>> workers_for(const control::DeviceSpec& spec);
    control::WorkerInfo describe(const engine::Worker& worker) const;

    const std::uint64_t started_ns_;
    const std::vector<std::unique_ptr<engine::Worker>> workers_;  // outlive the devices
    std::vector<std::unique_ptr<ServedDevice>> devices_;
    control::SettingValues settings_;
};

}  // namespace sidecore::daemon
