// SPDX-License-Identifier: Apache-2.0
#include "daemon/manager.hh"

#include <algorithm>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "control/version.hh"
#include "daemon/engine_settings.hh"
#include "engine/statistics.hh"

namespace sidecore::daemon {

namespace {

control::Counters to_counters(const engine::WorkerSnapshot& snapshot) {
#define SIDECORE_NAME_AND_VALUE(name) {#name, snapshot.name},
    return {SIDECORE_WORKER_COUNTERS(SIDECORE_NAME_AND_VALUE)};
#undef SIDECORE_NAME_AND_VALUE
}

std::string describe_target(const control::SettingsTarget& target) {
    if (!target.device) {
        return "daemon";
    }
    return target.queue ? fmt::format("{}: queue {}", *target.device, *target.queue) : *target.device;
}

}  // namespace

Manager::Manager(std::vector<std::unique_ptr<engine::Worker>> workers, control::SettingValues settings)
    : started_ns_(monotonic_ns()), workers_(std::move(workers)), settings_(std::move(settings)) {}

Result<std::unique_ptr<Manager>> Manager::create(const std::vector<WorkerSpec>& workers,
                                                 control::SettingValues settings) {
    std::vector<std::unique_ptr<engine::Worker>> started;
    for (const WorkerSpec& spec : workers) {
        SIDECORE_TRY_ASSIGN(auto worker, engine::Worker::create({spec.name, spec.cpu}));
        started.push_back(std::move(worker));
    }
    return std::unique_ptr<Manager>(new Manager(std::move(started), std::move(settings)));
}

Manager::~Manager() {
    devices_.clear();  // before the workers, which finish their accepted I/O
}

control::Settings Manager::settings() const {
    return built_in_queue_settings().overridden_by(settings_, control::Level::daemon);
}

control::DaemonInfo Manager::daemon() {
    return {std::string(control::version()), ::getpid(), monotonic_ns() - started_ns_, settings()};
}

std::vector<control::DeviceInfo> Manager::devices() {
    std::vector<control::DeviceInfo> result;
    for (const auto& device : devices_) {
        result.push_back(device->info());
    }
    return result;
}

Result<ServedDevice*> Manager::find_device(std::string_view name) {
    const auto found = std::ranges::find_if(devices_, [name](const auto& device) { return device->name() == name; });
    if (found == devices_.end()) {
        return failure(ErrorKind::not_found, fmt::format("there is no device \"{}\"", name));
    }
    return found->get();
}

Result<control::DeviceInfo> Manager::device(std::string_view name) {
    SIDECORE_TRY_ASSIGN(const ServedDevice* device, find_device(name));
    return device->info();
}

control::WorkerInfo Manager::describe(const engine::Worker& worker) const {
    const engine::WorkerSnapshot snapshot = worker.statistics();
    control::WorkerInfo info;
    info.name = worker.name();
    info.cpu = worker.cpu();
    info.thread_id = worker.thread_id();
    info.cpu_time_ns = worker.cpu_time_ns();
    info.queues = snapshot.queues;
    info.polled_queues = snapshot.polled_queues;
    info.counters = to_counters(snapshot);
    for (const auto& device : devices_) {
        if (std::ranges::count(device->workers(), &worker) != 0) {
            info.devices.push_back(device->name());
        }
    }
    return info;
}

std::vector<control::WorkerInfo> Manager::workers() {
    std::vector<control::WorkerInfo> result;
    for (const auto& worker : workers_) {
        result.push_back(describe(*worker));
    }
    return result;
}

Result<control::Statistics> Manager::statistics(std::optional<std::string_view> name) {
    control::Statistics statistics;
    statistics.time_ns = monotonic_ns();
    statistics.cycles_per_ns = cycles_per_ns();
    if (!name) {
        statistics.workers = workers();
        statistics.devices = devices();
        return statistics;
    }
    SIDECORE_TRY_ASSIGN(const ServedDevice* device, find_device(*name));
    for (const auto& worker : workers_) {
        if (std::ranges::count(device->workers(), worker.get()) != 0) {
            statistics.workers.push_back(describe(*worker));
        }
    }
    statistics.devices.push_back(device->info());
    return statistics;
}

Result<engine::Worker*> Manager::find_worker(std::string_view name) {
    for (const auto& worker : workers_) {
        if (worker->name() == name) {
            return worker.get();
        }
    }
    return failure(ErrorKind::not_found, fmt::format("there is no worker \"{}\"", name));
}

engine::Worker& Manager::least_loaded_worker() {
    const auto load = [this](const std::unique_ptr<engine::Worker>& worker) {
        std::ptrdiff_t queues = 0;
        for (const auto& device : devices_) {
            queues += std::ranges::count(device->workers(), worker.get());
        }
        return queues;
    };
    return **std::ranges::min_element(workers_, {}, load);
}

/// A worker for each queue: its own, or the device's, or the one with the fewest queues.
Result<std::vector<engine::Worker*>> Manager::workers_for(const control::DeviceSpec& spec) {
    engine::Worker* common = nullptr;
    if (spec.worker) {
        SIDECORE_TRY_ASSIGN(common, find_worker(*spec.worker));
    } else {
        common = &least_loaded_worker();
    }
    std::vector<engine::Worker*> workers(spec.queues, common);
    for (const control::QueueSpec& queue : spec.queue_specs) {
        if (queue.worker) {
            SIDECORE_TRY_ASSIGN(workers.at(queue.index), find_worker(*queue.worker));
        }
    }
    return workers;
}

Result<control::DeviceInfo> Manager::add_device(const control::DeviceSpec& spec) {
    for (const auto& device : devices_) {
        if (device->name() == spec.name) {
            return failure(ErrorKind::already_exists, fmt::format("there is a device \"{}\" already", spec.name));
        }
        if (device->socket() == spec.socket) {
            return failure(ErrorKind::already_exists, fmt::format("{}: the device \"{}\" has the socket {}", spec.name,
                                                                  device->name(), spec.socket));
        }
    }
    SIDECORE_TRY_ASSIGN(auto workers, workers_for(spec));
    SIDECORE_TRY_ASSIGN(auto device, ServedDevice::create(spec, std::move(workers), settings()));
    spdlog::info("{}: added, {} queues on {}, {} {}: {}", spec.name, spec.queues, device->workers().front()->name(),
                 spec.mode == control::SocketMode::listen ? "listening at" : "connecting to", spec.socket,
                 device->info().storage_description);
    devices_.push_back(std::move(device));
    return devices_.back()->info();
}

Result<void> Manager::remove_device(std::string_view name) {
    SIDECORE_TRY_ASSIGN(const ServedDevice* removed, find_device(name));
    std::erase_if(devices_, [removed](const auto& device) { return device.get() == removed; });
    spdlog::info("{}: removed", name);
    return {};
}

Result<control::DeviceInfo> Manager::resize_device(std::string_view name, const control::ResizeRequest& request) {
    SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(name));
    SIDECORE_TRY(device->resize(request.size_bytes));
    return device->info();
}

Result<control::Settings> Manager::change_settings(const control::SettingsTarget& target,
                                                   const control::SettingsChange& change) {
    control::Settings changed;
    if (!target.device) {
        settings_ = change.applied_to(std::move(settings_));
        changed = settings();
        for (const auto& device : devices_) {
            device->set_settings_above(changed);
        }
    } else {
        SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(*target.device));
        if (!target.queue) {
            device->change_settings(change);
            changed = device->settings();
        } else if (*target.queue < device->queues()) {
            device->change_settings(*target.queue, change);
            changed = device->settings(*target.queue);
        } else {
            return failure(ErrorKind::not_found,
                           fmt::format("the device \"{}\" has queues 0 to {}", device->name(), device->queues() - 1));
        }
    }
    spdlog::info("{}: set {}", describe_target(target), control::to_text(control::to_json(change)));
    return changed;
}

}  // namespace sidecore::daemon
