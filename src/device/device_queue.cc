// SPDX-License-Identifier: Apache-2.0
#include "device/device_queue.hh"

#include <utility>

#include "base/clock.hh"
#include "base/log.hh"

namespace sidecore::device {

DeviceQueue::DeviceQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers) noexcept
    : ring_(std::move(ring)),
      notifiers_(std::move(notifiers)),
      call_kind_(notifier_kind(notifiers_.call.get())),
      name_(std::move(name)) {}

void DeviceQueue::replace_call(Fd call) noexcept {
    notifiers_.call = std::move(call);
    call_kind_ = notifier_kind(notifiers_.call.get());
    if (notifiers_.call) {
        signal_notifier(notifiers_.call.get(), call_kind_);
    }
}

void DeviceQueue::replace_error(Fd error) noexcept {
    notifiers_.error = std::move(error);
    if (broken()) {
        signal_error();
    }
}

std::uint32_t DeviceQueue::publish() noexcept {
    ring_.show();
    return moderated_ ? 0 : call();
}

std::uint32_t DeviceQueue::call() noexcept {
    if (!ring_.wants_call() || !notifiers_.call) {
        return 0;
    }
    signal_notifier(notifiers_.call.get(), call_kind_);
    return 1;
}

void DeviceQueue::end_turn(engine::Turn& turn, std::uint32_t budget) noexcept {
    turn.calls += publish();
    ring_.check_memory();
    if (ring_.broken()) {
        report_broken();
        turn.end = engine::TurnEnd::broken;
    } else if (turn.requests == budget) {
        turn.end = engine::TurnEnd::budget;
    }
}

void DeviceQueue::record_completions() noexcept {
    if (unrecorded_ != 0 && service_times_ != nullptr) {
        service_times_->record(cycles() - unrecorded_taken_at_, unrecorded_);
    }
    unrecorded_ = 0;
}

void DeviceQueue::report_broken() noexcept {
    if (reported_.exchange(true)) {
        return;
    }
    spdlog::error("{}: broken until the driver resets the device: {}", name_, ring_.fault().describe(ring_.size()));
    signal_error();
    if (notifiers_.on_broken) {
        notifiers_.on_broken();
    }
}

void DeviceQueue::signal_error() noexcept {
    if (notifiers_.error) {
        signal_notifier(notifiers_.error.get(), notifier_kind(notifiers_.error.get()));
    }
}

}  // namespace sidecore::device
