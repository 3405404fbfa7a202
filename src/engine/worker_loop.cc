// SPDX-License-Identifier: Apache-2.0
// The worker's own thread: passes, turns, sleep. What other threads ask of it is in worker.cc.
#include <algorithm>
#include <array>
#include <sys/epoll.h>
#include <utility>

#include <fmt/format.h>

#include "base/clock.hh"
#include "engine/seat.hh"
#include "engine/worker.hh"

namespace sidecore::engine {

namespace {

/// A spinning worker reads the clock once in so many passes: a pass over few queues costs less than the
/// clock.
constexpr std::uint32_t passes_per_clock = 16;

/// Kicks of notified queues cost a system call to see, so a worker that is awake anyway looks for them this
/// often.
constexpr std::uint64_t kick_check_interval_ns = 20'000;

/// How often the policies of polled queues are asked whether to go on.
constexpr std::uint64_t idle_check_interval_ns = 10'000;

/// Events taken from the kernel at a time.
constexpr std::size_t events_at_once = 64;

}  // namespace

void Worker::run() {
    read_clock();
    idle_since_ = now_;
    while (true) {
        if (mailbox_.pending()) {
            run_commands();
            if (stopping_) {
                break;
            }
        }
        bool found = !reaping_.empty() && reap_pass();
        if (!draining_.empty()) {
            finish_drains();
        }
        found |= serve_pass();
        statistics_.loops.add(1);
        if (found) {
            idle_since_ = now_;
            housekeeping();
        } else if (listed_ != 0) {
            spin();
        } else {
            sleep();
        }
    }
    read_clock();
}

void Worker::run_commands() {
    for (auto& run_command : mailbox_.take()) {
        run_command();
    }
}

void Worker::read_clock() noexcept {
    const std::uint64_t now = cycles();
    statistics_.cycles.add(now_ == 0 ? 0 : now - now_);
    now_ = now;
}

bool Worker::serve_pass() {
    bool found = false;
    for (std::size_t i = 0; i < pass_.size(); ++i) {  // a turn may list further seats
        Seat& seat = *pass_[i];
        if (!seat.listed) {
            continue;
        }
        if (seat.mode == Mode::polled && !seat.queue->has_work()) {
            seat.statistics->poll_empty.add(1);
            continue;
        }
        found |= turn(seat);
    }
    if (pass_is_stale_) {
        pass_is_stale_ = false;
        std::erase_if(pass_, [](Seat* seat) {
            seat->in_pass = seat->listed;
            return !seat->listed;
        });
    }
    return found;
}

/// One turn of one queue. True if there was something to do.
bool Worker::turn(Seat& seat) {
    read_clock();
    const std::uint64_t start = now_;
    const bool polled = seat.mode == Mode::polled;
    const bool kicked = std::exchange(seat.kicked, false);
    const Turn turn = seat.queue->serve(seat.settings.schedule.turn_requests);
    read_clock();

    QueueStatistics& counters = *seat.statistics;
    if (polled) {
        counters.poll_kicks.add(1);
        counters.poll_requests.add(turn.requests);
        counters.poll_bytes.add(turn.bytes);
        counters.poll_cycles.add(now_ - start);
        counters.poll_wait.add(start - std::max(seat.last_turn_end, std::min(idle_since_, start)));
    } else {
        counters.notif_works.add(turn.requests != 0 ? 1 : 0);
        counters.notif_requests.add(turn.requests);
        counters.notif_bytes.add(turn.bytes);
        counters.notif_cycles.add(now_ - start);
        counters.notif_wait.add(kicked ? start - seat.kick_seen : 0);
        statistics_.empty_works.add(kicked && turn.requests == 0 ? 1 : 0);
    }
    counters.completions.add(turn.completed);
    counters.calls.add(turn.calls);
    seat.last_turn_end = now_;

    if (turn.requests != 0) {
        decide(seat, seat.policy->on_work({.now_ns = to_ns(now_), .arrived_ns = to_ns(start)}));
    }
    if (!seat.reaping && seat.queue->in_flight() != 0) {
        start_reaping(seat);
    }
    return end_turn(seat, turn) || turn.requests != 0;
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
            if (seat.queue->in_flight() == 0) {
                return true;  // nothing is left that could owe the resume, so the next pass tries again
            }
            seat.held = true;
            counters.held.store(true, std::memory_order_relaxed);
            counters.holds.add(1);
            unlist(seat);
            return false;
        case TurnEnd::budget:
            (seat.mode == Mode::polled ? counters.poll_limited : counters.notif_limited).add(1);
            statistics_.pending_works.add(1);
            return true;
        case TurnEnd::empty:
            break;
    }
    if (seat.mode == Mode::polled) {
        return false;
    }
    if (!seat.queue->arm()) {
        counters.rechecks.add(1);
        return true;
    }
    seat.armed = true;
    ++armed_;
    counters.armed.store(true, std::memory_order_relaxed);
    statistics_.enabled_interrupts.add(1);
    unlist(seat);
    return false;
}

