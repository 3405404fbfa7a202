// SPDX-License-Identifier: Apache-2.0
#include "device/device_queue.hh"

#include "base/log.hh"

namespace sidecore::device {

void DeviceQueue::replace_call(Fd call) noexcept {
    notifiers_.call = std::move(call);
    if (notifiers_.call) {
        signal_eventfd(notifiers_.call.get());
    }
}

std::uint32_t DeviceQueue::publish() noexcept {
    if (!ring_.publish() || !notifiers_.call) {
        return 0;
    }
    signal_eventfd(notifiers_.call.get());
    return 1;
}

void DeviceQueue::report_broken() noexcept {
    if (reported_) {
        return;
    }
    reported_ = true;
    spdlog::error("{}: broken until the driver resets the device: {}", name_, ring_.fault().describe(ring_.size()));
    if (notifiers_.error) {
        signal_eventfd(notifiers_.error.get());
    }
}

}  // namespace sidecore::device
