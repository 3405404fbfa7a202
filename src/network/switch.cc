// SPDX-License-Identifier: Apache-2.0
#include "network/switch.hh"

#include <algorithm>
#include <ctime>
#include <tuple>

#include "base/format.hh"
#include "network/switch_backend.hh"

namespace sidecore::network {

namespace {

constexpr std::uint16_t vlan_max = 4094;

/// A look at a page that the kernel updates every few milliseconds.
std::uint32_t coarse_now_s() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint32_t>(now.tv_sec);
}

Result<void> check_vlan(std::uint16_t vlan) {
    if (vlan > vlan_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a VLAN is 1 to {}, or 0 for a trunk, not {}", vlan_max, vlan));
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Switch>> Switch::create(SwitchOptions options) {
    SIDECORE_TRY_ASSIGN(auto table, MacTable::create(options.table));
    SwitchCore::Clock clock = options.now_s ? std::move(options.now_s) : SwitchCore::Clock(coarse_now_s);
    return std::unique_ptr<Switch>(new Switch(std::make_shared<SwitchCore>(std::move(table), std::move(clock))));
}

Result<std::unique_ptr<NetworkBackend>> Switch::add_port(PortOptions options) {
    SIDECORE_TRY(check_vlan(options.vlan));
    const std::string name = options.name;
    SIDECORE_TRY_ASSIGN(
        auto port, core_->add(name, [&](PortNumber number) { return GuestPort::create(number, std::move(options)); }));
    return std::make_unique<SwitchBackend>(core_, std::move(port));
}

Result<void> Switch::add_uplink(std::unique_ptr<NetworkBackend> backend, PortOptions options) {
    SIDECORE_TRY(check_vlan(options.vlan));
    const std::lock_guard lock(uplink_mutex_);
    if (uplink() != nullptr) {
        return failure(ErrorKind::already_exists, "the switch has an uplink already");
    }
    const std::string name = options.name;
    SIDECORE_TRY(core_->add(
        name, [&](PortNumber number) { return UplinkPort::create(number, std::move(options), std::move(backend)); }));
    return {};
}

Result<std::unique_ptr<UplinkPump>> Switch::open_uplink_pump() {
    std::shared_ptr<UplinkPort> port = uplink();
    if (port == nullptr) {
        return failure(ErrorKind::not_found, "the switch has no uplink");
    }
    return UplinkPump::create(core_, std::move(port));
}

std::shared_ptr<UplinkPort> Switch::uplink() const {
    const std::shared_ptr<const PortSet> ports = core_->ports();
    for (const std::shared_ptr<SwitchPort>& port : *ports) {
        if (auto found = std::dynamic_pointer_cast<UplinkPort>(port)) {
            return found;
        }
    }
    return nullptr;
}

std::vector<Switch::Port> Switch::ports() const {
    std::vector<Port> out;
    const std::shared_ptr<const PortSet> ports = core_->ports();
    for (const std::shared_ptr<SwitchPort>& port : *ports) {
        if (port == nullptr) {
            continue;
        }
        const PortOptions& options = port->options();
        const auto* const uplink_port = dynamic_cast<const UplinkPort*>(port.get());
        const std::string uplink = uplink_port == nullptr ? "" : uplink_port->backend().description();
        out.push_back({options.name, uplink, options.vlan, options.isolated, port->counters().read()});
    }
    return out;
}

std::vector<Switch::Row> Switch::table() const {
    const std::shared_ptr<const PortSet> ports = core_->ports();
    std::vector<Row> rows;
    for (const MacTable::Row& row : core_->table().list(core_->now_s())) {
        if (row.port < ports->size() && (*ports)[row.port] != nullptr) {
            rows.push_back({row.station.mac(), row.station.vlan(), (*ports)[row.port]->options().name, row.age_s});
        }
    }
    std::sort(rows.begin(), rows.end(), [](const Row& left, const Row& right) {
        return std::tie(left.vlan, left.mac) < std::tie(right.vlan, right.mac);
    });
    return rows;
}

}  // namespace sidecore::network
