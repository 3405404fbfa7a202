// SPDX-License-Identifier: Apache-2.0
#include "daemon/manager.hh"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <sched.h>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "base/format.hh"
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
    if (target.worker) {
        return fmt::format("worker {}", *target.worker);
    }
    if (!target.device) {
        return "daemon";
    }
    return target.queue ? fmt::format("{}: queue {}", *target.device, *target.queue) : *target.device;
}

/// The CPUs that the process may run on: "0-3, 8".
std::string usable_cpus() {
    cpu_set_t cpus;
    if (::sched_getaffinity(::getpid(), sizeof cpus, &cpus) != 0) {
        return "?";
    }
    std::string text;
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &cpus)) {
            continue;
        }
        std::size_t last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &cpus)) {
            ++last;
        }
        text += fmt::format("{}{}", text.empty() ? "" : ", ", cpu);
        text += last > cpu ? fmt::format("-{}", last) : "";
        cpu = last;
    }
    return text;
}

Result<void> pin(engine::Worker& worker, std::optional<std::uint32_t> cpu) {
    auto pinned = worker.pin(cpu);
    if (!pinned && pinned.error().os_error == EINVAL) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("there is no CPU {} for worker {}; the daemon may use CPU {}", cpu.value_or(0),
                                   worker.name(), usable_cpus()));
    }
    return pinned;
}

/// A worker whose settings stay keeps its budget as it is.
void apply(engine::Worker& worker, const control::Settings& settings) {
    if (const engine::WorkerSettings wanted = to_worker_settings(settings); wanted != worker.settings()) {
        worker.set(wanted);
    }
}

Result<void> check_queue(const ServedDevice& device, std::optional<std::uint16_t> queue) {
    if (queue && *queue >= device.queues()) {
        return failure(
            ErrorKind::not_found,
            fmt::format("the device \"{}\" has no queue {}; it has {}", device.name(), *queue,
                        device.queues() == 1 ? "queue 0" : fmt::format("queues 0 to {}", device.queues() - 1)));
    }
    return {};
}

/// That one, or all.
std::vector<std::uint16_t> queues_of(const ServedDevice& device, std::optional<std::uint16_t> queue) {
    if (queue) {
        return {*queue};
    }
    std::vector<std::uint16_t> queues(device.queues());
    std::iota(queues.begin(), queues.end(), std::uint16_t{0});
    return queues;
}

}  // namespace

Manager::Manager(Options options)
    : started_ns_(monotonic_ns()),
      costs_(std::move(options.costs)),
      settings_(std::move(options.settings)),
      bell_(options.placement ? std::make_shared<engine::ActivityBell>() : nullptr) {}

Result<std::unique_ptr<Manager>> Manager::create(Options options) {
    const std::vector<control::WorkerSpec> specs = std::move(options.workers);
    const auto placement = options.placement;
    std::unique_ptr<Manager> manager(new Manager(std::move(options)));
    for (const control::WorkerSpec& spec : specs) {
        SIDECORE_TRY(manager->start_worker(spec));
    }
    if (placement) {
        while (manager->workers_.size() < placement->workers_min) {
            SIDECORE_TRY(manager->add_automatic_worker(fmt::format("workers_min is {}", placement->workers_min)));
        }
        manager->placer_ = std::make_unique<Placer>(*placement, *manager, manager->bell_);
    }
    return manager;
}

Manager::~Manager() {
    placer_.reset();
    devices_.clear();  // before the workers, which finish their accepted I/O
    switches_.clear();
}

control::Settings Manager::queue_settings() const {
    return built_in_queue_settings().overridden_by(settings_, control::Level::daemon);
}

control::Settings Manager::worker_settings() const {
    return built_in_worker_settings().overridden_by(settings_, control::Level::daemon);
}

control::Settings Manager::worker_settings(const ServedWorker& worker) const {
    return worker_settings().overridden_by(worker.settings, control::Level::worker);
}

// ---- what there is ----

control::DaemonInfo Manager::daemon() {
    const std::lock_guard lock(mutex_);
    return {std::string(control::version()), ::getpid(), monotonic_ns() - started_ns_,
            queue_settings().with(worker_settings()), costs_.info};
}

