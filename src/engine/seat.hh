// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/notifier.hh"
#include "engine/worker.hh"

namespace sidecore::engine {

/// A queue's place on its worker. Touched by the worker's thread only; what others may see is in
/// `statistics`.
struct Worker::Seat {
    // What an epoll event is about: a seat's address, with the lowest bit set for its completion descriptor,
    // or this.
    static constexpr std::uint64_t mailbox_event = 0;
    static constexpr std::uint64_t completion_bit = 1;

    Seat(ServedQueue& served, QueueStatistics& counters) noexcept : queue(&served), statistics(&counters) {}

    ServedQueue* const queue;
    QueueStatistics* const statistics;
    std::unique_ptr<Policy> policy;
    QueueSettings settings;

    Mode mode = Mode::notified;
    std::uint64_t poll_until_ns = 0;  // while polled: when to ask the policy again
    bool listed = false;              // gets a look in every pass
    bool in_pass = false;             // is in pass_, which it leaves at the end of a pass
    bool armed = false;               // told to kick, and found empty after that
    bool held = false;                // cannot take more; in-flight I/O owes a resume
    bool broken = false;              // gets no more turns
    bool reaping = false;             // is in reaping_
    bool kicked = false;              // listed because of a kick

    NotifierKind kick_kind = NotifierKind::eventfd;
    int watched_kick = -1;
    int watched_completion = -1;

    std::uint64_t kick_seen = 0;      // cycles
    std::uint64_t last_turn_end = 0;  // cycles
    std::function<void()> drained;    // set while draining

    bool draining() const noexcept { return static_cast<bool>(drained); }
    bool may_be_served() const noexcept { return !held && !broken && !draining(); }
};

}  // namespace sidecore::engine
