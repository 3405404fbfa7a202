// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "engine/policy.hh"
#include "engine/policy_settings.hh"
#include "engine/spin_rule.hh"
#include "sim/ready_bits.hh"
#include "sim/trace.hh"
#include "sim/world.hh"

namespace sidecore::sim {

/// One worker and its queues, all under one policy, in virtual time, by the rules of engine::Worker: passes over the listed
/// queues, turns, arming with a second look, kicks that an awake worker sees only now and then, the spin rule, sleep. Policies and
/// spin rule are the engine's own. Left out are what no policy decides: budgets, neighbours, weights, moderation of calls, moves.
/// docs/polling.md says in what it differs.
///
/// Time goes from event to event, so it costs nothing to simulate that nothing happens. The same input always gives the
/// same output, to the last bit.
///
/// The guests: each kicks once per arming (EVENT_IDX) and makes its requests as its trace says, which outlives the model.
/// Requests of a turn are answered together at its end.
///
/// Thread: one at a time. Invariants: an awake worker has listed queues or is about to sleep; a queue is listed, or armed.
class WorkerModel {
public:
    WorkerModel(const World& world, const engine::PolicySettings& policy, const std::vector<QueueTrace>& queues,
                std::uint64_t patience_ns = 0);
    WorkerModel(const World& world, const engine::PolicySettings& policy, std::vector<QueueTrace>&& queues,
                std::uint64_t patience_ns = 0) = delete;  // they would not outlive it

    /// Until everything that the traces hold is done, or `end_ns` is reached.
    const Outcome& run(std::uint64_t end_ns = engine::forever_ns);

    /// One pass, and what follows it. False, and nothing happens, when everything is done.
    bool step();

    const Outcome& outcome() const noexcept { return outcome_; }
    engine::PolicyFigures spin_figures() const noexcept { return spin_rule_.figures(); }

    /// The gaps of a single queue's trace as they turned out to be: for those of an adversary, which nobody knows before.
    const std::vector<Arrival>& arrived() const noexcept { return arrived_; }

private:
    struct Request {
        std::uint64_t arrived_ns;
        std::uint32_t service_ns;
    };
    struct Seat {
        // The guest
        const QueueTrace* trace = nullptr;
        std::size_t next_arrival = 0;
        std::size_t outstanding = 0;
        std::uint64_t gap_since_ns = 0;
        std::deque<Request> waiting;
        std::uint64_t completions_ns = 0;
        std::uint32_t completions = 0;  // that wait to be reaped
        bool blocked = false;           // as many requests are under way as the guest ever has

        // The worker's side
        bool listed = false;
        bool in_pass = false;
        std::unique_ptr<engine::Policy> policy;
        std::size_t place = 0;  // in pass_
        std::uint64_t poll_until_ns = engine::forever_ns;
        std::uint64_t signalled_ns = 0;
        std::uint64_t kick_arrival_ns = 0;
        std::uint64_t virtual_time_ns = 0;
        engine::Mode mode = engine::Mode::notified;
        bool armed = false;
        bool signalled = false;  // has kicked, and the worker has not seen it
        bool kicked = false;
        std::uint32_t idle_sleeps = 0;  // of the worker since the queue had work, up to the world's patience
    };
    struct Event {
        std::uint64_t time_ns;
        std::uint32_t seat;
        // The earliest is on top of the heap; of equals, that of the first queue.
        bool operator<(const Event& other) const noexcept {
            return time_ns != other.time_ns ? time_ns > other.time_ns : seat > other.seat;
        }
    };

    // guests
    void schedule(Seat& seat);
    void arrive_until(std::uint64_t time_ns);
    void arrive(Seat& seat, std::uint64_t time_ns);
    void answer(Seat& seat, std::size_t requests);
    std::uint64_t next_event_ns() const noexcept {
        return events_.empty() ? engine::forever_ns : events_.front().time_ns;
    }

    // passes
    bool reap();
    bool pass();
    void found_work();
    bool turn(Seat& seat);
    bool arm(Seat& seat);

    // with nothing to do
    void spin();
    std::uint64_t next_reading_that_matters(std::uint64_t first, std::uint64_t period) const noexcept;
    void skip_readings(std::uint64_t first, std::uint64_t period, std::uint64_t count);
    void begin_gap();
    void rest();
    void housekeeping(bool busy);
    void see_kicks(std::uint64_t arrival_ns);
    void sleep();
    bool linger();
    void adversary_acts();
    void list_again();

    // the queues' states
    void list(Seat& seat);
    void unlist(Seat& seat);
    void decide(Seat& seat, const engine::Decision& decision);
    void set_mode(Seat& seat, engine::Mode mode);
    void update_ready(Seat& seat);

    std::uint64_t pass_time_ns() const noexcept { return world_.pass_ns + pass_.size() * check_ns_; }
    std::uint64_t next_kick_check(bool busy) const noexcept { return last_kick_check_ + kick_check_interval_ns(busy); }
    std::uint64_t kick_check_interval_ns(bool busy) const noexcept {
        return armed_ == 0 ? world_.kernel_visit_ns : busy ? world_.busy_kick_check_ns : world_.spin_kick_check_ns;
    }

    const World world_;
    const std::uint64_t check_ns_;
    const std::uint64_t arm_ns_;
    const std::uint64_t patience_ns_;
    const bool yields_;  // the policy leaves it to the spin rule when the worker sleeps
    std::vector<Seat> seats_;
    std::vector<Event> events_;  // a heap: each guest's next arrival, if it is not blocked
    std::size_t left_ = 0;       // requests and completions that are not done yet
    std::vector<Arrival> arrived_;

    std::uint64_t now_ = 0;    // the virtual clock
    std::uint64_t clock_ = 0;  // as the worker last read it
    std::vector<Seat*> pass_;
    ReadyBits ready_;  // by place in pass_
    bool pass_is_stale_ = false;
    std::vector<Seat*> signalled_;
    std::vector<Seat*> completed_;
    std::vector<Seat*> yielded_;  // are listed again when the worker wakes up
    std::size_t listed_ = 0;
    std::size_t armed_ = 0;
    std::uint64_t virtual_time_ns_ = 0;
    std::uint64_t pass_start_ = 0;
    std::uint64_t passes_ = 0;  // empty ones since the clock was read
    double pass_lately_ns_ = 0;
    std::uint64_t next_policy_check_ = 0;
    std::uint64_t last_kick_check_ = 0;
    std::uint64_t earliest_poll_end_ = engine::forever_ns;  // of the listed, polled queues; or earlier
    std::uint64_t awake_since_ = 0;

    bool in_gap_ = false;
    bool waited_for_ = false;
    bool found_after_sleep_ = false;
    std::uint64_t sleep_arrival_ = 0;
    std::uint64_t spin_until_ = 0;
    engine::SpinRule spin_rule_;

    Outcome outcome_;
};

}  // namespace sidecore::sim
