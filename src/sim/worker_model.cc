// SPDX-License-Identifier: Apache-2.0
// The guests, and the worker while it has something to do. What it does otherwise is in worker_model_idle.cc.
#include "sim/worker_model.hh"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sidecore::sim {

using engine::Mode;

WorkerModel::WorkerModel(const World& world, const engine::PolicySettings& policy,
                         const std::vector<QueueTrace>& queues, std::uint64_t patience_ns)
    : world_(world),
      check_ns_(static_cast<std::uint64_t>(std::lround(std::max(world.costs.check_ns, 1.0)))),
      arm_ns_(static_cast<std::uint64_t>(std::lround(world.costs.arm_ns))),
      patience_ns_(patience_ns),
      yields_(engine::make_policy(policy, world.told())->persistence() == engine::Persistence::yields),
      seats_(queues.size()) {
    engine::PolicySettings settings = policy;
    settings.prefer = world.prefer;
    for (std::size_t i = 0; i < seats_.size(); ++i) {
        Seat& seat = seats_[i];
        seat.trace = &queues[i];
        left_ += seat.trace->arrivals.size();
        schedule(seat);
        seat.policy = engine::make_policy(settings, world_.told());
        list(seat);
        decide(seat, seat.policy->start(now_, seat.mode));
    }
}

const Outcome& WorkerModel::run(std::uint64_t end_ns) {
    while (now_ < end_ns && step()) {
    }
    return outcome_;
}

bool WorkerModel::step() {
    if (left_ == 0) {
        return false;
    }
    pass_start_ = clock_;
    bool found = !completed_.empty() && reap();
    found |= pass();
    if (found) {
        found_work();
    } else if (listed_ != 0) {
        spin();
    } else {
        sleep();
    }
    outcome_.end_ns = now_;
    outcome_.awake_ns += now_ - std::exchange(awake_since_, now_);
    return true;
}

// ---- guests ----

void WorkerModel::schedule(Seat& seat) {
    const auto& arrivals = seat.trace->arrivals;
    if (seat.next_arrival == arrivals.size()) {
        return;
    }
    const std::uint64_t gap = arrivals[seat.next_arrival].gap_ns;
    const std::uint64_t time = seat.gap_since_ns + (gap == Arrival::when_given_up ? patience_ns_ : gap);
    events_.push_back({time, static_cast<std::uint32_t>(&seat - seats_.data())});
    std::push_heap(events_.begin(), events_.end());
}

void WorkerModel::arrive_until(std::uint64_t time_ns) {
    while (next_event_ns() <= time_ns) {
        const Event event = events_.front();
        std::pop_heap(events_.begin(), events_.end());
        events_.pop_back();
        arrive(seats_[event.seat], event.time_ns);
    }
}

void WorkerModel::arrive(Seat& seat, std::uint64_t time_ns) {
    const Arrival& arrival = seat.trace->arrivals[seat.next_arrival++];
    if (patience_ns_ != 0) {
        arrived_.push_back({time_ns - seat.gap_since_ns, arrival.service_ns, false});
    }
    if (arrival.completion) {
        if (seat.completions++ == 0) {
            completed_.push_back(&seat);
        }
        seat.completions_ns += arrival.service_ns;
    } else {
        seat.waiting.push_back({time_ns, arrival.service_ns});
        ++seat.outstanding;
        if (seat.armed && !seat.signalled) {
            seat.signalled = true;
            seat.signalled_ns = time_ns;
            signalled_.push_back(&seat);
            ++outcome_.kicks;
        }
        update_ready(seat);
    }
    seat.gap_since_ns = time_ns;
    if (seat.trace->depth == 0 || seat.outstanding < seat.trace->depth) {
        schedule(seat);
    } else {
        seat.blocked = true;
    }
}

void WorkerModel::answer(Seat& seat, std::size_t requests) {
    outcome_.requests += requests;
    left_ -= requests;
    seat.outstanding -= requests;
    if (std::exchange(seat.blocked, false)) {
        seat.gap_since_ns = now_;
        schedule(seat);
    }
}

// ---- passes ----

bool WorkerModel::reap() {
    waited_for_ = true;
    for (Seat* const seat : completed_) {
        now_ += seat->completions_ns;
        outcome_.serving_ns += std::exchange(seat->completions_ns, 0);
        left_ -= seat->completions;
        outcome_.completions += std::exchange(seat->completions, 0);
    }
    completed_.clear();
    clock_ = now_;
    return true;
}

