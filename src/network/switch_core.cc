// SPDX-License-Identifier: Apache-2.0
#include "network/switch_core.hh"

#include <algorithm>

#include "base/format.hh"

namespace sidecore::network {

std::shared_ptr<const PortSet> SwitchCore::ports() const {
    const std::lock_guard lock(mutex_);
    return ports_;
}

Result<PortNumber> SwitchCore::free_number(std::string_view name) const {
    if (name.empty()) {
        return failure(ErrorKind::invalid_argument, "a port of a switch needs a name");
    }
    const std::shared_ptr<const PortSet> now = ports();
    for (const auto& port : *now) {
        if (port != nullptr && port->options().name == name) {
            return failure(ErrorKind::already_exists, fmt::format("the switch has a port \"{}\" already", name));
        }
    }
    const auto gap = std::find(now->begin(), now->end(), nullptr);
    if (gap == now->end() && now->size() == ports_max) {
        return failure(ErrorKind::out_of_range, fmt::format("a switch has at most {} ports", ports_max));
    }
    return static_cast<PortNumber>(gap - now->begin());
}

void SwitchCore::remove(const SwitchPort& port) {
    const std::lock_guard lock(control_);
    replace(port.number(), nullptr);
    table_->forget(port.number());
}

void SwitchCore::replace(PortNumber number, std::shared_ptr<SwitchPort> port) {
    auto next = std::make_shared<PortSet>(*ports());
    if (number == next->size()) {
        next->emplace_back();
    }
    (*next)[number] = std::move(port);
    {
        const std::lock_guard lock(mutex_);
        ports_ = std::move(next);
    }
    generation_.fetch_add(1, std::memory_order_release);
}

}  // namespace sidecore::network
