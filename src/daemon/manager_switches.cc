// SPDX-License-Identifier: Apache-2.0
// The switches between network devices.
#include <algorithm>
#include <utility>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "daemon/manager.hh"

namespace sidecore::daemon {

Result<ServedSwitch*> Manager::find_switch(std::string_view name) {
    const auto found = std::ranges::find_if(switches_, [name](const auto& served) { return served->name() == name; });
    if (found == switches_.end()) {
        return failure(ErrorKind::not_found, fmt::format("there is no switch \"{}\"", name));
    }
    return found->get();
}

std::vector<control::SwitchInfo> Manager::switches() {
    const std::lock_guard lock(mutex_);
    settle_accounts();
    std::vector<control::SwitchInfo> result;
    for (const auto& served : switches_) {
        result.push_back(served->info());
    }
    return result;
}

Result<control::SwitchInfo> Manager::switch_info(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedSwitch* served, find_switch(name));
    settle_accounts();
    return served->info();
}

Result<std::vector<control::StationInfo>> Manager::stations(std::string_view switch_name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedSwitch* served, find_switch(switch_name));
    return served->stations();
}

Result<control::SwitchInfo> Manager::add_switch(const control::SwitchSpec& spec) {
    const std::lock_guard lock(mutex_);
    if (find_switch(spec.name)) {
        return failure(ErrorKind::already_exists, fmt::format("there is a switch \"{}\" already", spec.name));
    }
    engine::Worker* worker = &least_loaded_worker();
    if (spec.worker) {
        SIDECORE_TRY_ASSIGN(const ServedWorker* named, find_worker(*spec.worker));
        worker = named->engine.get();
    }
    SIDECORE_TRY_ASSIGN(auto served, ServedSwitch::create(spec, *worker, queue_settings()));
    control::SwitchInfo info = served->info();
    spdlog::info("switch {}: added, {}", spec.name,
                 info.uplink ? "uplink: " + info.uplink->network_description : "without an uplink");
    switches_.push_back(std::move(served));
    return info;
}

Result<void> Manager::remove_switch(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedSwitch* removed, find_switch(name));
    if (const std::vector<std::string> guests = removed->guests(); !guests.empty()) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("the switch \"{}\" has ports: remove {} first", name, fmt::join(guests, ", ")));
    }
    std::erase_if(switches_, [removed](const auto& served) { return served.get() == removed; });
    spdlog::info("switch {}: removed", name);
    return {};
}

Result<control::SwitchInfo> Manager::move_switch(std::string_view name, const control::MoveRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedSwitch * served, find_switch(name));
    SIDECORE_TRY_ASSIGN(const ServedWorker* to, find_worker(request.worker));
    if (served->worker() == nullptr) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("the switch \"{}\" has no uplink that a worker would serve", name));
    }
    SIDECORE_TRY(served->move(*to->engine));
    served->keep();
    return served->info();
}

}  // namespace sidecore::daemon
