// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.hh"
#include "base/fd.hh"
#include "base/notifier.hh"
#include "engine/served_queue.hh"
#include "memory/memory_map.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::device {

/// The eventfds between a virtqueue and its driver. None (-1) of them is allowed to be there.
struct Notifiers {
    Fd kick;   ///< driver → device
    Fd call;   ///< device → driver
    Fd error;  ///< device → front-end: the queue is broken

    /// Likewise for ourselves: called once, on the owner's thread, which it must not hold up.
    std::function<void()> on_broken{};
};

/// What the queues of all device types have in common: the ring, and how it meets the engine. A device type
/// adds what its requests mean: serve(), reap(), in_flight(), completion_fd().
///
/// Thread: that of engine::ServedQueue; before attach and after detach, the control thread that has it.
class DeviceQueue : public engine::ServedQueue {
public:
    /// `name` is for the log: "disk0 queue 1".
    DeviceQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers) noexcept;

    // A queue whose work is what the driver makes available. One that waits for somebody else as well says so itself.
    bool has_work() noexcept override { return ring_.has_available(); }
    std::uint32_t pending() const noexcept override { return ring_.pending(); }
    std::uint32_t capacity() const noexcept override { return ring_.size(); }
    bool arm() noexcept override { return ring_.arm(); }
    void disarm() noexcept override { ring_.disarm(); }

    void moderate(bool on) noexcept final { moderated_ = on; }
    std::uint32_t owed() const noexcept final { return ring_.undecided(); }
    std::uint32_t call() noexcept final;
    int kick_fd() const noexcept final { return notifiers_.kick.get(); }

    /// Other eventfds, on the owner's thread. A new call descriptor is signalled once, for what was used
    /// before it came.
    void replace_kick(Fd kick) noexcept { notifiers_.kick = std::move(kick); }
    void replace_call(Fd call) noexcept;
    void replace_error(Fd error) noexcept;

    /// The guest's memory has changed. On the owner's thread, with nothing in flight.
    Result<void> rebind(std::shared_ptr<const memory::MemoryMap> map) { return ring_.rebind(std::move(map)); }

    /// What GET_VRING_BASE answers once nothing is in flight.
    std::uint16_t next_available() const noexcept { return ring_.next_available(); }

    /// Whether the driver has to reset the device before this queue works again. Any thread; true before the front-end
    /// is told of it.
    bool broken() const noexcept { return reported_.load(std::memory_order_acquire); }

    std::uint32_t ring_size() const noexcept { return ring_.size(); }
    const std::string& name() const noexcept { return name_; }

protected:
    /// `count` requests that were taken at this time, in cycles, are served together. Returns after how many of them to show the driver those that are
    /// done: half, if all of the batch before were done when they had been submitted. While the others are served it sees to the first ones and makes
    /// new requests; else the two would wait for each other in turn, and a notified queue for a kick.
    std::uint32_t begin_batch(std::uint64_t taken_at, std::uint32_t count) noexcept {
        batch_taken_at_ = taken_at;
        batch_completed_ = 0;
        return at_once_ ? std::max((count + 1) / 2, std::min(count, 4U)) : count;
    }
    void end_batch(std::uint32_t count) noexcept { at_once_ = batch_completed_ == count; }

    /// Shows the driver what was pushed, and calls it if it wants that, unless calls are moderated. Returns the number of
    /// calls made: 0 or 1.
    std::uint32_t publish() noexcept;

    /// The end of a turn in which `turn.requests` of `budget` were taken and all there was to complete was pushed.
    void end_turn(engine::Turn& turn, std::uint32_t budget) noexcept;

    /// Tells the log and the front-end that the ring is broken, once.
    void report_broken() noexcept;

    /// A request that was taken at this time, in cycles, is completed. Requests that were taken together mostly end together: so the clock is read
    /// and their service times are recorded once for all of them, at the latest when record_completions() is called.
    void count_completion(std::uint64_t taken_at) noexcept {
        batch_completed_ += taken_at == batch_taken_at_ ? 1 : 0;
        if (taken_at != unrecorded_taken_at_) {
            record_completions();
            unrecorded_taken_at_ = taken_at;
        }
        ++unrecorded_;
    }
    void record_completions() noexcept;

    virtqueue::SplitQueue ring_;

private:
    void signal_error() noexcept;

    Notifiers notifiers_;
    NotifierKind call_kind_ = NotifierKind::eventfd;
    bool moderated_ = false;
    std::uint64_t batch_taken_at_ = 0;
    std::uint32_t batch_completed_ = 0;
    bool at_once_ = false;
    std::uint32_t unrecorded_ = 0;
    std::uint64_t unrecorded_taken_at_ = 0;
    std::string name_;
    std::atomic<bool> reported_{false};
};

}  // namespace sidecore::device