/// CPU time is attributed to queues now and then; this is up to now.
void Manager::settle_accounts() const {
    for (const ServedWorker& worker : workers_) {
        worker.engine->settle_accounts();
    }
}

std::vector<control::DeviceInfo> Manager::describe_devices() const {
    std::vector<control::DeviceInfo> result;
    for (const auto& device : devices_) {
        result.push_back(device->info());
    }
    return result;
}

std::vector<control::DeviceInfo> Manager::devices() {
    const std::lock_guard lock(mutex_);
    settle_accounts();
    return describe_devices();
}

Result<control::DeviceInfo> Manager::device(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedDevice* device, find_device(name));
    settle_accounts();
    return device->info();
}

control::WorkerInfo Manager::describe(const ServedWorker& served) const {
    const engine::Worker& worker = *served.engine;
    const engine::WorkerSnapshot snapshot = worker.statistics();
    control::WorkerInfo info;
    info.name = worker.name();
    info.cpu = worker.cpu();
    info.thread_id = worker.thread_id();
    info.cpu_time_ns = worker.cpu_time_ns();
    info.queues = snapshot.queues;
    info.polled_queues = snapshot.polled_queues;
    info.settings = worker_settings(served);
    info.counters = to_counters(snapshot);
    for (const auto& device : devices_) {
        if (std::ranges::count(device->workers(), &worker) != 0) {
            info.devices.push_back(device->name());
        }
    }
    for (const auto& served_switch : switches_) {
        if (served_switch->worker() == &worker) {
            info.switches.push_back(served_switch->name());
        }
    }
    return info;
}

std::vector<control::WorkerInfo> Manager::describe_workers() const {
    std::vector<control::WorkerInfo> result;
    for (const ServedWorker& worker : workers_) {
        result.push_back(describe(worker));
    }
    return result;
}

std::vector<control::WorkerInfo> Manager::workers() {
    const std::lock_guard lock(mutex_);
    settle_accounts();
    return describe_workers();
}

Result<control::Statistics> Manager::statistics(std::optional<std::string_view> name) {
    const std::lock_guard lock(mutex_);
    settle_accounts();
    control::Statistics statistics;
    statistics.time_ns = monotonic_ns();
    statistics.cycles_per_ns = cycles_per_ns();
    if (!name) {
        statistics.workers = describe_workers();
        statistics.devices = describe_devices();
        statistics.vms = control::vms_of(statistics.devices);
        return statistics;
    }
    SIDECORE_TRY_ASSIGN(const ServedDevice* device, find_device(*name));
    for (const ServedWorker& worker : workers_) {
        if (std::ranges::count(device->workers(), worker.engine.get()) != 0) {
            statistics.workers.push_back(describe(worker));
        }
    }
    statistics.devices.push_back(device->info());
    statistics.vms = control::vms_of(statistics.devices);
    return statistics;
}

Result<control::Explanation> Manager::explain(const control::QueueTarget& target) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedDevice* device, find_device(target.device));
    SIDECORE_TRY(check_queue(*device, target.queue));
    control::Explanation explanation{device->name(), {}};
    for (const std::uint16_t queue : queues_of(*device, target.queue)) {
        explanation.queues.push_back(device->explain(queue));
    }
    return explanation;
}

Result<std::unique_ptr<control::CaptureStream>> Manager::capture(std::string_view name,
                                                                 const control::CaptureRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(name));
    return device->capture(request);
}

Result<ServedDevice*> Manager::find_device(std::string_view name) {
    const auto found = std::ranges::find_if(devices_, [name](const auto& device) { return device->name() == name; });
    if (found == devices_.end()) {
        return failure(ErrorKind::not_found, fmt::format("there is no device \"{}\"", name));
    }
    return found->get();
}

Result<Manager::ServedWorker*> Manager::find_worker(std::string_view name) {
    const auto found =
        std::ranges::find_if(workers_, [name](const auto& worker) { return worker.engine->name() == name; });
    if (found == workers_.end()) {
        return failure(ErrorKind::not_found, fmt::format("there is no worker \"{}\"", name));
    }
    return &*found;
}

// ---- devices ----

