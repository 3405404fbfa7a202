// SPDX-License-Identifier: Apache-2.0
#include "daemon/served_device.hh"

#include <atomic>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "daemon/engine_settings.hh"
#include "daemon/pcapng_stream.hh"
#include "daemon/queue_info.hh"
#include "daemon/reasons.hh"
#include "daemon/unix_listener.hh"

namespace sidecore::daemon {

namespace {

control::QueueInfo to_info(const endpoint::QueueInfo& queue, std::uint64_t now_ns) {
    control::QueueInfo info = to_queue_info(queue.counters, now_ns);
    info.size = queue.size;
    info.worker = queue.worker;
    return info;
}

control::DiskInfo to_info(const device::BlkDevice& disk, std::string serial) {
    return {.read_only = disk.read_only(),
            .serial = std::move(serial),
            .capacity_bytes = disk.capacity_bytes(),
            .storage_kind = std::string(disk.backend().kind()),
            .storage_description = disk.description()};
}

control::Counters to_counters(const device::NetCounts& counts) {
#define SIDECORE_NAME_AND_VALUE(name) {#name, counts.name},
    return {SIDECORE_NET_COUNTERS(SIDECORE_NAME_AND_VALUE)};
#undef SIDECORE_NAME_AND_VALUE
}

control::NetInfo to_info(const device::NetDevice& net) {
    const auto mac = net.mac();
    return {.mac = mac ? control::format_mac(*mac) : "",
            .mtu = net.mtu(),
            .pairs = net.max_pairs(),
            .pairs_in_use = net.pairs_in_use(),
            .network_kind = std::string(net.backend().kind()),
            .network_description = net.description(),
            .transmitted = to_counters(net.transmitted()),
            .received = to_counters(net.received())};
}

std::string_view state_of(const endpoint::Info& info) {
    if (!info.connected) {
        return "waiting";
    }
    for (const endpoint::QueueInfo& queue : info.queues) {
        if (queue.counters.attached) {
            return "running";
        }
    }
    return "connected";
}

}  // namespace

QueueWork work_since(QueueWork& last, const engine::QueueSnapshot& counters) {
    const QueueWork now{counters.cpu_serving_ns + counters.cpu_waking_ns, counters.completions};
    const QueueWork before = std::exchange(last, now);
    return {now.cpu_ns - before.cpu_ns, now.completions - before.completions};
}

std::uint64_t next_served_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

ServedDevice::ServedDevice(control::DeviceSpec spec, std::vector<engine::Worker*> workers, control::Settings above)
    : spec_(std::move(spec)),
      workers_(std::move(workers)),
      left_(spec_.queues),
      id_(next_served_id()),
      movable_(spec_.queues, !spec_.worker),
      counted_(spec_.queues),
      above_(std::move(above)),
      queue_settings_(spec_.queues) {
    for (const control::QueueSpec& queue : spec_.queue_specs) {
        queue_settings_.at(queue.index) = queue.settings;
        if (queue.worker) {
            keep(queue.index);
        }
    }
}

Result<std::unique_ptr<ServedDevice>> ServedDevice::create(const control::DeviceSpec& spec, Surroundings surroundings,
                                                           Given given) {
    const auto within = [&spec](Error error) { return tl::unexpected(std::move(error).within(spec.name)); };
    auto made = make_device(spec, surroundings.find_switch);
    if (!made) {
        return within(std::move(made).error());
    }
    std::unique_ptr<ServedDevice> device(
        new ServedDevice(spec, std::move(surroundings.workers), std::move(surroundings.settings)));
    device->disk_ = made->disk;
    device->net_ = made->net;
    if (made->scsi != nullptr) {
        device->units_ = std::make_unique<ServedUnits>(spec.name, made->scsi->domain());
        for (const control::UnitSpec& unit : spec.scsi.units) {
            SIDECORE_TRY(device->units_->add(unit, surroundings.find_disk));
        }
    }

    endpoint::Options options;
    options.name = spec.name;
    options.socket = spec.socket;
    options.role = spec.mode == control::SocketMode::listen ? endpoint::Role::listen : endpoint::Role::connect;
    options.retry_interval_ns = spec.retry_interval_ns;
    options.given = std::move(given.socket);
    options.on_ended = std::move(given.on_ended);
    if (!options.given && options.role == endpoint::Role::listen) {
        auto listener = listen_unix(spec.socket, spec.socket_permissions, spec.socket_group);
        if (!listener) {
            return within(std::move(listener).error());
        }
        options.given = std::move(*listener);
    }
    std::vector<engine::QueueSettings> settings;
    for (std::uint16_t queue = 0; queue < spec.queues; ++queue) {
        settings.push_back(device->queue_settings(queue));
    }
    auto endpoint =
        endpoint::Endpoint::create(std::move(options), std::move(made->device), device->workers_, std::move(settings));
    if (!endpoint) {
        return within(std::move(endpoint).error());
    }
    device->endpoint_ = std::move(*endpoint);
    device->set_poll_budget();
    return device;
}

control::DeviceInfo ServedDevice::info() const {
    const endpoint::Info from = endpoint_->info();
    const std::uint64_t now_ns = monotonic_ns();
    control::DeviceInfo info;
    info.name = spec_.name;
    info.type = spec_.type;
    info.vm = spec_.vm;
    info.state = state_of(from);
    info.socket = spec_.socket;
    info.socket_mode = control::to_string(spec_.mode);
    info.sessions = from.sessions;
    info.last_error = from.last_error;
    if (disk_ != nullptr) {
        info.disk = to_info(*disk_, serial_of(spec_));
    }
    if (net_ != nullptr) {
        info.net = to_info(*net_);
        info.net->limits = spec_.net.limits;
    }
    if (units_ != nullptr) {
        info.scsi = control::ScsiInfo{units_->infos()};
    }
    info.features = from.features;
    info.settings = settings();
    for (std::uint16_t index = 0; index < spec_.queues; ++index) {
        control::QueueInfo& queue = info.queues.emplace_back(to_info(from.queues.at(index), now_ns));
        queue.index = index;
        queue.settings = settings(index);
        info.cpu.add(control::cpu_of(queue.counters));
    }
    return info;
}

control::QueueReasons ServedDevice::explain(std::uint16_t queue) const {
    return reasons_for(info().queues.at(queue), endpoint_->explain(queue));
}

control::Settings ServedDevice::settings(std::uint16_t queue) const {
    control::Settings result = settings().overridden_by(queue_settings_.at(queue), control::Level::queue);
    if (net_ != nullptr && net_->is_transmit(queue)) {
        build_in_for_transmit_queue(result);
    }
    return result;
}

engine::QueueSettings ServedDevice::queue_settings(std::uint16_t queue) const {
    return to_queue_settings(settings(queue));
}

void ServedDevice::apply_settings() {
    set_poll_budget();
    for (std::uint16_t queue = 0; queue < spec_.queues; ++queue) {
        const engine::QueueSettings wanted = queue_settings(queue);
        if (wanted != endpoint_->queue_settings(queue)) {
            endpoint_->set_queue(queue, wanted);
        }
    }
}

/// A budget that stays keeps what has been spent of it.
void ServedDevice::set_poll_budget() {
    const auto percent = static_cast<std::uint32_t>(settings().number(control::Setting::device_poll_budget));
    if (percent != poll_budget_percent_) {
        endpoint_->set_poll_budget(percent);
        poll_budget_percent_ = percent;
    }
}

void ServedDevice::set_settings_above(const control::Settings& above) {
    above_ = above;
    apply_settings();
}

control::Settings ServedDevice::change_settings(const control::SettingsChange& change) {
    spec_.settings = change.applied_to(std::move(spec_.settings));
    apply_settings();
    return settings();
}

control::Settings ServedDevice::change_settings(std::uint16_t queue, const control::SettingsChange& change) {
    control::SettingValues& values = queue_settings_.at(queue);
    values = change.applied_to(std::move(values));
    apply_settings();
    return settings(queue);
}

Result<void> ServedDevice::move(std::uint16_t queue, engine::Worker& to) {
    engine::Worker*& worker = workers_.at(queue);
    if (worker == &to) {
        return {};
    }
    SIDECORE_TRY(endpoint_->move_queue(queue, to));
    left_.at(queue).insert(worker);
    spdlog::info("{}: queue {} moved from {} to {}", spec_.name, queue, worker->name(), to.name());
    worker = &to;
    return {};
}

std::vector<QueueWork> ServedDevice::work_since_last() {
    std::vector<QueueWork> works;
    for (const endpoint::QueueInfo& queue : endpoint_->info().queues) {
        works.push_back(work_since(counted_.at(works.size()), queue.counters));
    }
    return works;
}

Result<void> ServedDevice::settle(const engine::Worker& worker) {
    for (std::uint16_t queue = 0; queue < spec_.queues; ++queue) {
        if (left_[queue].contains(&worker)) {
            SIDECORE_TRY(endpoint_->settle(queue));
            left_[queue].clear();
        }
    }
    return {};
}

Result<std::unique_ptr<control::CaptureStream>> ServedDevice::capture(const control::CaptureRequest& request) {
    if (net_ == nullptr) {
        return failure(ErrorKind::unsupported, fmt::format("{}: a {} device has no packets", spec_.name, spec_.type));
    }
    auto stream = PcapngStream::start(spec_.name, net_->captures(), request);
    if (!stream) {
        return tl::unexpected(std::move(stream).error().within(spec_.name));
    }
    return std::move(*stream);
}

Result<ServedUnits*> ServedDevice::units() {
    if (units_ == nullptr) {
        return failure(ErrorKind::unsupported,
                       fmt::format("{}: a {} device has no logical units", spec_.name, spec_.type));
    }
    return units_.get();
}

Result<void> ServedDevice::resize(std::uint64_t size_bytes) {
    if (units_ != nullptr) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: a scsi device has no size; say which of its units to resize", spec_.name));
    }
    if (disk_ == nullptr) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: a {} device has no size", spec_.name, spec_.type));
    }
    auto resized = disk_->resize(size_bytes);
    if (!resized) {
        return tl::unexpected(std::move(resized).error().within(spec_.name));
    }
    spdlog::info("{}: now {} bytes", spec_.name, disk_->capacity_bytes());
    endpoint_->announce_config_change();
    return {};
}

Result<void> ServedDevice::change_limits(const control::NetLimitsChange& change) {
    if (net_ == nullptr) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: a {} device has no rate limits", spec_.name, spec_.type));
    }
    spec_.net.limits = change.applied_to(spec_.net.limits);
    net_->set_limits(to_limits(spec_.net.limits));
    spdlog::info("{}: limits are now {}", spec_.name, control::to_text(control::to_json(spec_.net.limits)));
    return {};
}

Result<void> ServedDevice::announce() {
    if (net_ == nullptr) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: a {} device has no network to be announced to", spec_.name, spec_.type));
    }
    const auto asked = net_->announce();
    if (!asked) {
        return tl::unexpected(Error(asked.error()).within(spec_.name));
    }
    spdlog::info("{}: announced{}", spec_.name, *asked ? ", and its driver is asked to" : "");
    if (*asked) {
        endpoint_->announce_config_change();
    }
    return {};
}

}  // namespace sidecore::daemon
