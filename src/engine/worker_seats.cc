// SPDX-License-Identifier: Apache-2.0
// A queue's states on its worker, and how it comes and goes.
#include <algorithm>
#include <sys/epoll.h>
#include <utility>

#include "base/clock.hh"
#include "base/format.hh"
#include "engine/seat.hh"
#include "engine/worker.hh"

namespace sidecore::engine {

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
        earliest_poll_end_ns_ = std::min(earliest_poll_end_ns_, seat.poll_until_ns);
    }
    spin_terms_stale_ = true;
    if (seat.latency_class()) {
        latency_.push_back(&seat);
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
    spin_terms_stale_ = true;
    pass_is_stale_ = true;
    std::erase(latency_, &seat);
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
    earliest_poll_end_ns_ = std::min(earliest_poll_end_ns_, decision.until_ns);
    seat.wanted = decision.mode;
    const bool barred = decision.mode == Mode::polled && seat.budget != nullptr && !seat.budget->open(now_ns());
    seat.bar = barred ? PollBar::device_budget : PollBar::none;
    set_mode(seat, barred ? Mode::notified : decision.mode);
}

void Worker::set_mode(Seat& seat, Mode mode) {
    const bool kicks = seat.queue->kick_fd() >= 0 || seat.queue->second_kick_fd() >= 0;
    if (!kicks || seat.unwatchable) {
        mode = Mode::polled;  // nobody would tell us
        seat.bar = PollBar::no_kick;
    }
    if (mode == seat.mode) {
        return;
    }
    seat.mode = mode;
    spin_terms_stale_ = true;
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

CallModeration Worker::moderation(const Seat& seat) const {
    const CallSettings& calls = seat.settings.calls;
    const bool awaited = seat.queue->completions_awaited();
    std::uint32_t most = calls.max_requests;
    if (const std::uint32_t capacity = seat.queue->capacity(); !awaited && capacity != 0) {
        most = std::min(most, std::max(capacity / 4, 2U));  // a driver that has used up its buffers would wait
    }
    return {most, to_cycles(calls.max_delay_ns), awaited};
}

void Worker::apply(Seat& seat, const QueueSettings& settings) {
    const bool listed = seat.listed;
    const bool same_policy = seat.policy != nullptr && settings.policy == seat.settings.policy;
    unlist(seat);  // the latency class may change
    seat.settings = settings;
    ScheduleSettings& schedule = seat.settings.schedule;
    schedule.turn_requests = std::max<std::uint32_t>(schedule.turn_requests, 1);
    seat.turn_min = to_cycles(schedule.turn_min_ns);
    seat.turn_max = to_cycles(schedule.turn_max_ns) * std::max<std::uint32_t>(schedule.weight, 1) / 100;
    if (listed) {
        list(seat);
    }

    const bool moderated = settings.calls.moderated() && !schedule.latency_class;
    if (!moderated && seat.moderation.active()) {
        call(seat);
    }
    seat.moderation = moderated ? moderation(seat) : CallModeration();
    seat.queue->moderate(moderated);

    if (!same_policy) {  // it would forget what it has learned
        seat.policy = make_policy(settings.policy, options_.costs);
        seat.persistence = seat.policy->persistence();
        decide(seat, seat.policy->start(to_ns(cycles()), seat.mode));
    }
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

/// Gives the seat up as it is: not watched, not listed, its guest asked not to kick, its calls made and its CPU time accounted
/// for. What is in flight stays so.
std::unique_ptr<Worker::Seat> Worker::take_out(Seat& seat) {
    settle();
    if (seat.moderation.active()) {
        call(seat);
    }
    disarm(seat);
    unwatch(seat);
    unlist(seat);
    if (seat.queue->in_flight() != 0) {
        left_behind_until_ = cycles() + to_cycles(1'000'000'000);
    }
    seat.queue->left();
    if (seat.mode == Mode::polled) {
        const std::uint64_t polled = statistics_.polled_queues.load(std::memory_order_relaxed);
        statistics_.polled_queues.store(polled - 1, std::memory_order_relaxed);
    }
    seat.statistics->attached.store(false, std::memory_order_relaxed);
    seat.statistics->mode.store(Mode::notified, std::memory_order_relaxed);
    seat.in_pass = seat.reaping = seat.owing = seat.kicked = seat.yielded = false;
    std::erase(pass_, &seat);
    std::erase(reaping_, &seat);
    std::erase(owing_, &seat);
    std::erase(yielded_, &seat);
    if (next_first_ == &seat) {
        next_first_ = nullptr;
    }
    const auto place =
        std::find_if(seats_.begin(), seats_.end(), [&](const auto& owned) { return owned.get() == &seat; });
    auto taken = std::move(*place);
    seats_.erase(place);
    statistics_.queues.store(seats_.size(), std::memory_order_relaxed);
    return taken;
}

/// Makes the seat one of this worker's. It is listed, so that it gets a turn: nobody knows what came while nobody watched. On
/// failure `seat` is as before.
Result<void> Worker::take_in(std::unique_ptr<Seat>& seat) {
    if (!seat->unwatchable) {
        if (auto watched = watch(*seat); !watched) {
            unwatch(*seat);
            return watched;
        }
    }
    Seat& place = *seats_.emplace_back(std::move(seat));
    statistics_.queues.store(seats_.size(), std::memory_order_relaxed);
    place.statistics->attached.store(true, std::memory_order_relaxed);
    place.statistics->mode.store(place.mode, std::memory_order_relaxed);
    if (place.mode == Mode::polled) {
        statistics_.polled_queues.store(statistics_.polled_queues.load(std::memory_order_relaxed) + 1,
                                        std::memory_order_relaxed);
    }
    place.virtual_time = virtual_time_;  // it has no more right to this worker than the others
    if (place.queue->in_flight() != 0) {
        start_reaping(place);
    }
    if (place.unwatchable) {
        place.held = false;
        set_mode(place, Mode::polled);
    }
    place.queue->entered();
    place.queue->disarm();  // a new ring asks for kicks until it is told otherwise
    list(place);
    return {};
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
    if (const int kick = seat.queue->second_kick_fd(); kick >= 0) {
        SIDECORE_TRY(add(kick, EPOLLIN | EPOLLET, 0, "second kick"));
        seat.watched_second_kick = kick;
    }
    if (const int timer = seat.queue->timer_fd(); timer >= 0) {
        SIDECORE_TRY(add(timer, EPOLLIN | EPOLLET, 0, "timer"));
        seat.watched_timer = timer;
    }
    if (const int completion = seat.queue->completion_fd(); completion >= 0) {
        SIDECORE_TRY(add(completion, EPOLLIN, Seat::completion_bit, "completion"));
        seat.watched_completion = completion;
    }
    return {};
}

void Worker::unwatch(Seat& seat) {
    for (int* const fd :
         {&seat.watched_kick, &seat.watched_second_kick, &seat.watched_timer, &seat.watched_completion}) {
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