bool Worker::reap_pass() {
    bool found = false;
    bool finished = false;
    for (Seat* const seat : reaping_) {
        const std::uint64_t start = cycles();
        const Reaped reaped = seat->queue->reap();
        if (reaped.requests != 0) {
            read_clock();
            seat->statistics->completions.add(reaped.requests);
            seat->statistics->calls.add(reaped.calls);
            seat->statistics->reap_cycles.add(now_ - start);
            found = true;
        }
        if (reaped.resume && seat->held) {
            seat->held = false;
            seat->statistics->held.store(false, std::memory_order_relaxed);
            list(*seat);
        }
        if (seat->queue->in_flight() == 0) {
            seat->reaping = false;
            finished = true;
        }
    }
    if (finished) {
        std::erase_if(reaping_, [](const Seat* seat) { return !seat->reaping; });
    }
    return found;
}

/// A pass found nothing, but polled queues are listed.
void Worker::spin() {
    statistics_.empty_polls.add(1);
    if (++passes_ < passes_per_clock) {
        return;
    }
    passes_ = 0;
    read_clock();
    if (polled_listed_ != 0) {
        const std::uint64_t share = (now_ - idle_since_) / polled_listed_;
        for (Seat* const seat : pass_) {
            if (seat->listed && seat->mode == Mode::polled) {
                seat->statistics->poll_empty_cycles.add(share);
            }
        }
    }
    idle_since_ = now_;
    housekeeping();
}

/// What an awake worker does now and then: asks the policies of polled queues, looks for kicks of the others.
void Worker::housekeeping() {
    if (now_ >= next_idle_check_) {
        next_idle_check_ = now_ + ns_to_cycles(idle_check_interval_ns);
        const std::uint64_t now_ns = to_ns(now_);
        for (std::size_t i = 0; i < pass_.size(); ++i) {
            Seat& seat = *pass_[i];
            if (seat.listed && seat.mode == Mode::polled && now_ns >= seat.poll_until_ns) {
                decide(seat, seat.policy->on_idle(now_ns));
            }
        }
    }
    if (armed_ != 0 && now_ >= next_kick_check_) {
        next_kick_check_ = now_ + ns_to_cycles(kick_check_interval_ns);
        statistics_.kick_checks.add(1);
        look_for_events(0);
    }
}

/// Nothing is listed: every queue is armed, held, draining or broken, and whatever ends that makes a watched
/// descriptor readable. So does a command. There is nothing to wake up for in between, and no time-out.
void Worker::sleep() {
    read_clock();
    statistics_.switches.add(1);
    if (!look_for_events(-1)) {
        statistics_.noqueue_works.add(1);
    }
    idle_since_ = now_;
}

/// Takes the kernel's events. True if one of them was a queue's.
bool Worker::look_for_events(int timeout_ms) {
    std::array<epoll_event, events_at_once> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
    const std::uint64_t now = cycles();
    (timeout_ms == 0 ? statistics_.cycles : statistics_.wait).add(now - now_);
    now_ = now;
    bool for_a_queue = false;
    for (int i = 0; i < count; ++i) {
        for_a_queue |= on_event(events[static_cast<std::size_t>(i)].data.u64);
    }
    return for_a_queue;
}

bool Worker::on_event(std::uint64_t data) {
    if (data == Seat::mailbox_event) {
        return false;  // run() looks at the mailbox first thing
    }
    Seat& seat = *reinterpret_cast<Seat*>(data & ~Seat::completion_bit);  // NOLINT(performance-no-int-to-ptr)
    if ((data & Seat::completion_bit) != 0) {
        // Usually it is in reaping_ already. If not, the signal came after its completion had been reaped;
        // another reap() clears the descriptor, which would keep us awake otherwise.
        if (!seat.reaping) {
            start_reaping(seat);
        }
        return true;
    }
    seat.statistics->kicks.add(1);
    empty_notifier(seat.watched_kick, seat.kick_kind);
    if (seat.may_be_served()) {
        seat.kicked = true;
        seat.kick_seen = now_;
        list(seat);
    }
    return true;
}

// ---- seats and their states ----

void Worker::list(Seat& seat) {
    if (seat.listed || !seat.may_be_served()) {
        return;
    }
    disarm(seat);
    seat.listed = true;
    seat.statistics->listed.store(true, std::memory_order_relaxed);
    ++listed_;
    if (seat.mode == Mode::polled) {
        ++polled_listed_;
    }
    if (!seat.in_pass) {
        seat.in_pass = true;
        pass_.push_back(&seat);
    }
}

void Worker::unlist(Seat& seat) {
    if (!seat.listed) {
        return;
    }
    seat.listed = false;
    seat.statistics->listed.store(false, std::memory_order_relaxed);
    --listed_;
    if (seat.mode == Mode::polled) {
        --polled_listed_;
    }
    pass_is_stale_ = true;
}

