// SPDX-License-Identifier: Apache-2.0
#include "device/scsi_events.hh"

namespace sidecore::device {

void ScsiEvents::add(const scsi_host::Event& event) {
    {
        const std::lock_guard lock(mutex_);
        if (events_.size() == count_max) {
            missed_ = true;
        } else {
            events_.push_back(event);
        }
        any_.store(true, std::memory_order_release);
    }
    signal_eventfd(bell_.get());
}

std::optional<scsi_host::Event> ScsiEvents::take() {
    const std::lock_guard lock(mutex_);
    if (events_.empty()) {
        return std::nullopt;
    }
    scsi_host::Event event = events_.front();
    events_.pop_front();
    // The driver has to look for itself anyway, so that it may as well do so now.
    if (std::exchange(missed_, false)) {
        event.event = event.event | scsi_host::events_missed;
    }
    any_.store(!events_.empty(), std::memory_order_release);
    return event;
}

void ScsiEvents::clear() {
    const std::lock_guard lock(mutex_);
    events_.clear();
    missed_ = false;
    any_.store(false, std::memory_order_release);
}

}  // namespace sidecore::device
