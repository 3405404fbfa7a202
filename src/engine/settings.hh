// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/policy.hh"

namespace sidecore::engine {

/// A queue's share of its worker's time.
struct ScheduleSettings {
    /// Relative to the other queues of the worker that have work: one of 200 gets twice the time of one of 100. 1 to 1000.
    std::uint32_t weight = 100;

    /// Served before all others and between their turns.
    bool latency_class = false;

    /// A turn goes on for at least this long while there is work, whoever waits; 0: may be left after a batch.
    std::uint64_t turn_min_ns = 0;

    /// A turn of a queue of weight 100 ends after about this long if others wait; other weights in proportion.
    std::uint64_t turn_max_ns = 50'000;

    /// Requests in one turn, at least 1, whatever they cost.
    std::uint32_t turn_requests = 64;

    friend bool operator==(const ScheduleSettings&, const ScheduleSettings&) = default;
};

/// How long a notification of the guest (a call) may be put off, so that one stands for more requests.
struct CallSettings {
    std::uint32_t max_requests = 1;  ///< 1: each batch is told at once
    std::uint64_t max_delay_ns = 0;  ///< 0: likewise

    bool moderated() const noexcept { return max_requests > 1 && max_delay_ns != 0; }
    friend bool operator==(const CallSettings&, const CallSettings&) = default;
};

/// How a worker treats one queue. Settable while it runs.
struct QueueSettings {
    PolicySettings policy{};
    ScheduleSettings schedule{};
    CallSettings calls{};

    friend bool operator==(const QueueSettings&, const QueueSettings&) = default;
};

/// What holds for all queues of a worker. Settable while it runs.
struct WorkerSettings {
    /// How much of the worker's time may be spent on looks that find nothing; 100: no limit.
    std::uint32_t poll_budget_percent = 100;

    /// Decides as under Prefer::cpu while other threads want the worker's CPU, unless a queue is to be polled always.
    bool good_neighbour = true;

    /// A queue's turn ends early when another queue's work has waited for longer than this; 0: never.
    std::uint64_t wait_max_ns = 100'000;

    /// A turn ends early when another polled queue has had pending work that has not moved for this long; 0: never.
    std::uint64_t stuck_after_ns = 0;

    /// That rule is not for queues with more pending requests than this, which are merely bursty; 0: it is for all.
    std::uint32_t stuck_pending = 0;

    friend bool operator==(const WorkerSettings&, const WorkerSettings&) = default;
};

}  // namespace sidecore::engine
