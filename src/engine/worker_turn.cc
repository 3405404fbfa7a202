// SPDX-License-Identifier: Apache-2.0
// One queue's turn: how long it lasts, what it is charged, where the queue goes from there, and when the guest is called.
#include <algorithm>
#include <utility>

#include "base/clock.hh"
#include "engine/seat.hh"
#include "engine/worker.hh"

namespace sidecore::engine {

namespace {

/// A turn comes to a point where it can be left about this often, and at least so often while a queue of the latency class
/// may get work.
constexpr std::uint64_t parts_of_a_turn = 4;
constexpr std::uint64_t latency_class_wait_ns = 10'000;

/// Other queues looked at when a turn comes to such a point.
constexpr std::size_t waiting_looks = 4;

}  // namespace

/// True if there was something to do.
bool Worker::turn(Seat& seat) {
    read_clock();
    const std::uint64_t start = now_;
    const std::uint32_t capacity = seat.queue->capacity();
    if (capacity != 0 && seat.queue->pending() == capacity) {
        seat.statistics->ring_full.add(1);
    }
    const Turn turn = serve_for_a_while(seat, listed_ > 1);
    account_for_turn(seat, turn, start);
    if (turn.requests != 0) {
        seat.idle_sleeps = 0;
        waited_for_ = waited_for_ || seat.queue->completions_awaited();
        const std::uint64_t arrived = seat.kicked ? seat.kick_arrival : start;
        decide(seat, seat.policy->on_work({.now_ns = now_ns(),
                                           .arrived_ns = to_ns(std::min(arrived, start)),
                                           .pass_ns = pass_cycles_ * ns_per_cycle_}));
    }
    seat.kicked = false;
    seat.left_over = turn.end == TurnEnd::budget;
    seat.last_turn_end = now_;
    if (!seat.reaping && seat.queue->in_flight() != 0) {
        start_reaping(seat);
    }
    if (seat.moderation.active() && turn.completed != 0) {
        owe_call(seat);
    }
    return end_turn(seat, turn) || turn.requests != 0;
}

/// Alone, a queue gets one part at a time, as the pass around it costs nothing. With others, its turn lasts for the time that its
/// weight gives it, and may be left at the end of each part.
Turn Worker::serve_for_a_while(Seat& seat, bool others) {
    const std::uint64_t start = now_;
    const std::uint32_t most = seat.settings.schedule.turn_requests;
    Turn all;
    while (true) {
        std::uint32_t part = most;
        if (others) {
            // What a request takes is not known before the first.
            const double fits =
                seat.request_cycles > 0 ? static_cast<double>(part_of_a_turn(seat)) / seat.request_cycles : 1;
            part = static_cast<std::uint32_t>(std::clamp(fits, 1.0, static_cast<double>(most)));
        }
        const std::uint64_t before = now_;
        const Turn turn = seat.queue->serve(part);
        read_clock();
        all.requests += turn.requests;
        all.completed += turn.completed;
        all.calls += turn.calls;
        all.bytes += turn.bytes;
        all.end = turn.end;
        if (turn.requests != 0) {
            const double each = static_cast<double>(now_ - before) / turn.requests;
            seat.request_cycles =
                seat.request_cycles > 0 ? seat.request_cycles + (each - seat.request_cycles) / 8 : each;
        }
        if (turn.end != TurnEnd::budget || !others) {
            return all;
        }
        const std::uint64_t used = now_ - start;
        if (used < seat.turn_min) {
            continue;
        }
        if (used >= seat.turn_max || all.requests >= most || should_leave(seat)) {
            return all;
        }
    }
}

/// Cycles until the next point where the turn can be left: none of the rules that end it early comes much too late.
std::uint64_t Worker::part_of_a_turn(const Seat& seat) const {
    std::uint64_t part = seat.turn_max / parts_of_a_turn;
    if (!latency_.empty()) {
        part = std::min(part, to_cycles(latency_class_wait_ns));
    }
    for (const std::uint64_t limit_ns : {settings_.wait_max_ns, settings_.stuck_after_ns}) {
        if (limit_ns != 0) {
            part = std::min(part, to_cycles(limit_ns) / 2);
        }
    }
    return part;
}

/// Whether another queue must not wait for the end of this one's turn: one of the latency class has work, one has waited for too
/// long, or one is stuck. Looks at a few of the others at a time.
bool Worker::should_leave(Seat& seat) {
    if (!seat.latency_class()) {
        for (const Seat* const other : latency_) {
            if (other->listed && other->queue->has_work()) {
                return true;
            }
        }
    }
    const std::uint64_t wait_max = to_cycles(settings_.wait_max_ns);
    const std::uint64_t stuck_after = to_cycles(settings_.stuck_after_ns);
    for (std::size_t looks = std::min(waiting_looks, pass_.size()); looks != 0; --looks) {
        waiting_look_ = (waiting_look_ + 1) % pass_.size();
        Seat& other = *pass_[waiting_look_];
        if (&other == &seat || !other.listed) {
            continue;
        }
        const std::uint32_t pending = other.queue->pending();
        if (pending != other.pending_seen || other.last_turn_end > other.pending_since) {
            other.pending_seen = pending;
            other.pending_since = now_;
            continue;
        }
        if (pending == 0) {
            continue;
        }
        const std::uint64_t waited = now_ - other.pending_since;
        const bool stuck = stuck_after != 0 && other.mode == Mode::polled && waited > stuck_after &&
                           (settings_.stuck_pending == 0 || pending <= settings_.stuck_pending);
        if (stuck) {
            other.statistics->stuck_times.add(1);
            other.statistics->stuck_cycles.add(waited);
        }
        if (stuck || (wait_max != 0 && waited > wait_max)) {
            statistics_.stuck_works.add(1);
            next_first_ = &other;
            return true;
        }
    }
    return false;
}

void Worker::charge(Seat& seat, std::uint64_t cycle_count) noexcept {
    // A queue that had nothing to do for a while does not save its share up.
    seat.virtual_time = std::max(seat.virtual_time, virtual_time_ > seat.turn_max ? virtual_time_ - seat.turn_max : 0);
    seat.virtual_time += cycle_count * 100 / std::max<std::uint32_t>(seat.settings.schedule.weight, 1);
    seat.serving_cycles += cycle_count;
    touch(seat);
}

void Worker::account_for_turn(Seat& seat, const Turn& turn, std::uint64_t start) {
    QueueStatistics& counters = *seat.statistics;
    const std::uint64_t used = now_ - start;
    const bool limited = turn.end == TurnEnd::budget;
    charge(seat, used);
    std::uint64_t waited = 0;
    if (seat.mode == Mode::polled && !seat.kicked) {
        // It came after the last look, which was in the pass before.
        waited = start - std::min(start, std::max(seat.last_turn_end, pass_before_));
        counters.poll_kicks.add(1);
        counters.poll_requests.add(turn.requests);
        counters.poll_bytes.add(turn.bytes);
        counters.poll_cycles.add(used);
        counters.poll_pending.add(waited);
        counters.poll_wait.add(start - std::min(start, seat.last_turn_end));
        counters.poll_limited.add(limited ? 1 : 0);
    } else {
        waited = seat.kicked ? start - std::min(start, seat.kick_arrival) : 0;
        counters.notif_works.add(turn.requests != 0 ? 1 : 0);
        counters.notif_requests.add(turn.requests);
        counters.notif_bytes.add(turn.bytes);
        counters.notif_cycles.add(used);
        counters.notif_wait.add(waited);
        counters.notif_limited.add(limited ? 1 : 0);
        statistics_.empty_works.add(seat.kicked && turn.requests == 0 ? 1 : 0);
    }
    if (turn.requests != 0) {
        counters.wait_times.record(waited);
    }
    counters.completions.add(turn.completed);
    counters.calls.add(turn.calls);
}

/// Where the queue goes from here: on in the list, or out of it armed, held or broken. True if it has more to
/// do.
bool Worker::end_turn(Seat& seat, const Turn& turn) {
    QueueStatistics& counters = *seat.statistics;
    switch (turn.end) {
        case TurnEnd::broken:
            seat.broken = true;
            counters.broken.store(true, std::memory_order_relaxed);
            unlist(seat);
            return false;
        case TurnEnd::held:
            if (seat.queue->in_flight() == 0 || seat.unwatchable) {
                return true;  // nothing is left that could owe the resume, so the next pass tries again
            }
            seat.held = true;
            counters.held.store(true, std::memory_order_relaxed);
            counters.holds.add(1);
            unlist(seat);
            return false;
        case TurnEnd::waiting:
            // Even a polled queue leaves the list: no look at it could find anything before it is told.
            return !seat.unwatchable && arm(seat);
        case TurnEnd::budget:
            statistics_.pending_works.add(1);
            return true;
        case TurnEnd::empty:
            break;
    }
    return seat.mode == Mode::notified && arm(seat);
}

/// Asks for kicks and takes the queue off the list. True if there was work instead: it stays listed.
bool Worker::arm(Seat& seat) {
    if (!seat.queue->arm()) {
        seat.statistics->rechecks.add(1);
        return true;
    }
    seat.armed = true;
    ++armed_;
    seat.statistics->armed.store(true, std::memory_order_relaxed);
    statistics_.enabled_interrupts.add(1);
    unlist(seat);
    return false;
}

// ---- calls ----

/// After completions of a queue whose calls are moderated: now or later?
void Worker::owe_call(Seat& seat) {
    const std::uint32_t owed = seat.queue->owed();
    if (owed == 0) {
        return;
    }
    seat.moderation.owe(now_);
    if (!seat.owing) {
        seat.owing = true;
        owing_.push_back(&seat);
    }
}

void Worker::call(Seat& seat) {
    const bool more = seat.queue->in_flight() != 0 || seat.queue->pending() != 0;
    seat.statistics->calls_merged.add(seat.moderation.told(now_, more));
    seat.statistics->calls.add(seat.queue->call());
}

/// Makes the calls that are due.
void Worker::call_pass() {
    bool any = false;
    for (Seat* const seat : owing_) {
        const std::uint32_t owed = seat->queue->owed();
        const bool more = seat->queue->in_flight() != 0 || seat->queue->pending() != 0;
        if (owed == 0 || seat->moderation.due(now_, owed, more)) {
            call(*seat);
            seat->owing = false;
            any = true;
        }
    }
    if (any) {
        std::erase_if(owing_, [](const Seat* seat) { return !seat->owing; });
    }
}

}  // namespace sidecore::engine