/// One look at each listed queue, and a turn for those with work, unless they have had more than their share. What is not ready by the
/// time it is looked at is passed over without looking.
bool WorkerModel::pass() {
    bool found = false;
    std::uint64_t least = UINT64_MAX;
    std::uint64_t most = 0;
    std::size_t place = 0;
    now_ += world_.pass_ns;
    arrive_until(now_);
    while (true) {
        const std::size_t next = ready_.next(place, pass_.size());
        const std::uint64_t looked = now_ + (next - place + (next < pass_.size() ? 1 : 0)) * check_ns_;
        if (const std::uint64_t event = next_event_ns(); event <= looked && event > now_) {
            const std::uint64_t looks = (event - now_ - 1) / check_ns_;  // that come before it
            place += looks;
            now_ += looks * check_ns_;
            arrive_until(event);
            continue;
        }
        now_ = looked;
        if (next == pass_.size()) {
            break;
        }
        place = next + 1;
        Seat& seat = *pass_[next];
        if (!seat.waiting.empty() && seat.virtual_time_ns > virtual_time_ns_) {
            found = true;
        } else {
            found |= turn(seat);
        }
        most = std::max(most, seat.virtual_time_ns);
        if (!seat.waiting.empty()) {
            least = std::min(least, seat.virtual_time_ns);
        }
    }
    virtual_time_ns_ = std::max(virtual_time_ns_, least != UINT64_MAX ? least : most);
    if (std::exchange(pass_is_stale_, false)) {
        std::erase_if(pass_, [](Seat* seat) {
            seat->in_pass = seat->listed;
            return !seat->listed;
        });
        ready_.resize(pass_.size());
        for (std::size_t i = 0; i < pass_.size(); ++i) {
            pass_[i]->place = i;
            update_ready(*pass_[i]);
        }
    }
    return found;
}

bool WorkerModel::turn(Seat& seat) {
    const std::uint64_t start = clock_ = now_;
    const bool others = listed_ > 1;
    std::uint64_t used = 0;
    std::size_t requests = 0;
    while (!seat.waiting.empty() && requests < world_.turn_requests &&
           (requests == 0 || !others || used < world_.turn_max_ns)) {
        const Request request = seat.waiting.front();
        seat.waiting.pop_front();
        ++requests;
        used += request.service_ns;
        const std::uint64_t waited = start - request.arrived_ns;
        outcome_.waits_ns += waited;
        ++outcome_.waits.counts[LatencySnapshot::bucket_of(waited)];
    }
    outcome_.serving_ns += used + (requests != 0 ? world_.turn_ns : 0);
    now_ += used + world_.turn_ns;
    clock_ = now_;
    arrive_until(now_);
    if (requests != 0) {
        ++outcome_.turns;
        seat.idle_sleeps = 0;
        waited_for_ = waited_for_ || seat.trace->awaited;
        answer(seat, requests);
        const std::uint64_t behind = virtual_time_ns_ - std::min(virtual_time_ns_, world_.turn_max_ns);
        seat.virtual_time_ns = std::max(seat.virtual_time_ns, behind) + used + world_.turn_ns;
        const std::uint64_t arrived = seat.kicked ? std::min(seat.kick_arrival_ns, start) : start;
        decide(seat, seat.policy->on_work({.now_ns = now_, .arrived_ns = arrived, .pass_ns = pass_lately_ns_}));
    }
    seat.kicked = false;
    bool more = !seat.waiting.empty();
    if (!more && seat.mode == Mode::notified) {
        more = arm(seat);
    }
    update_ready(seat);
    return more || requests != 0;
}

/// True if there was work instead.
bool WorkerModel::arm(Seat& seat) {
    now_ += arm_ns_;
    arrive_until(now_);
    if (!seat.waiting.empty()) {
        return true;
    }
    seat.armed = true;
    ++armed_;
    unlist(seat);
    return false;
}

void WorkerModel::found_work() {
    if (std::exchange(in_gap_, false)) {
        spin_rule_.end(std::exchange(found_after_sleep_, false) ? sleep_arrival_ : pass_start_);
    }
    passes_ = 0;
    pass_lately_ns_ += (static_cast<double>(clock_ - pass_start_) - pass_lately_ns_) / 8;
    housekeeping(true);
}

// ---- the queues' states ----

void WorkerModel::list(Seat& seat) {
    if (seat.listed) {
        return;
    }
    if (std::exchange(seat.armed, false)) {
        --armed_;
    }
    seat.listed = true;
    ++listed_;
    if (!seat.in_pass) {
        seat.in_pass = true;
        seat.place = pass_.size();
        pass_.push_back(&seat);
        ready_.grow(pass_.size());
    }
    update_ready(seat);
    earliest_poll_end_ = std::min(earliest_poll_end_, seat.poll_until_ns);
}

void WorkerModel::unlist(Seat& seat) {
    if (std::exchange(seat.listed, false)) {
        --listed_;
        pass_is_stale_ = true;
        update_ready(seat);
    }
}

void WorkerModel::decide(Seat& seat, const engine::Decision& decision) {
    seat.poll_until_ns = decision.until_ns;
    set_mode(seat, decision.mode);
    if (seat.mode == Mode::polled) {
        earliest_poll_end_ = std::min(earliest_poll_end_, decision.until_ns);
    }
}

void WorkerModel::set_mode(Seat& seat, Mode mode) {
    if (mode == seat.mode) {
        return;
    }
    seat.mode = mode;
    if (mode == Mode::polled) {
        list(seat);
    }
    update_ready(seat);
}

/// A notified queue on the list gets a turn, whether it has work or not: it ends in arm().
void WorkerModel::update_ready(Seat& seat) {
    if (seat.in_pass) {
        ready_.set(seat.place, seat.listed && (seat.mode == Mode::notified || !seat.waiting.empty()));
    }
}

}  // namespace sidecore::sim
