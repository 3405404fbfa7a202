// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "engine/activity_bell.hh"
#include "engine/call_moderation.hh"
#include "engine/explanation.hh"
#include "engine/mailbox.hh"
#include "engine/neighbour.hh"
#include "engine/policy.hh"
#include "engine/poll_budget.hh"
#include "engine/served_queue.hh"
#include "engine/settings.hh"
#include "engine/spin_rule.hh"
#include "engine/statistics.hh"

namespace sidecore::engine {

/// A thread that serves queues of many devices: those that are polled it looks at in every pass, the others
/// when they kick. With nothing to look at it sleeps in the kernel, without a time-out.
///
/// Thread: the public functions may be called from any thread but the worker's own. Each returns when the
/// worker has done what was asked, so afterwards the caller may rely on it; several callers take their turns.
///
/// Invariants (design.md):
///  1. No lost wake-up: at any time a queue that is attached and not broken is listed (and then the worker is awake), or
///     armed after a re-check, or held with a resume owed by in-flight I/O, or draining.
///  2. One owner: from attach() to detach() only the thread of one worker calls the queue; move() hands it over.
///  3. A queue's mode (who finds work) and its being listed (whether it is looked at now) are two things: a polled queue
///     that is held leaves the list and keeps its mode.
///  4. A call that moderation puts off is made before the worker sleeps, and before the queue leaves it.
class Worker {
public:
    struct Options {
        std::string name = "worker";
        std::optional<unsigned> cpu = std::nullopt;  ///< pinned to this CPU, if given
        Costs costs = {};                            ///< of this host
        WorkerSettings settings = {};
        std::shared_ptr<ActivityBell> bell{};  ///< rung every 10 ms or so while queues have work; may be null
    };

    /// What a queue brings along.
    struct Attachment {
        QueueSettings settings;
        QueueStatistics* statistics = nullptr;       ///< go on from what they hold; outlive the attachment
        std::shared_ptr<SharedPollBudget> budget{};  ///< of its device; may be null
    };

    /// Starts the thread.
    static Result<std::unique_ptr<Worker>> create(const Options& options);

    /// Ends the thread. All queues have been detached or moved before, and nothing that they submitted while they were here is
    /// in flight any more: the kernel cancels the I/O of a thread that ends.
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Takes over `queue`. It gets a first turn at once, whether it kicks or not. The queue lives until detach() has
    /// returned. Fails when the kernel refuses to watch the queue's descriptors.
    Result<void> attach(ServedQueue& queue, const Attachment& attachment);

    /// Takes nothing more from `queue`, waits until everything accepted is completed, and gives it up.
    void detach(ServedQueue& queue);

    /// Hands `queue` over to `to` as it is, with I/O in flight, without waiting for any of it. If `to` cannot take it, it stays,
    /// with the error. not_found if it is not here. The caller sees to it that nothing else is asked about this queue meanwhile.
    Result<void> move(ServedQueue& queue, Worker& to);

    /// Lets everything that `queue` has accepted be completed, then runs `change` on the worker's thread
    /// before the queue's next turn.
    void quiesced(ServedQueue& queue, std::function<void()> change);

    /// Runs `change` on the worker's thread, between two turns.
    void execute(const std::function<void()>& change);

    /// The same for a change of `queue`'s descriptors: those of before are no longer watched, those of after
    /// are, and the queue gets a turn in case a kick was lost between them.
    Result<void> change_descriptors(ServedQueue& queue, const std::function<void()>& change);

    /// Other settings for `queue`, from its next turn on.
    void set_queue(ServedQueue& queue, const QueueSettings& settings);

    /// Other settings for the worker.
    void set(const WorkerSettings& settings);
    WorkerSettings settings();

    /// Pinned to `cpu`, or free to run where the process may. Fails with the kernel's reason.
    Result<void> pin(std::optional<unsigned> cpu);
    std::optional<unsigned> cpu() const noexcept;

    /// Why `queue` is treated as it is. nullopt if it is not here.
    std::optional<QueueExplanation> explain(ServedQueue& queue);

    /// Brings the CPU time of all queues up to date, for statistics that are read next.
    void settle_accounts();

    const std::string& name() const noexcept { return options_.name; }
    const Costs& costs() const noexcept { return options_.costs; }
    WorkerSnapshot statistics() const noexcept { return statistics_.read(); }

    /// CPU time that the thread has used so far, in nanoseconds.
    std::uint64_t cpu_time_ns() const noexcept;

    /// The kernel's id of the thread (/proc/<pid>/task/<id>).
    int thread_id() const noexcept { return thread_id_.load(std::memory_order_acquire); }

private:
    struct Seat;

    Worker(Options options, Mailbox mailbox, Fd epoll) noexcept;

    void command(std::function<void()> run);

    // worker_loop.cc: passes, spinning, sleep
    void run();
    void run_commands();
    bool reap_pass();
    bool serve_pass();
    bool serve_latency_class();
    void call_pass();
    void found_work();
    void spin();
    void begin_gap();
    void find_spin_terms();
    bool neighbours_mind() const noexcept { return !neighbours_agree_ && !unconditional_; }
    bool spun_enough();
    void rest();
    void housekeeping(std::uint64_t kick_check_ns);
    void ask_policies(std::uint64_t now_ns);
    void check_limits(std::uint64_t now_ns);
    void sleep();
    bool linger();
    void look_from_now_on() noexcept;
    void list_again();
    bool look_for_events(int timeout_ms);
    std::uint64_t wake_latency_ns(std::uint64_t slept_ns) noexcept;
    bool on_event(std::uint64_t data, std::uint64_t arrival);
    void read_clock() noexcept;

