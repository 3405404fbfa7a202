// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/latency_histogram.hh"
#include "engine/policy.hh"

namespace sidecore::engine {

/// A counter that one thread advances and any thread reads, without a lock or a locked instruction.
class Counter {
public:
    void add(std::uint64_t amount) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// Everything that is counted per queue, listed once: X(name). Names follow the ELVIS code where it has the
/// figure; "poll" is what happened in polled mode, "notif" in notified mode. Cycles are those of
/// sidecore::cycles().
#define SIDECORE_QUEUE_COUNTERS(X)                                                                  \
    X(poll_kicks)        /* turns that a poll started, where a kick would have been needed */       \
    X(poll_cycles)       /* cycles in those turns */                                                \
    X(poll_bytes)        /* bytes moved in them */                                                  \
    X(poll_requests)     /* requests taken in them */                                               \
    X(poll_wait)         /* cycles from the turn before to the turn, summed */                      \
    X(poll_pending)      /* cycles from the arrival to the turn, at most, summed */                 \
    X(poll_empty)        /* looks that found nothing */                                             \
    X(poll_empty_cycles) /* cycles they took */                                                     \
    X(poll_coalesced)    /* looks that found work and left it, as others had a right to go first */ \
    X(poll_limited)      /* polled turns that ended with work left */                               \
    X(notif_works)       /* turns in notified mode */                                               \
    X(notif_cycles)      /* cycles in them */                                                       \
    X(notif_bytes)       /* bytes moved in them */                                                  \
    X(notif_requests)    /* requests taken in them */                                               \
    X(notif_wait)        /* cycles from the worker's seeing a kick to the turn */                   \
    X(notif_limited)     /* notified turns that ended with work left */                             \
    X(kicks)             /* kick events seen */                                                     \
    X(completions)       /* requests completed towards the guest */                                 \
    X(calls)             /* notifications sent to the guest */                                      \
    X(calls_merged)      /* batches whose call was put off until a later one's */                   \
    X(reap_cycles)       /* cycles spent on completing asynchronous I/O */                          \
    X(holds)             /* turns that ended because the device could not take more */              \
    X(ring_full)         /* turns that began with a full ring */                                    \
    X(rechecks)          /* arm() found work and did not arm */                                     \
    X(stuck_times)       /* times another queue was left because this one's work was stuck */       \
    X(stuck_cycles)      /* cycles it had been stuck for */                                         \
    X(to_polled)         /* changes of mode */                                                      \
    X(to_notified)                                                                                  \
    X(moves)          /* from one worker to another */                                              \
    X(cpu_serving_ns) /* CPU time of workers spent on its requests */                               \
    X(cpu_polling_ns) /* on looks at it that found nothing */                                       \
    X(cpu_waking_ns)  /* on going to sleep and waking up for it */

/// Per worker, likewise.
#define SIDECORE_WORKER_COUNTERS(X)                                                                \
    X(loops)              /* passes */                                                             \
    X(cycles)             /* cycles awake */                                                       \
    X(wait)               /* cycles asleep */                                                      \
    X(switches)           /* times it went to sleep */                                             \
    X(enabled_interrupts) /* times a queue was armed */                                            \
    X(empty_works)        /* turns that found nothing after all */                                 \
    X(empty_polls)        /* passes that found nothing */                                          \
    X(empty_cycles)       /* cycles in them */                                                     \
    X(stuck_works)        /* turns ended early because other work had waited or was stuck */       \
    X(noqueue_works)      /* wake-ups without any queue's work: commands, stale kicks */           \
    X(pending_works)      /* queues with work left at the end of a pass, summed */                 \
    X(kick_checks)        /* looks for kicks while awake */                                        \
    X(neighbour_pauses)   /* times others wanted its CPU, so that it began to save */              \
    X(budget_pauses)      /* times it stopped spinning because its poll budget was used up */      \
    X(cpu_ns)             /* CPU time accounted for so far: serving, polling, waking, and this: */ \
    X(cpu_other_ns)       /* CPU time of no queue */

// NOLINTBEGIN(bugprone-macro-parentheses): they declare what they are given
#define SIDECORE_DECLARE_COUNTER(name) Counter name;
#define SIDECORE_DECLARE_VALUE(name) std::uint64_t name = 0;
// NOLINTEND(bugprone-macro-parentheses)
#define SIDECORE_COPY_COUNTER(name) snapshot.name = (name).get();

/// A moment's copy of the counters below; each value is exact, together they may be a turn apart.
struct QueueSnapshot {
    SIDECORE_QUEUE_COUNTERS(SIDECORE_DECLARE_VALUE)
    LatencySnapshot wait_times;     ///< cycles from a request's arrival to its turn, per turn
    LatencySnapshot service_times;  ///< cycles from a request's being taken to its completion towards the guest
    Mode mode = Mode::notified;
    bool listed = false;
    bool held = false;
    bool armed = false;
    bool broken = false;
    bool attached = false;
    std::uint64_t mode_since_ns = 0;  ///< CLOCK_MONOTONIC
};

struct WorkerSnapshot {
    SIDECORE_WORKER_COUNTERS(SIDECORE_DECLARE_VALUE)
    std::uint64_t queues = 0;
    std::uint64_t polled_queues = 0;
};

/// Written by the owning worker, read by anybody; alone on its cache lines.
struct alignas(64) QueueStatistics {
    SIDECORE_QUEUE_COUNTERS(SIDECORE_DECLARE_COUNTER)
    LatencyHistogram wait_times;
    LatencyHistogram service_times;
    std::atomic<Mode> mode{Mode::notified};
    std::atomic<bool> listed{false};
    std::atomic<bool> held{false};
    std::atomic<bool> armed{false};
    std::atomic<bool> broken{false};
    std::atomic<bool> attached{false};
    std::atomic<std::uint64_t> mode_since_ns{0};

    QueueSnapshot read() const noexcept {
        QueueSnapshot snapshot;
        SIDECORE_QUEUE_COUNTERS(SIDECORE_COPY_COUNTER)
        snapshot.wait_times = wait_times.read();
        snapshot.service_times = service_times.read();
        snapshot.mode = mode.load(std::memory_order_relaxed);
        snapshot.listed = listed.load(std::memory_order_relaxed);
        snapshot.held = held.load(std::memory_order_relaxed);
        snapshot.armed = armed.load(std::memory_order_relaxed);
        snapshot.broken = broken.load(std::memory_order_relaxed);
        snapshot.attached = attached.load(std::memory_order_relaxed);
        snapshot.mode_since_ns = mode_since_ns.load(std::memory_order_relaxed);
        return snapshot;
    }
};

struct alignas(64) WorkerStatistics {
    SIDECORE_WORKER_COUNTERS(SIDECORE_DECLARE_COUNTER)
    std::atomic<std::uint64_t> queues{0};
    std::atomic<std::uint64_t> polled_queues{0};

    WorkerSnapshot read() const noexcept {
        WorkerSnapshot snapshot;
        SIDECORE_WORKER_COUNTERS(SIDECORE_COPY_COUNTER)
        snapshot.queues = queues.load(std::memory_order_relaxed);
        snapshot.polled_queues = polled_queues.load(std::memory_order_relaxed);
        return snapshot;
    }
};

#undef SIDECORE_DECLARE_COUNTER
#undef SIDECORE_DECLARE_VALUE
#undef SIDECORE_COPY_COUNTER

}  // namespace sidecore::engine
