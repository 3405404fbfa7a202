// SPDX-License-Identifier: Apache-2.0
#include "daemon/served_switch.hh"

#include <utility>

#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "daemon/device_maker.hh"
#include "daemon/engine_settings.hh"
#include "daemon/queue_info.hh"

namespace sidecore::daemon {

namespace {

constexpr std::string_view uplink_name = "uplink";

network::MacTableOptions to_table(const control::SwitchSpec& spec) {
    network::MacTableOptions table;
    table.entries = spec.stations;
    table.age_s = spec.age_s;
    return table;
}

control::PortInfo to_info(const network::Switch::Port& port) {
    const network::PortTraffic& traffic = port.traffic;
    control::PortInfo info{port.name, port.vlan, port.isolated, {}};
    info.counters = {{"frames_in", traffic.frames_in},   {"bytes_in", traffic.bytes_in},
                     {"frames_out", traffic.frames_out}, {"bytes_out", traffic.bytes_out},
                     {"flooded", traffic.flooded},       {"not_learned", traffic.not_learned},
                     {"direct", traffic.direct}};
    for (std::size_t i = 0; i < traffic.drops.size(); ++i) {
        info.counters.emplace_back(fmt::format("dropped_{}", to_string(static_cast<network::PortDrop>(i))),
                                   traffic.drops[i]);
    }
    return info;
}

}  // namespace

ServedSwitch::ServedSwitch(control::SwitchSpec spec, std::unique_ptr<network::Switch> made, control::Settings above)
    : spec_(std::move(spec)),
      id_(next_served_id()),
      switch_(std::move(made)),
      above_(std::move(above)),
      movable_(!spec_.worker) {}

Result<std::unique_ptr<ServedSwitch>> ServedSwitch::create(const control::SwitchSpec& spec, engine::Worker& worker,
                                                           const control::Settings& above) {
    const auto within = [&spec](Error error) { return tl::unexpected(std::move(error).within(spec.name)); };
    auto made = network::Switch::create({to_table(spec), {}});
    if (!made) {
        return within(std::move(made).error());
    }
    std::unique_ptr<ServedSwitch> served(new ServedSwitch(spec, std::move(*made), above));
    if (spec.uplink) {
        if (auto attached = served->attach(worker); !attached) {
            return within(std::move(attached).error());
        }
    }
    return served;
}

Result<void> ServedSwitch::attach(engine::Worker& worker) {
    SIDECORE_TRY_ASSIGN(auto uplink, open_network(*spec_.uplink, 1, spec_.mtu));
    network::PortOptions port;
    port.name = uplink_name;
    port.vlan = spec_.uplink->vlan;
    port.isolated = spec_.uplink->isolated;
    SIDECORE_TRY(switch_->add_uplink(std::move(uplink), std::move(port)));
    SIDECORE_TRY_ASSIGN(auto pump, switch_->open_uplink_pump());
    queue_ = std::make_unique<UplinkQueue>(std::move(pump));
    if (queue_->second_kick_fd() >= 0) {  // else nothing ever comes
        SIDECORE_TRY(worker.attach(*queue_, {to_queue_settings(above_), &statistics_, {}}));
        worker_ = &worker;
    }
    return {};
}

ServedSwitch::~ServedSwitch() {
    if (worker_ != nullptr) {
        worker_->detach(*queue_);
    }
}

control::SwitchInfo ServedSwitch::info() const {
    control::SwitchInfo info;
    info.name = spec_.name;
    info.age_s = spec_.age_s;
    info.stations = static_cast<std::uint32_t>(switch_->table().size());
    info.stations_max = switch_->stations_max();
    for (const network::Switch::Port& port : switch_->ports()) {
        info.ports.push_back(to_info(port));
        if (port.uplink.empty()) {
            continue;
        }
        info.ports.back().counters.emplace_back("lost_before", queue_->dropped());
        control::UplinkInfo uplink;
        uplink.network_kind = control::to_string(spec_.uplink->kind);
        uplink.network_description = port.uplink;
        uplink.queue = to_queue_info(statistics_.read(), monotonic_ns());
        uplink.queue.worker = worker_ == nullptr ? "" : worker_->name();
        uplink.queue.settings = above_;
        info.uplink = std::move(uplink);
    }
    return info;
}

std::vector<control::StationInfo> ServedSwitch::stations() const {
    std::vector<control::StationInfo> stations;
    for (const network::Switch::Row& row : switch_->table()) {
        stations.push_back({control::format_mac(row.mac), row.vlan, row.port, row.age_s});
    }
    return stations;
}

std::vector<std::string> ServedSwitch::guests() const {
    std::vector<std::string> names;
    for (const network::Switch::Port& port : switch_->ports()) {
        if (port.uplink.empty()) {
            names.push_back(port.name);
        }
    }
    return names;
}

void ServedSwitch::set_settings_above(const control::Settings& above) {
    above_ = above;
    if (worker_ != nullptr) {
        worker_->set_queue(*queue_, to_queue_settings(above_));
    }
}

Result<void> ServedSwitch::move(engine::Worker& to) {
    if (worker_ == nullptr || worker_ == &to) {
        return {};
    }
    SIDECORE_TRY(worker_->move(*queue_, to));
    spdlog::info("{}: uplink moved from {} to {}", spec_.name, worker_->name(), to.name());
    worker_ = &to;
    return {};
}

QueueWork ServedSwitch::work_since_last() {
    return work_since(counted_, statistics_.read());
}

}  // namespace sidecore::daemon