    // worker_turn.cc: one queue's turn
    bool turn(Seat& seat);
    Turn serve_for_a_while(Seat& seat, bool others);
    bool should_leave(Seat& seat);
    std::uint64_t part_of_a_turn(const Seat& seat) const;
    void account_for_turn(Seat& seat, const Turn& turn, std::uint64_t start);
    bool end_turn(Seat& seat, const Turn& turn);
    bool arm(Seat& seat);
    void owe_call(Seat& seat);
    void call(Seat& seat);
    void charge(Seat& seat, std::uint64_t cycle_count) noexcept;

    // worker_seats.cc: the queues' states
    void list(Seat& seat);
    void unlist(Seat& seat);
    void disarm(Seat& seat);
    void start_reaping(Seat& seat);
    void decide(Seat& seat, const Decision& decision);
    void set_mode(Seat& seat, Mode mode);
    void apply(Seat& seat, const QueueSettings& settings);
    CallModeration moderation(const Seat& seat) const;
    void drain(Seat& seat, std::function<void()> then);
    void finish_drains();
    std::unique_ptr<Seat> take_out(Seat& seat);
    Result<void> take_in(std::unique_ptr<Seat>& seat);
    Result<void> watch(Seat& seat);
    void unwatch(Seat& seat);
    Seat* find(const ServedQueue& queue) const noexcept;

    // worker_account.cc: who used the CPU
    void touch(Seat& seat);
    void settle();
    void count_done_elsewhere();
    std::uint64_t to_ns(std::uint64_t cycle_count) const noexcept;
    std::uint64_t to_cycles(std::uint64_t ns) const noexcept;
    std::uint64_t now_ns() const noexcept { return to_ns(now_); }

    const Options options_;
    Mailbox mailbox_;
    Fd epoll_;
    const double ns_per_cycle_;
    std::atomic<int> thread_id_{0};
    std::atomic<int> cpu_{-1};

    // Only the worker's thread touches what follows, but for the statistics, which anybody may read.
    bool stopping_ = false;
    WorkerSettings settings_;
    std::vector<std::unique_ptr<Seat>> seats_;
    std::vector<Seat*> pass_;      // the listed seats, in the order of their turns; others leave at the end of a pass
    std::vector<Seat*> latency_;   // those of pass_ that are of the latency class
    std::vector<Seat*> reaping_;   // with I/O in flight
    std::vector<Seat*> draining_;  // waiting for in-flight I/O before a change
    std::vector<Seat*> owing_;     // with calls put off
    std::vector<Seat*> yielded_;   // armed for the sleep's sake: listed again when it is over
    std::vector<Seat*> touched_;   // used CPU time that is not settled yet
    std::size_t listed_ = 0;       // seats that are listed
    std::size_t polled_listed_ = 0;
    std::size_t armed_ = 0;
    bool pass_is_stale_ = false;  // pass_ has seats that are no longer listed
    Seat* next_first_ = nullptr;  // goes to the head of the next pass
    std::size_t waiting_look_ = 0;
    std::uint64_t virtual_time_ = 0;  // cycles of weight 100: the share that every queue with work has had

    std::uint32_t passes_ = 0;       // since the clock was read
    std::uint64_t now_ = 0;          // cycles, as last read
    std::uint64_t pass_start_ = 0;   // cycles: this pass began then or a little later
    std::uint64_t pass_before_ = 0;  // cycles: every listed queue has been looked at after this
    std::uint64_t idle_since_ = 0;   // cycles: empty polling is accounted for up to here
    double pass_cycles_ = 0;         // of one pass, lately
    std::uint64_t last_kick_check_ = 0;
    std::uint64_t next_housekeeping_ = 0;
    std::uint64_t next_limits_check_ = 0;
    std::uint64_t earliest_poll_end_ns_ = 0;  // of the listed, polled queues; or earlier
    std::uint64_t next_settlement_ = 0;
    std::uint64_t left_behind_until_ =
        0;  // cycles: I/O of a queue that has moved on may still complete through this thread

    // The gap without work that the worker is in
    bool in_gap_ = false;
    bool found_after_sleep_ = false;
    bool waited_for_ = false;    // somebody waits for some of what was done before it
    std::uint64_t arrival_ = 0;  // cycles: of the event that ended the sleep
    std::uint64_t spin_until_ns_ = 0;
    SpinRule spin_rule_;
    PollBudget budget_;
    NeighbourRule neighbour_;
    ThreadScheduleReader schedule_;
    bool budget_open_ = true;
    bool neighbours_agree_ = true;
    std::uint64_t run_delay_seen_ns_ = 0;
    bool spin_terms_stale_ = true;  // what follows has to be found out anew
    bool all_yield_ = true;         // every polled queue that is listed leaves it to the spin rule whether to sleep
    bool unconditional_ = false;    // one of them is polled whatever the neighbours want
    double sleep_price_ns_ = 0;     // for the one of them that minds latency most

    std::uint64_t settled_cpu_ns_ = 0;
    WorkerStatistics statistics_;

    std::thread thread_;  // last: it uses all of the above
};

}  // namespace sidecore::engine
