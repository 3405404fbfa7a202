// SPDX-License-Identifier: Apache-2.0
// The worker's own thread: passes, spinning, sleep. What other threads ask of it is in worker.cc.
#include <algorithm>
#include <array>
#include <sys/epoll.h>
#include <utility>

#include "base/clock.hh"
#include "engine/seat.hh"
#include "engine/worker.hh"
#include "engine/worker_habits.hh"

namespace sidecore::engine {

namespace {

/// A spinning worker reads the clock once in so many looks at queues: a look costs less than the clock.
constexpr std::size_t looks_per_clock = 16;

constexpr std::uint64_t settlement_interval_ns = 10'000'000;

/// After a sleep of at least this length the kernel is asked whether it was so long only because others had the CPU: which it gives them
/// for a millisecond or more.
constexpr std::uint64_t ask_after_sleep_ns = 500'000;

/// Events taken from the kernel at a time.
constexpr std::size_t events_at_once = 64;

}  // namespace

void Worker::run() {
    now_ = cycles();
    settled_cpu_ns_ = thread_cpu_ns();
    idle_since_ = pass_start_ = now_;
    while (true) {
        if (mailbox_.pending()) {
            run_commands();
            if (stopping_) {
                break;
            }
        }
        pass_before_ = std::exchange(pass_start_, now_);
        bool found = !reaping_.empty() && reap_pass();
        if (!draining_.empty()) {
            finish_drains();
        }
        found |= serve_pass();
        if (!owing_.empty()) {
            call_pass();
        }
        statistics_.loops.add(1);
        if (found) {
            found_work();
        } else if (listed_ != 0) {
            spin();
        } else {
            sleep();
        }
    }
    settle();
}

void Worker::run_commands() {
    for (auto& run_command : mailbox_.take()) {
        run_command();
    }
    read_clock();
}

void Worker::read_clock() noexcept {
    const std::uint64_t now = cycles();
    statistics_.cycles.add(now - now_);
    now_ = now;
}

/// One look at each listed queue, and a turn for those with work, unless they have had more than their share: then the others
/// go first, if they have work.
bool Worker::serve_pass() {
    bool found = !latency_.empty() && serve_latency_class();
    if (next_first_ != nullptr) {
        const auto place = std::find(pass_.begin(), pass_.end(), std::exchange(next_first_, nullptr));
        std::rotate(pass_.begin(), place, place == pass_.end() ? place : place + 1);
    }
    std::uint64_t least = UINT64_MAX;                 // of those with work left
    std::uint64_t most = 0;                           // of those that had a turn
    for (std::size_t i = 0; i < pass_.size(); ++i) {  // a turn may list further seats
        Seat& seat = *pass_[i];
        if (!seat.listed || seat.latency_class()) {
            continue;
        }
        const bool work = seat.queue->has_work();
        if (!work && seat.mode == Mode::polled) {
            continue;
        }
        if (work && seat.virtual_time > virtual_time_) {
            seat.statistics->poll_coalesced.add(1);
            least = std::min(least, seat.virtual_time);
            found = true;
            continue;
        }
        found |= turn(seat);
        most = std::max(most, seat.virtual_time);
        if (seat.left_over) {
            least = std::min(least, seat.virtual_time);
        }
        if (!latency_.empty()) {
            found |= serve_latency_class();
        }
    }
    // A queue that its turn has emptied wants nothing more now, so nobody waits for it to catch up.
    virtual_time_ = std::max(virtual_time_, least != UINT64_MAX ? least : most);
    if (pass_is_stale_) {
        pass_is_stale_ = false;
        std::erase_if(pass_, [](Seat* seat) {
            seat->in_pass = seat->listed;
            return !seat->listed;
        });
    }
    return found;
}

bool Worker::serve_latency_class() {
    bool found = false;
    for (std::size_t i = 0; i < latency_.size(); ++i) {
        Seat& seat = *latency_[i];
        if (seat.mode == Mode::notified || seat.queue->has_work()) {
            found |= turn(seat);
            i -= i < latency_.size() && latency_[i] == &seat ? 0 : 1;  // it left the list
        }
    }
    return found;
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
            charge(*seat, now_ - start);
            waited_for_ = true;
            if (seat->moderation.active()) {
                owe_call(*seat);
            }
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

void Worker::found_work() {
    if (std::exchange(in_gap_, false)) {
        spin_rule_.end(to_ns(std::exchange(found_after_sleep_, false) ? arrival_ : pass_start_));
    }
    passes_ = 0;
    idle_since_ = now_;
    pass_cycles_ += (static_cast<double>(now_ - pass_start_) - pass_cycles_) / 8;
    housekeeping(busy_kick_check_ns);
}

/// A pass found nothing, but queues are listed.
void Worker::spin() {
    statistics_.empty_polls.add(1);
    ++passes_;
    if (passes_ * listed_ < looks_per_clock) {
        return;  // a gap this short is not worth the reckoning
    }
    if (!in_gap_) {
        begin_gap();
    }
    const std::uint32_t passes = std::exchange(passes_, 0);
    read_clock();
    const std::uint64_t spent = now_ - idle_since_;
    idle_since_ = now_;
    pass_cycles_ += (static_cast<double>(spent) / passes - pass_cycles_) / 8;
    statistics_.empty_cycles.add(spent);
    budget_.spend(now_ns(), to_ns(spent));
    if (polled_listed_ != 0) {
        const std::uint64_t share = spent / polled_listed_;
        for (Seat* const seat : pass_) {
            if (seat->listed && seat->mode == Mode::polled) {
                seat->statistics->poll_empty.add(passes);
                seat->statistics->poll_empty_cycles.add(share);
                seat->polling_cycles += share;
                seat->unbudgeted_cycles += share;
                touch(*seat);
            }
        }
    }
    housekeeping(spin_kick_check_ns);
    if (in_gap_ && spun_enough()) {
        rest();
    }
}

/// Nothing is left to do as of now_.
void Worker::begin_gap() {
    find_spin_terms();
    in_gap_ = true;
    found_after_sleep_ = false;
    // Others on the CPU do not mind looks that cost less than a sleep, and nothing else counts.
    const double cpu_price_ns = options_.costs.sleep_price_ns(Prefer::cpu);
    const double price_ns = neighbours_mind() ? std::min(cpu_price_ns, sleep_price_ns_) : sleep_price_ns_;
    spin_until_ns_ = spin_rule_.begin(now_ns(), price_ns);
}

/// Whose wishes count while nothing is to be done: those of the queues that keep the worker awake now.
void Worker::find_spin_terms() {
    if (!std::exchange(spin_terms_stale_, false)) {
        return;
    }
    all_yield_ = true;
    unconditional_ = false;
    sleep_price_ns_ = 0;
    for (const Seat* const seat : pass_) {
        if (seat->listed && seat->mode == Mode::polled) {
            all_yield_ = all_yield_ && seat->persistence == Persistence::yields;
            unconditional_ = unconditional_ || seat->persistence == Persistence::unconditional;
            sleep_price_ns_ = std::max(sleep_price_ns_, options_.costs.sleep_price_ns(seat->settings.policy.prefer));
        }
    }
    if (sleep_price_ns_ == 0) {
        sleep_price_ns_ = options_.costs.wake_ns;  // nothing is polled: see linger()
    }
}

/// Whether the worker has looked on for long enough. If all that keeps it awake are queues whose policy yields, or others want the CPU,
/// the spin rule has said for how long; else the queues end it, by leaving their mode.
bool Worker::spun_enough() {
    find_spin_terms();
    return !budget_open_ || ((all_yield_ || neighbours_mind()) && now_ns() >= spin_until_ns_);
}

/// Arms the queues that do not insist on being polled: all of them when it is not for the policies to say.
void Worker::rest() {
    const bool only_yielding = budget_open_ && !neighbours_mind();
    for (std::size_t i = 0; i < pass_.size(); ++i) {
        Seat& seat = *pass_[i];
        if (!seat.listed || seat.mode != Mode::polled || (only_yielding && seat.persistence != Persistence::yields)) {
            continue;
        }
        seat.policy->on_sleep(now_ns());
        seat.bar = only_yielding ? PollBar::none : budget_open_ ? PollBar::neighbour : PollBar::worker_budget;
        set_mode(seat, Mode::notified);
        if (seat.mode == Mode::notified) {
            arm(seat);  // if it finds work instead, the queue stays listed
        }
        if (only_yielding && !seat.listed && !seat.yielded && seat.idle_sleeps < relist_patience) {
            ++seat.idle_sleeps;
            seat.yielded = true;
            yielded_.push_back(&seat);
        }
    }
}

/// What an awake worker does now and then.
void Worker::housekeeping(std::uint64_t kick_check_ns) {
    if (now_ < next_housekeeping_) {
        return;
    }
    next_housekeeping_ = now_ + to_cycles(housekeeping_ns);
    const std::uint64_t now = now_ns();
    if (now >= earliest_poll_end_ns_) {
        ask_policies(now);
    }
    if (now_ >= next_limits_check_) {
        next_limits_check_ = now_ + to_cycles(limits_check_ns);
        check_limits(now);
    }
    const bool waited_for = armed_ != 0 || now_ < left_behind_until_;
    if (now_ - last_kick_check_ >= to_cycles(waited_for ? kick_check_ns : kernel_visit_ns)) {
        last_kick_check_ = now_;
        statistics_.kick_checks.add(1);
        look_for_events(0);
    }
    if (now_ >= next_settlement_) {
        next_settlement_ = now_ + to_cycles(settlement_interval_ns);
        settle();
    }
}

/// Whether to go on polling, of those whose time is over.
void Worker::ask_policies(std::uint64_t now_ns) {
    earliest_poll_end_ns_ = forever_ns;
    for (std::size_t i = 0; i < pass_.size(); ++i) {
        Seat& seat = *pass_[i];
        if (!seat.listed || seat.mode != Mode::polled) {
            continue;
        }
        if (now_ns >= seat.poll_until_ns) {
            decide(seat, seat.policy->on_idle(now_ns));
        }
        if (seat.mode == Mode::polled) {
            earliest_poll_end_ns_ = std::min(earliest_poll_end_ns_, seat.poll_until_ns);
        }
    }
}

/// Whether the devices' budgets are used up, and whether the worker may spin: its own budget, and its neighbours on the CPU.
void Worker::check_limits(std::uint64_t now_ns) {
    for (std::size_t i = 0; i < pass_.size(); ++i) {
        Seat& seat = *pass_[i];
        if (seat.listed && seat.mode == Mode::polled && seat.budget != nullptr &&
            !seat.budget->spend(now_ns, to_ns(std::exchange(seat.unbudgeted_cycles, 0)))) {
            seat.bar = PollBar::device_budget;
            set_mode(seat, Mode::notified);
        }
    }
    const bool was_open = std::exchange(budget_open_, budget_.open(now_ns));
    if (was_open && !budget_open_) {
        statistics_.budget_pauses.add(1);
    }
    neighbours_agree_ = true;
    if (settings_.good_neighbour) {
        if (now_ns >= neighbour_.next_look_ns()) {
            const ThreadSchedule schedule = schedule_.read();
            run_delay_seen_ns_ = schedule.run_delay_ns;
            neighbour_.observe(now_ns, schedule);
            statistics_.neighbour_pauses.set(neighbour_.pauses());
        }
        neighbours_agree_ = neighbour_.may_spin(now_ns);
    }
}

/// Nothing is listed: every queue is armed, held, draining or broken, and whatever ends that makes a watched
/// descriptor readable. So does a command. There is nothing to wake up for in between, and no time-out.
void Worker::sleep() {
    for (Seat* const seat : owing_) {
        call(*seat);
        seat->owing = false;
    }
    owing_.clear();
    const bool waited_for = std::exchange(waited_for_, false);
    if (!in_gap_) {
        begin_gap();
        if (waited_for && linger()) {
            return;
        }
    }
    read_clock();
    if (now_ >= next_settlement_) {
        next_settlement_ = now_ + to_cycles(settlement_interval_ns);
        settle();
    }
    statistics_.switches.add(1);
    found_after_sleep_ = false;
    if (look_for_events(-1)) {
        list_again();
    } else {
        statistics_.noqueue_works.add(1);
    }
    look_from_now_on();
}

/// Nothing is polled, so nothing can be found but by a kick. While looks for one take less CPU time than to fall asleep and to be woken up, the
/// worker looks. But not after work that nobody waits for: what comes during a wake-up comes with one kick. True: there is something to do.
bool Worker::linger() {
    while (budget_open_ && now_ns() < spin_until_ns_) {
        const std::uint64_t before = now_;
        statistics_.kick_checks.add(1);
        // A command's signal is taken by the look, so that it would wake nobody up.
        if (look_for_events(0) || mailbox_.pending()) {
            look_from_now_on();
            return true;
        }
        statistics_.empty_cycles.add(now_ - before);
        budget_.spend(now_ns(), to_ns(now_ - before));
    }
    return false;
}

/// Kicks have been looked for, and passes begin anew.
void Worker::look_from_now_on() noexcept {
    last_kick_check_ = now_;
    passes_ = 0;
    idle_since_ = pass_start_ = now_;
}

/// As the worker is awake, for one queue's sake, a look at the others that it looked at before costs next to nothing.
void Worker::list_again() {
    for (Seat* const seat : yielded_) {
        seat->yielded = false;
        if (!seat->listed && seat->may_be_served() && seat->persistence == Persistence::yields) {
            decide(*seat, seat->policy->start(now_ns(), Mode::polled));
        }
    }
    yielded_.clear();
}

/// Takes the kernel's events. True if one of them was a queue's.
bool Worker::look_for_events(int timeout_ms) {
    std::array<epoll_event, events_at_once> events;
    const std::uint64_t start = now_;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
    const bool slept = timeout_ms != 0;
    const std::uint64_t now = cycles();
    (slept ? statistics_.wait : statistics_.cycles).add(now - now_);
    now_ = now;
    // What woke us came earlier than we noticed; not before we went to sleep, though, or it would have been found.
    const std::uint64_t latency = slept ? to_cycles(wake_latency_ns(to_ns(now_ - start))) : 0;
    const std::uint64_t arrival = std::max(start, now_ > latency ? now_ - latency : 0);
    bool for_a_queue = false;
    for (int i = 0; i < count; ++i) {
        for_a_queue |= on_event(events[static_cast<std::size_t>(i)].data.u64, arrival);
    }
    if (for_a_queue && slept) {
        found_after_sleep_ = true;
        arrival_ = arrival;
    }
    return for_a_queue;
}

/// From what woke the worker to its noticing it, after a sleep of `slept_ns`.
std::uint64_t Worker::wake_latency_ns(std::uint64_t slept_ns) noexcept {
    const auto usual_ns = static_cast<std::uint64_t>(options_.costs.wake_latency_ns);
    if (slept_ns < ask_after_sleep_ns) {
        return usual_ns;
    }
    // Perhaps others had the CPU. Were that taken for a time without work, the worker would sleep again next time, and go on so.
    const std::uint64_t delay_ns = schedule_.run_delay_ns();
    const std::uint64_t waited_ns = delay_ns - std::exchange(run_delay_seen_ns_, delay_ns);
    return std::max(usual_ns, waited_ns);
}

bool Worker::on_event(std::uint64_t data, std::uint64_t arrival) {
    if (data == Seat::mailbox_event) {
        mailbox_.clear();  // a command that was taken before it was signalled would keep us awake otherwise
        return false;      // run() looks at the mailbox first thing
    }
    Seat& seat = *reinterpret_cast<Seat*>(data & ~Seat::completion_bit);  // NOLINT(performance-no-int-to-ptr)
    ++seat.wakes;
    touch(seat);
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
    if (seat.may_be_served() && !seat.listed) {
        seat.kicked = true;
        seat.kick_arrival = arrival;
        list(seat);
    }
    return true;
}

}  // namespace sidecore::engine
