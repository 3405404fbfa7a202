// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/notifier.hh"
#include "engine/worker.hh"

namespace sidecore::engine {

/// A queue's place on its worker. Touched by the thread of the worker that has it only; what others may see is in
/// `statistics`. It moves along with its queue.
struct Worker::Seat {
    // What an epoll event is about: a seat's address, with the lowest bit set for its completion descriptor, or this.
    static constexpr std::uint64_t mailbox_event = 0;
    static constexpr std::uint64_t completion_bit = 1;

    Seat(ServedQueue& served, const Attachment& attachment)
        : queue(&served), statistics(attachment.statistics), budget(attachment.budget), settings(attachment.settings) {}

    ServedQueue* const queue;
    QueueStatistics* const statistics;
    const std::shared_ptr<SharedPollBudget> budget;
    std::unique_ptr<Policy> policy;
    QueueSettings settings;
    Persistence persistence = Persistence::until_idle;  // the policy's

    Mode mode = Mode::notified;
    Mode wanted = Mode::notified;  // what the policy has decided; `mode` may differ for the reason in `bar`
    PollBar bar = PollBar::none;
    std::uint64_t poll_until_ns = 0;  // while polled: when to ask the policy again
    bool listed = false;              // gets a look in every pass
    bool in_pass = false;             // is in pass_, which it leaves at the end of a pass
    bool armed = false;               // told to kick, and found empty after that
    bool held = false;                // cannot take more; in-flight I/O owes a resume
    bool broken = false;              // gets no more turns
    bool reaping = false;             // is in reaping_
    bool kicked = false;              // listed because of a kick
    bool left_over = false;           // its last turn ended with work left
    bool yielded = false;             // is in yielded_
    bool owing = false;               // is in owing_
    bool touched = false;             // is in touched_
    bool unwatchable = false;         // the kernel would not watch its descriptors: only polling is left

    NotifierKind kick_kind = NotifierKind::eventfd;
    int watched_kick = -1;
    int watched_second_kick = -1;
    int watched_timer = -1;
    int watched_completion = -1;

    std::uint32_t idle_sleeps = 0;  // of the worker since the queue had work, up to relist_patience

    // Times in cycles
    std::uint64_t kick_arrival = 0;
    std::uint64_t last_turn_end = 0;
    std::uint64_t turn_min = 0;       // settings.schedule, converted
    std::uint64_t turn_max = 0;       // of its weight
    double request_cycles = 0;        // of one request's share of a turn, lately; 0: not known
    std::uint64_t virtual_time = 0;   // cycles of weight 100 that it has had
    std::uint32_t pending_seen = 0;   // for the stuck rule: so many, unchanged
    std::uint64_t pending_since = 0;  // since then
    CallModeration moderation;

    // Since the last settlement
    std::uint64_t serving_cycles = 0;
    std::uint64_t polling_cycles = 0;
    std::uint64_t wakes = 0;
    std::uint64_t unbudgeted_cycles = 0;  // spent on empty looks, not reported to `budget` yet

    std::function<void()> drained;  // set while draining

    bool draining() const noexcept { return static_cast<bool>(drained); }
    bool may_be_served() const noexcept { return !held && !broken && !draining(); }
    bool latency_class() const noexcept { return settings.schedule.latency_class; }
};

}  // namespace sidecore::engine