engine::Worker& Manager::least_loaded_worker(const engine::Worker* except) {
    const auto load = [this, except](const ServedWorker& worker) {
        std::ptrdiff_t queues = 0;
        for (const auto& device : devices_) {
            queues += std::ranges::count(device->workers(), worker.engine.get());
        }
        for (const auto& served_switch : switches_) {
            queues += served_switch->worker() == worker.engine.get() ? 1 : 0;
        }
        return std::pair(worker.engine.get() == except, queues);
    };
    return *std::ranges::min_element(workers_, {}, load)->engine;
}

/// A worker for each queue: its own, or the device's, or the one with the fewest queues.
Result<std::vector<engine::Worker*>> Manager::workers_for(const control::DeviceSpec& spec) {
    engine::Worker* common = nullptr;
    if (spec.worker) {
        SIDECORE_TRY_ASSIGN(const ServedWorker* named, find_worker(*spec.worker));
        common = named->engine.get();
    } else {
        common = &least_loaded_worker();
    }
    std::vector<engine::Worker*> workers(spec.queues, common);
    for (const control::QueueSpec& queue : spec.queue_specs) {
        if (queue.worker) {
            SIDECORE_TRY_ASSIGN(const ServedWorker* named, find_worker(*queue.worker));
            workers.at(queue.index) = named->engine.get();
        }
    }
    return workers;
}

Result<control::DeviceInfo> Manager::add_device(const control::DeviceSpec& spec) {
    const std::lock_guard lock(mutex_);
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
    const auto network_of = [this](std::string_view name) -> Result<network::Switch*> {
        SIDECORE_TRY_ASSIGN(ServedSwitch* const found, find_switch(name));
        return &found->network();
    };
    const auto unit_of = [this](std::string_view name) -> Result<std::shared_ptr<scsi::LogicalUnit>> {
        SIDECORE_TRY_ASSIGN(const SharedDisk* const found, find_disk(name));
        return found->unit;
    };
    SIDECORE_TRY_ASSIGN(auto device,
                        ServedDevice::create(spec, {std::move(workers), queue_settings(), network_of, unit_of}));
    spdlog::info("{}: added, {} queues on {}, {} {}: {}", spec.name, spec.queues, device->workers().front()->name(),
                 spec.mode == control::SocketMode::listen ? "listening at" : "connecting to", spec.socket,
                 device->description());
    devices_.push_back(std::move(device));
    return devices_.back()->info();
}

Result<void> Manager::remove_device(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedDevice* removed, find_device(name));
    std::erase_if(devices_, [removed](const auto& device) { return device.get() == removed; });
    spdlog::info("{}: removed", name);
    return {};
}

Result<control::DeviceInfo> Manager::resize_device(std::string_view name, const control::ResizeRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(name));
    SIDECORE_TRY(device->resize(request.size_bytes));
    return device->info();
}

Result<void> Manager::announce_device(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(name));
    return device->announce();
}

Result<control::DeviceInfo> Manager::limit_device(std::string_view name, const control::NetLimitsChange& change) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(name));
    SIDECORE_TRY(device->change_limits(change));
    return device->info();
}

Result<control::DeviceInfo> Manager::move(const control::QueueTarget& target, const control::MoveRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(target.device));
    SIDECORE_TRY_ASSIGN(const ServedWorker* to, find_worker(request.worker));
    SIDECORE_TRY(check_queue(*device, target.queue));
    for (const std::uint16_t queue : queues_of(*device, target.queue)) {
        SIDECORE_TRY(device->move(queue, *to->engine));
        device->keep(queue);
    }
    return device->info();
}

// ---- workers ----

Result<void> Manager::start_worker(const control::WorkerSpec& spec) {
    ServedWorker worker{nullptr, spec.settings, next_worker_id_++};
    SIDECORE_TRY_ASSIGN(worker.engine, engine::Worker::create({.name = spec.name,
                                                               .costs = costs_.costs,
                                                               .settings = to_worker_settings(worker_settings(worker)),
                                                               .bell = bell_}));
    if (spec.cpu) {
        SIDECORE_TRY(pin(*worker.engine, spec.cpu));
    }
    workers_.push_back(std::move(worker));
    return {};
}

