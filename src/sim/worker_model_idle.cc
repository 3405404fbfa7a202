// SPDX-License-Identifier: Apache-2.0
// The worker while it has nothing to do: it spins, looks for kicks, asks the policies, and sleeps.
#include <algorithm>
#include <utility>

#include "sim/worker_model.hh"

namespace sidecore::sim {

using engine::forever_ns;
using engine::Mode;

namespace {

/// The first of the times first, first + period, ... that is not before `time`.
std::uint64_t at_or_after(std::uint64_t first, std::uint64_t period, std::uint64_t time) {
    return time <= first ? first : first + (time - first + period - 1) / period * period;
}

/// `interval` in whole periods.
std::uint64_t in_periods(std::uint64_t interval, std::uint64_t period) {
    return std::max<std::uint64_t>((interval + period - 1) / period, 1) * period;
}

/// What is left of an old mean after so many new values.
double seven_eighths_to_the(std::uint64_t exponent) {
    double result = 1;
    double power = 0.875;
    while (exponent != 0 && result > 1e-9) {
        result *= (exponent & 1U) != 0 ? power : 1;
        power *= power;
        exponent >>= 1U;
    }
    return result;
}

}  // namespace

/// A pass found nothing, but queues are listed. The passes that follow are all alike until something happens: an arrival, or a reading of the
/// clock that makes a difference.
void WorkerModel::spin() {
    ++passes_;
    if (!completed_.empty() || ready_.next(0, pass_.size()) != pass_.size()) {
        return;  // it came when the pass had gone by already
    }
    const std::uint64_t pass = pass_time_ns();
    const std::uint64_t passes_per_reading =
        std::max<std::uint64_t>((world_.looks_per_clock + listed_ - 1) / listed_, 1);
    const std::uint64_t period = passes_per_reading * pass;
    const std::uint64_t first =
        now_ + (passes_per_reading - std::min(passes_, passes_per_reading)) * pass;  // reading of the clock
    const std::uint64_t reading = in_gap_ ? next_reading_that_matters(first, period) : first;
    const std::uint64_t event = next_event_ns();
    if (event <= reading && event != forever_ns) {
        const std::uint64_t passes = event > now_ ? (event - now_ - 1) / pass : 0;  // that end before it
        now_ += passes * pass;
        passes_ += passes;
        if (first <= now_ && in_gap_) {
            const std::uint64_t readings = 1 + (now_ - first) / period;
            skip_readings(first, period, readings);
            passes_ = (now_ - clock_) / pass;
        }
        return;
    }
    if (reading > first) {
        skip_readings(first, period, (reading - first) / period);
    }
    if (!in_gap_) {
        begin_gap();
    }
    pass_lately_ns_ += (static_cast<double>(pass) - pass_lately_ns_) / 8;
    now_ = clock_ = reading;
    passes_ = 0;
    housekeeping(false);
    if (now_ >= spin_until_) {
        rest();
    }
}

/// Of the readings of the clock at first, first + period, ...: the first at which housekeeping() or rest() does something.
std::uint64_t WorkerModel::next_reading_that_matters(std::uint64_t first, std::uint64_t period) const noexcept {
    std::uint64_t earliest = forever_ns;
    if (spin_until_ != forever_ns) {
        earliest = at_or_after(first, period, spin_until_);
    }
    const std::uint64_t checks = at_or_after(first, period, next_policy_check_);
    const std::uint64_t check_period = in_periods(world_.policy_check_ns, period);
    if (earliest_poll_end_ != forever_ns) {
        earliest = std::min(earliest, at_or_after(checks, check_period, earliest_poll_end_));
    }
    if (!signalled_.empty()) {
        earliest = std::min(earliest, at_or_after(checks, check_period, next_kick_check(false)));
    }
    return earliest;
}

/// `count` readings of the clock at first, first + period, ... at which nothing is to be done but what is done each time.
void WorkerModel::skip_readings(std::uint64_t first, std::uint64_t period, std::uint64_t count) {
    clock_ = first + (count - 1) * period;
    const auto pass = static_cast<double>(pass_time_ns());
    pass_lately_ns_ = pass + (pass_lately_ns_ - pass) * seven_eighths_to_the(count);
    const std::uint64_t checks = at_or_after(first, period, next_policy_check_);
    if (checks > clock_) {
        return;
    }
    const std::uint64_t check_period = in_periods(world_.policy_check_ns, period);
    const std::uint64_t last_check = checks + (clock_ - checks) / check_period * check_period;
    next_policy_check_ = last_check + world_.policy_check_ns;
    const std::uint64_t kick_checks = at_or_after(checks, check_period, next_kick_check(false));
    if (kick_checks <= last_check) {
        const std::uint64_t kick_period = in_periods(kick_check_interval_ns(false), check_period);
        const std::uint64_t further = (last_check - kick_checks) / kick_period;
        last_kick_check_ = kick_checks + further * kick_period;
        outcome_.kick_checks += 1 + further;
    }
}

/// Where policies say themselves until when they poll, it does not matter what the spin rule says, unless nothing is polled.
void WorkerModel::begin_gap() {
    in_gap_ = true;
    found_after_sleep_ = false;
    spin_until_ = listed_ != 0 ? forever_ns : clock_;
    if (yields_ || (listed_ == 0 && world_.lingers)) {
        const engine::Costs& told = world_.told();
        spin_until_ = spin_rule_.begin(clock_, listed_ == 0 ? told.wake_ns : told.sleep_price_ns(world_.prefer));
    }
}

/// The spin rule's time is over: all queues are armed.
void WorkerModel::rest() {
    for (Seat* const seat : pass_) {
        if (seat->listed && seat->mode == Mode::polled) {
            seat->policy->on_sleep(now_);
            if (seat->idle_sleeps < world_.relist_patience) {
                ++seat->idle_sleeps;
                yielded_.push_back(seat);
            }
            set_mode(*seat, Mode::notified);
            arm(*seat);
        }
    }
}

void WorkerModel::housekeeping(bool busy) {
    if (clock_ < next_policy_check_) {
        return;
    }
    next_policy_check_ = clock_ + world_.policy_check_ns;
    if (clock_ >= earliest_poll_end_) {
        earliest_poll_end_ = forever_ns;
        for (Seat* const seat : pass_) {
            if (!seat->listed || seat->mode != Mode::polled) {
                continue;
            }
            if (clock_ >= seat->poll_until_ns) {
                decide(*seat, seat->policy->on_idle(clock_));
            } else {
                earliest_poll_end_ = std::min(earliest_poll_end_, seat->poll_until_ns);
            }
        }
    }
    if (clock_ >= next_kick_check(busy)) {
        last_kick_check_ = clock_;
        ++outcome_.kick_checks;
        now_ = clock_ = now_ + static_cast<std::uint64_t>(world_.costs.see_kick_ns);
        arrive_until(now_);
        see_kicks(clock_);
    }
}

/// Takes the kernel's events, which the worker takes to have come at `arrival_ns`.
void WorkerModel::see_kicks(std::uint64_t arrival_ns) {
    for (Seat* const seat : signalled_) {
        outcome_.late_ns += now_ - seat->signalled_ns;
        seat->signalled = false;
        seat->kicked = true;
        seat->kick_arrival_ns = arrival_ns;
        list(*seat);
    }
    signalled_.clear();
}

void WorkerModel::sleep() {
    const bool waited_for = std::exchange(waited_for_, false);
    if (!in_gap_) {
        begin_gap();
        if (waited_for && linger()) {
            return;
        }
    }
    const std::uint64_t start = now_;
    outcome_.awake_ns += start - awake_since_;
    awake_since_ = start;
    std::uint64_t told_latency = 0;
    if (signalled_.empty() && completed_.empty()) {
        ++outcome_.sleeps;
        adversary_acts();
        while (signalled_.empty() && completed_.empty()) {
            now_ = next_event_ns();
            arrive_until(now_);
        }
        const auto latency = static_cast<std::uint64_t>(world_.costs.wake_latency_ns);
        now_ = awake_since_ = now_ + latency;
        arrive_until(now_);
        outcome_.late_ns += latency;
        for (Seat* const seat : signalled_) {
            seat->signalled_ns = now_;  // one lateness for all
        }
        told_latency = static_cast<std::uint64_t>(world_.told().wake_latency_ns);
    } else {
        // It came while the worker was still awake, so the kernel returns at once.
        now_ += static_cast<std::uint64_t>(world_.costs.see_kick_ns);
        arrive_until(now_);
    }
    found_after_sleep_ = true;
    sleep_arrival_ = std::max(start, now_ - std::min(now_, told_latency));
    see_kicks(sleep_arrival_);
    list_again();
    last_kick_check_ = now_;
    passes_ = 0;
    clock_ = now_;
}

/// Looks for kicks as long as that costs less than a sleep. True: there is something to do.
bool WorkerModel::linger() {
    while (clock_ < spin_until_ && left_ != 0) {
        ++outcome_.kick_checks;
        now_ = clock_ = now_ + std::max<std::uint64_t>(static_cast<std::uint64_t>(world_.costs.see_kick_ns), 1);
        arrive_until(now_);
        if (!signalled_.empty() || !completed_.empty()) {
            see_kicks(clock_);
            last_kick_check_ = now_;
            passes_ = 0;
            return true;
        }
    }
    return false;
}

void WorkerModel::list_again() {
    for (Seat* const seat : yielded_) {
        if (!seat->listed) {
            decide(*seat, seat->policy->start(now_, Mode::polled));
        }
    }
    yielded_.clear();
}

/// The worker has given up: an adversary's request comes now.
void WorkerModel::adversary_acts() {
    if (patience_ns_ == 0 || events_.empty()) {
        return;
    }
    const Seat& seat = seats_.front();
    if (seat.trace->arrivals[seat.next_arrival].gap_ns == Arrival::when_given_up) {
        events_.front().time_ns = std::min(events_.front().time_ns, now_ + 1);
    }
}

}  // namespace sidecore::sim