void Worker::disarm(Seat& seat) {
    if (seat.armed) {
        seat.armed = false;
        --armed_;
        seat.statistics->armed.store(false, std::memory_order_relaxed);
        seat.queue->disarm();
    }
}

void Worker::start_reaping(Seat& seat) {
    seat.reaping = true;
    reaping_.push_back(&seat);
}

void Worker::decide(Seat& seat, const Decision& decision) {
    seat.poll_until_ns = decision.until_ns;
    set_mode(seat, decision.mode);
}

void Worker::set_mode(Seat& seat, Mode mode) {
    if (seat.queue->kick_fd() < 0) {
        mode = Mode::polled;  // nobody would tell us
    }
    if (mode == seat.mode) {
        return;
    }
    seat.mode = mode;
    QueueStatistics& counters = *seat.statistics;
    counters.mode.store(mode, std::memory_order_relaxed);
    counters.mode_since_ns.store(monotonic_ns(), std::memory_order_relaxed);
    std::uint64_t polled = statistics_.polled_queues.load(std::memory_order_relaxed);
    if (mode == Mode::polled) {
        counters.to_polled.add(1);
        polled_listed_ += seat.listed ? 1 : 0;
        ++polled;
        list(seat);
    } else {
        // Still listed, so that its next turn ends in arm(): work that came in meanwhile is found by that
        // turn, or by the re-check.
        counters.to_notified.add(1);
        polled_listed_ -= seat.listed ? 1 : 0;
        --polled;
    }
    statistics_.polled_queues.store(polled, std::memory_order_relaxed);
}

void Worker::apply(Seat& seat, const QueueSettings& settings) {
    seat.settings = settings;
    seat.settings.schedule.turn_requests = std::max<std::uint32_t>(settings.schedule.turn_requests, 1);
    seat.policy = make_policy(settings.policy, options_.costs);
    decide(seat, seat.policy->start(to_ns(cycles()), seat.mode));
}

void Worker::drain(Seat& seat, std::function<void()> then) {
    disarm(seat);
    unlist(seat);
    seat.drained = std::move(then);
    draining_.push_back(&seat);
}

void Worker::finish_drains() {
    const auto done = std::stable_partition(draining_.begin(), draining_.end(),
                                            [](const Seat* seat) { return seat->queue->in_flight() != 0; });
    const std::vector<Seat*> drained(done, draining_.end());
    draining_.erase(done, draining_.end());
    for (Seat* const seat : drained) {
        const auto then = std::exchange(seat->drained, nullptr);
        seat->held = false;
        seat->statistics->held.store(false, std::memory_order_relaxed);
        then();
    }
}

void Worker::remove(Seat& seat) {
    unwatch(seat);
    unlist(seat);
    if (seat.mode == Mode::polled) {
        const std::uint64_t polled = statistics_.polled_queues.load(std::memory_order_relaxed);
        statistics_.polled_queues.store(polled - 1, std::memory_order_relaxed);
    }
    seat.statistics->attached.store(false, std::memory_order_relaxed);
    seat.statistics->mode.store(Mode::notified, std::memory_order_relaxed);
    std::erase(pass_, &seat);
    std::erase(reaping_, &seat);
    std::erase_if(seats_, [&](const auto& owned) { return owned.get() == &seat; });
    statistics_.queues.store(seats_.size(), std::memory_order_relaxed);
}

Result<void> Worker::watch(Seat& seat) {
    const auto add = [&](int fd, std::uint32_t events, std::uint64_t tag, const char* what) -> Result<void> {
        epoll_event event{};
        event.events = events;
        event.data.u64 = reinterpret_cast<std::uint64_t>(&seat) | tag;
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
            return failure_from_errno(fmt::format("watching a queue's {} descriptor", what));
        }
        return {};
    };
    if (const int kick = seat.queue->kick_fd(); kick >= 0) {
        // Edge-triggered: each write to an eventfd is an event of its own, so its count need not be read,
        // which saves a system call per kick. A pipe or a socket would fill up.
        seat.kick_kind = notifier_kind(kick);
        SIDECORE_TRY(add(kick, EPOLLIN | EPOLLET, 0, "kick"));
        seat.watched_kick = kick;
    }
    if (const int completion = seat.queue->completion_fd(); completion >= 0) {
        SIDECORE_TRY(add(completion, EPOLLIN, Seat::completion_bit, "completion"));
        seat.watched_completion = completion;
    }
    return {};
}

void Worker::unwatch(Seat& seat) {
    for (int* const fd : {&seat.watched_kick, &seat.watched_completion}) {
        if (*fd >= 0) {
            ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, *fd, nullptr);
            *fd = -1;
        }
    }
}

Worker::Seat* Worker::find(const ServedQueue& queue) const noexcept {
    const auto found =
        std::find_if(seats_.begin(), seats_.end(), [&](const auto& seat) { return seat->queue == &queue; });
    return found == seats_.end() ? nullptr : found->get();
}

}  // namespace sidecore::engine
