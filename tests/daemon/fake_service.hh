// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hh"
#include "base/format.hh"
#include "capture/capture_point.hh"
#include "control/service.hh"
#include "daemon/engine_settings.hh"
#include "daemon/pcapng_stream.hh"

namespace sidecore::test {

/// A daemon without disks: remembers what it was asked, serves a few made-up devices.
///
/// Thread: calls from one thread; `log()` and the setters from any.
class FakeService final : public control::Service {
public:
    FakeService() { devices_.push_back(make_device("disk0", 2)); }

    /// What it was asked, one line each.
    std::vector<std::string> log() const {
        const std::lock_guard lock(mutex_);
        return log_;
    }
    /// The next calls that can fail do so with this.
    void fail_with(std::optional<Error> error) {
        const std::lock_guard lock(mutex_);
        failure_ = std::move(error);
    }

    static control::DeviceInfo make_device(std::string name, std::uint16_t queues) {
        control::DeviceInfo device;
        device.name = std::move(name);
        device.type = "blk";
        device.vm = "web1";
        device.state = "running";
        device.socket = "/run/sidecore/" + device.name + ".sock";
        device.socket_mode = "listen";
        device.sessions = 1;
        device.disk = control::DiskInfo{.serial = device.name,
                                        .capacity_bytes = 10ULL << 30U,
                                        .storage_kind = "file",
                                        .storage_description = "/srv/" + device.name + ".img, io_uring, direct"};
        device.features = 0x130000000;
        device.settings = make_settings();
        for (std::uint16_t index = 0; index < queues; ++index) {
            control::QueueInfo queue;
            queue.index = index;
            queue.size = 256;
            queue.worker = "io0";
            queue.attached = true;
            queue.mode = index == 0 ? "polled" : "notified";
            queue.mode_age_ns = 3'200'000'000;
            queue.listed = index == 0;
            queue.armed = index != 0;
            queue.settings = make_settings();
            queue.counters = {{"poll_kicks", 900},
                              {"poll_bytes", 4'096'000},
                              {"poll_requests", 1000},
                              {"notif_works", 10},
                              {"notif_requests", 10},
                              {"notif_bytes", 40'960},
                              {"kicks", 10},
                              {"completions", 1010 + index},
                              {"calls", 40},
                              {"cpu_serving_ns", 30'000'000},
                              {"cpu_polling_ns", 20'000'000},
                              {"cpu_waking_ns", 10'000'000}};
            queue.wait_times = {{{1'000, 90}, {2'000, 10}}};
            queue.service_times = {{{10'000, 99}, {50'000, 1}}};
            device.cpu.add(control::cpu_of(queue.counters));
            device.queues.push_back(std::move(queue));
        }
        return device;
    }

    static control::ScsiDiskInfo make_scsi_disk() {
        return {.serial = "S/N 1",
                .identity = "naa.3000000000000001",
                .capacity_bytes = 10ULL << 30U,
                .storage_kind = "file",
                .storage_description = "/srv/d.img, io_uring"};
    }
    static control::UnitInfo make_unit(control::UnitAddress address) { return {address, "", make_scsi_disk()}; }
    static control::SharedDiskInfo make_disk(std::string name) {
        return {std::move(name), {"vm1 0:1", "vm2 0:1"}, make_scsi_disk()};
    }
    static control::DeviceInfo make_scsi_device(std::string name) {
        control::DeviceInfo device = make_device(std::move(name), 3);
        device.type = "scsi";
        device.disk.reset();
        device.scsi = control::ScsiInfo{{make_unit({0, 1})}};
        return device;
    }

    static control::Settings make_settings() {
        return daemon::built_in_queue_settings()
            .overridden_by({{control::Setting::kind, "rate"}}, control::Level::daemon)
            .overridden_by({{control::Setting::poll_stop_idle, 500'000'000U}}, control::Level::device);
    }

    static control::CostsInfo make_costs() {
        return {{{"check", 1.5, 1.25, 1.75, "one load"}, {"kick", 600, 550, 700, "an eventfd write"}},
                {{"latency", 32'440}, {"balanced", 5'440}, {"cpu", 2'440}}};
    }

    control::DaemonInfo daemon() override {
        note("daemon");
        return {"0.1.0", 4711, 3'725'000'000'000, make_settings().with(daemon::built_in_worker_settings()),
                make_costs()};
    }
    std::vector<control::DeviceInfo> devices() override {
        note("devices");
        return copy();
    }
    Result<control::DeviceInfo> device(std::string_view name) override {
        note(fmt::format("device {}", name));
        return find(name);
    }
    std::vector<control::WorkerInfo> workers() override {
        note("workers");
        return {make_worker()};
    }
    Result<control::Statistics> statistics(std::optional<std::string_view> name) override {
        note(fmt::format("statistics {}", name.value_or("*")));
        std::vector<control::DeviceInfo> devices = copy();
        if (name) {
            SIDECORE_TRY_ASSIGN(control::DeviceInfo found, find(*name));
            devices = {std::move(found)};
        }
        // Each call is one second and 100 requests per queue after the one before.
        ++moment_;
        for (control::DeviceInfo& device : devices) {
            for (auto& [counter, value] : device.queues.front().counters) {
                value += counter == "completions" ? 100 * moment_ : 0;
                value += counter == "poll_kicks" ? 50 * moment_ : 0;
            }
        }
        control::Statistics statistics{moment_ * 1'000'000'000, 2.5, {make_worker()}, std::move(devices), {}};
        statistics.vms = control::vms_of(statistics.devices);
        return statistics;
    }
    Result<control::Explanation> explain(const control::QueueTarget& target) override {
        note(fmt::format("explain {}/{}", target.device, target.queue ? std::to_string(*target.queue) : "*"));
        SIDECORE_TRY_ASSIGN(const control::DeviceInfo device, find(target.device));
        control::Explanation explanation{device.name, {}};
        for (const control::QueueInfo& queue : device.queues) {
            if (!target.queue || *target.queue == queue.index) {
                explanation.queues.emplace_back().index = queue.index;
                explanation.queues.back().text = {"It is as it is.", "It was as it was."};
            }
        }
        return explanation;
    }
    Result<std::unique_ptr<control::CaptureStream>> capture(std::string_view name,
                                                            const control::CaptureRequest& request) override {
        note(fmt::format("capture {} {}", name, control::to_query(request)));
        SIDECORE_TRY(outcome());
        SIDECORE_TRY(find(name));
        auto stream = daemon::PcapngStream::start(std::string(name), *captures_, request, capture_ring_bytes);
        if (!stream) {
            return tl::unexpected(std::move(stream).error());
        }
        return std::move(*stream);
    }
    /// Where the packets of all its devices pass. Any thread.
    capture::CapturePoint& captures() noexcept { return *captures_; }

    /// As if a packet of so many bytes, all `fill`, had passed. Any thread.
    void pass(std::size_t bytes, std::byte fill, capture::Direction direction = capture::Direction::in) {
        std::vector<std::byte> packet(bytes, fill);
        const iovec piece{packet.data(), packet.size()};
        const network::Packet packets[]{{{}, {&piece, 1}, static_cast<std::uint32_t>(bytes)}};
        captures_->take(direction, 0, realtime_ns(), packets);
    }
    static constexpr std::size_t capture_ring_bytes = std::size_t{64} << 10U;

    Result<control::DeviceInfo> add_device(const control::DeviceSpec& spec) override {
        note("add " + control::to_text(control::to_json(spec)));
        SIDECORE_TRY(outcome());
        if (find(spec.name)) {
            return failure(ErrorKind::already_exists, fmt::format("there is a device \"{}\" already", spec.name));
        }
        const std::lock_guard lock(mutex_);
        devices_.push_back(spec.is_scsi() ? make_scsi_device(spec.name) : make_device(spec.name, spec.queues));
        return devices_.back();
    }
    Result<void> remove_device(std::string_view name) override {
        note(fmt::format("remove {}", name));
        SIDECORE_TRY(outcome());
        SIDECORE_TRY(find(name));
        const std::lock_guard lock(mutex_);
        std::erase_if(devices_, [name](const control::DeviceInfo& device) { return device.name == name; });
        return {};
    }
    Result<control::DeviceInfo> resize_device(std::string_view name, const control::ResizeRequest& request) override {
        note(fmt::format("resize {} {}", name, request.size_bytes));
        SIDECORE_TRY(outcome());
        SIDECORE_TRY_ASSIGN(control::DeviceInfo device, find(name));
        device.disk->capacity_bytes = request.size_bytes;
        return device;
    }
    Result<std::vector<control::UnitInfo>> units(std::string_view device) override {
        note(fmt::format("units {}", device));
        SIDECORE_TRY(outcome());
        return std::vector{make_unit({0, 1})};
    }
    Result<control::UnitInfo> unit(std::string_view device, control::UnitAddress address) override {
        note(fmt::format("unit {} {}", device, control::to_string(address)));
        SIDECORE_TRY(outcome());
        return make_unit(address);
    }
    Result<control::UnitInfo> add_unit(std::string_view device, const control::UnitSpec& spec) override {
        note(fmt::format("add unit {} {}", device, control::to_text(control::to_json(spec))));
        SIDECORE_TRY(outcome());
        control::UnitInfo unit = make_unit({spec.target, spec.lun.value_or(0)});
        unit.shared_disk = spec.shared_disk;
        return unit;
    }
    Result<void> remove_unit(std::string_view device, control::UnitAddress address) override {
        note(fmt::format("remove unit {} {}", device, control::to_string(address)));
        return outcome();
    }
    Result<control::UnitInfo> resize_unit(std::string_view device, control::UnitAddress address,
                                          const control::ResizeRequest& request) override {
        note(fmt::format("resize unit {} {} {}", device, control::to_string(address), request.size_bytes));
        SIDECORE_TRY(outcome());
        control::UnitInfo unit = make_unit(address);
        unit.disk.capacity_bytes = request.size_bytes;
        return unit;
    }
    std::vector<control::SharedDiskInfo> disks() override {
        note("disks");
        return {make_disk("quorum")};
    }
    Result<control::SharedDiskInfo> disk(std::string_view name) override {
        note(fmt::format("disk {}", name));
        SIDECORE_TRY(outcome());
        return make_disk(std::string(name));
    }
    Result<control::SharedDiskInfo> add_disk(const control::SharedDiskSpec& spec) override {
        note("add disk " + control::to_text(control::to_json(spec)));
        SIDECORE_TRY(outcome());
        return make_disk(spec.name);
    }
    Result<void> remove_disk(std::string_view name) override {
        note(fmt::format("remove disk {}", name));
        return outcome();
    }
    Result<control::SharedDiskInfo> resize_disk(std::string_view name, const control::ResizeRequest& request) override {
        note(fmt::format("resize disk {} {}", name, request.size_bytes));
        SIDECORE_TRY(outcome());
        control::SharedDiskInfo disk = make_disk(std::string(name));
        disk.disk.capacity_bytes = request.size_bytes;
        return disk;
    }

    Result<void> announce_device(std::string_view name) override {
        note(fmt::format("announce {}", name));
        return outcome();
    }

    static control::SwitchInfo make_switch(std::string name) {
        control::SwitchInfo info;
        info.name = std::move(name);
        info.age_s = 300;
        info.stations = 3;
        info.stations_max = 4096;
        control::UplinkInfo uplink{"tap", "tap lan0, 1 queue", make_device("", 2).queues[1]};
        info.uplink = std::move(uplink);
        info.ports = {
            {"uplink", 0, false, {{"frames_in", 10}, {"bytes_in", 1024}, {"frames_out", 12}, {"bytes_out", 2048}}},
            {"vm1",
             10,
             true,
             {{"frames_in", 12},
              {"bytes_in", 2048},
              {"frames_out", 10},
              {"bytes_out", 1024},
              {"flooded", 1},
              {"dropped_isolated", 2},
              {"dropped_inbox_full", 3}}}};
        return info;
    }

    std::vector<control::SwitchInfo> switches() override {
        note("switches");
        return {make_switch("lan")};
    }
    Result<control::SwitchInfo> switch_info(std::string_view name) override {
        note(fmt::format("switch {}", name));
        SIDECORE_TRY(outcome());
        return make_switch(std::string(name));
    }
    Result<std::vector<control::StationInfo>> stations(std::string_view switch_name) override {
        note(fmt::format("stations {}", switch_name));
        SIDECORE_TRY(outcome());
        return std::vector<control::StationInfo>{{"52:54:00:00:00:01", 0, "vm1", 3}};
    }
    Result<control::SwitchInfo> add_switch(const control::SwitchSpec& spec) override {
        note("add switch " + control::to_text(control::to_json(spec)));
        SIDECORE_TRY(outcome());
        return make_switch(spec.name);
    }
    Result<void> remove_switch(std::string_view name) override {
        note(fmt::format("remove switch {}", name));
        return outcome();
    }
    Result<control::SwitchInfo> move_switch(std::string_view name, const control::MoveRequest& request) override {
        note(fmt::format("move switch {} {}", name, request.worker));
        SIDECORE_TRY(outcome());
        return make_switch(std::string(name));
    }
    Result<control::DeviceInfo> limit_device(std::string_view name, const control::NetLimitsChange& change) override {
        note(fmt::format("limit {} {}", name, control::to_text(control::to_json(change))));
        SIDECORE_TRY(outcome());
        return find(name);
    }
    Result<control::WorkerInfo> add_worker(const control::WorkerSpec& spec) override {
        note(fmt::format("add worker {} on {} with {} settings", spec.name, spec.cpu ? std::to_string(*spec.cpu) : "*",
                         spec.settings.size()));
        SIDECORE_TRY(outcome());
        control::WorkerInfo worker = make_worker();
        worker.name = spec.name;
        worker.settings = worker.settings.overridden_by(spec.settings, control::Level::worker);
        return worker;
    }
    Result<void> remove_worker(std::string_view name) override {
        note(fmt::format("remove worker {}", name));
        return outcome();
    }
    Result<control::WorkerInfo> pin_worker(std::string_view name, const control::PinRequest& request) override {
        note(fmt::format("pin {} {}", name, request.cpu ? std::to_string(*request.cpu) : "none"));
        SIDECORE_TRY(outcome());
        control::WorkerInfo worker = make_worker();
        worker.cpu = request.cpu;
        return worker;
    }
    Result<control::DeviceInfo> move(const control::QueueTarget& target, const control::MoveRequest& request) override {
        note(fmt::format("move {}/{} {}", target.device, target.queue ? std::to_string(*target.queue) : "*",
                         request.worker));
        SIDECORE_TRY(outcome());
        return find(target.device);
    }
    Result<control::Settings> change_settings(const control::SettingsTarget& target,
                                              const control::SettingsChange& change) override {
        const std::string whose = target.worker ? *target.worker
                                                : fmt::format("{}/{}", target.device.value_or("*"),
                                                              target.queue ? std::to_string(*target.queue) : "*");
        note(fmt::format("set {} {}", whose, control::to_text(control::to_json(change))));
        SIDECORE_TRY(outcome());
        if (target.device) {
            SIDECORE_TRY(find(*target.device));
        }
        const control::Settings of_workers = daemon::built_in_worker_settings();
        const control::Settings before = target.worker   ? of_workers
                                         : target.device ? make_settings()
                                                         : make_settings().with(of_workers);
        return before.overridden_by(change.set, target.level());
    }

private:
    static control::WorkerInfo make_worker() {
        control::WorkerInfo worker;
        worker.name = "io0";
        worker.cpu = 3;
        worker.thread_id = 4712;
        worker.cpu_time_ns = 1'500'000'000;
        worker.queues = 2;
        worker.polled_queues = 1;
        worker.devices = {"disk0"};
        worker.switches = {"lan"};
        worker.settings = daemon::built_in_worker_settings();
        worker.counters = {{"loops", 1000}, {"switches", 10}, {"cycles", 500}, {"cpu_other_ns", 5'000'000}};
        return worker;
    }
    std::vector<control::DeviceInfo> copy() const {
        const std::lock_guard lock(mutex_);
        return devices_;
    }
    void note(std::string line) {
        const std::lock_guard lock(mutex_);
        log_.push_back(std::move(line));
    }
    Result<void> outcome() {
        const std::lock_guard lock(mutex_);
        if (failure_) {
            return tl::unexpected(*failure_);
        }
        return {};
    }
    Result<control::DeviceInfo> find(std::string_view name) const {
        const std::lock_guard lock(mutex_);
        for (const control::DeviceInfo& device : devices_) {
            if (device.name == name) {
                return device;
            }
        }
        return failure(ErrorKind::not_found, fmt::format("there is no device \"{}\"", name));
    }

    mutable std::mutex mutex_;
    std::vector<std::string> log_;
    std::optional<Error> failure_;
    std::vector<control::DeviceInfo> devices_;
    std::uint64_t moment_ = 0;
    const std::shared_ptr<capture::CapturePoint> captures_ = capture::CapturePoint::create();
};

}  // namespace sidecore::test