Result<control::WorkerInfo> Manager::add_worker(const control::WorkerSpec& spec) {
    const std::lock_guard lock(mutex_);
    if (find_worker(spec.name)) {
        return failure(ErrorKind::already_exists, fmt::format("there is a worker \"{}\" already", spec.name));
    }
    SIDECORE_TRY(start_worker(spec));
    spdlog::info("worker {}: added{}", spec.name, spec.cpu ? fmt::format(" on CPU {}", *spec.cpu) : "");
    return describe(workers_.back());
}

Result<void> Manager::remove_worker(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedWorker* found, find_worker(name));
    if (workers_.size() == 1) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("\"{}\" is the only worker; add another one before it is removed", name));
    }
    SIDECORE_TRY(end_worker(*found->engine));
    spdlog::info("worker {}: removed", name);
    return {};
}

/// Its queues go to the others first.
Result<void> Manager::end_worker(const engine::Worker& ending) {
    const engine::Worker* const worker = &ending;
    const auto stays = [worker](Error error) {
        return tl::unexpected(std::move(error).within(fmt::format("worker {} stays", worker->name())));
    };
    for (const auto& device : devices_) {
        for (std::uint16_t queue = 0; queue < device->queues(); ++queue) {
            if (device->workers()[queue] != worker) {
                continue;
            }
            if (auto moved = device->move(queue, least_loaded_worker(worker)); !moved) {
                return stays(std::move(moved).error());
            }
        }
    }
    for (const auto& served_switch : switches_) {
        if (served_switch->worker() == worker) {
            if (auto moved = served_switch->move(least_loaded_worker(worker)); !moved) {
                return stays(std::move(moved).error());
            }
        }
    }
    // The kernel cancels I/O whose thread ends: that of queues that have moved now, and of some that have moved before.
    for (const auto& device : devices_) {
        if (auto settled = device->settle(*worker); !settled) {
            return stays(std::move(settled).error());
        }
    }
    std::erase_if(workers_, [worker](const ServedWorker& candidate) { return candidate.engine.get() == worker; });
    return {};
}

Result<control::WorkerInfo> Manager::pin_worker(std::string_view name, const control::PinRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedWorker* worker, find_worker(name));
    SIDECORE_TRY(pin(*worker->engine, request.cpu));
    spdlog::info("worker {}: {}", name, request.cpu ? fmt::format("pinned to CPU {}", *request.cpu) : "not pinned");
    return describe(*worker);
}

// ---- settings ----

Result<control::Settings> Manager::change_settings(const control::SettingsTarget& target,
                                                   const control::SettingsChange& change) {
    const std::lock_guard lock(mutex_);
    Result<control::Settings> changed;
    if (target.worker) {
        changed = change_worker_settings(*target.worker, change);
    } else if (!target.device) {
        changed = change_daemon_settings(change);
    } else {
        SIDECORE_TRY_ASSIGN(ServedDevice * device, find_device(*target.device));
        SIDECORE_TRY(check_queue(*device, target.queue));
        changed = target.queue ? device->change_settings(*target.queue, change) : device->change_settings(change);
    }
    if (changed) {
        spdlog::info("{}: set {}", describe_target(target), control::to_text(control::to_json(change)));
    }
    return changed;
}

Result<control::Settings> Manager::change_daemon_settings(const control::SettingsChange& change) {
    settings_ = change.applied_to(std::move(settings_));
    for (const auto& device : devices_) {
        device->set_settings_above(queue_settings());
    }
    for (const auto& served_switch : switches_) {
        served_switch->set_settings_above(queue_settings());
    }
    for (const ServedWorker& worker : workers_) {
        apply(*worker.engine, worker_settings(worker));
    }
    return queue_settings().with(worker_settings());
}

Result<control::Settings> Manager::change_worker_settings(std::string_view name,
                                                          const control::SettingsChange& change) {
    SIDECORE_TRY_ASSIGN(ServedWorker * worker, find_worker(name));
    worker->settings = change.applied_to(std::move(worker->settings));
    apply(*worker->engine, worker_settings(*worker));
    return worker_settings(*worker);
}

}  // namespace sidecore::daemon
