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
#include "engine/mailbox.hh"
#include "engine/policy.hh"
#include "engine/served_queue.hh"
#include "engine/settings.hh"
#include "engine/statistics.hh"

namespace sidecore::engine {

/// A thread that serves queues of many devices: those that are polled it looks at in every pass, the others
/// when they kick. With nothing to look at it sleeps in the kernel, without a time-out.
///
/// Thread: the public functions may be called from any thread but the worker's own. Each returns when the
/// worker has done what was asked, so afterwards the caller may rely on it; several callers take their turns.
///
/// Invariants (design.md):
///  1. No lost wake-up: at any time a queue that is attached and not broken is listed (and then the worker is
///  awake), or
///     armed after a re-check, or held with a resume owed by in-flight I/O, or draining.
///  2. One owner: between attach() and detach() only this worker's thread calls the queue.
///  3. A queue's mode (who finds work) and its being listed (whether it is looked at now) are two things: a
///  polled queue
///     that is held leaves the list and keeps its mode.
class Worker {
public:
    struct Options {
        std::string name = "worker";
        std::optional<unsigned> cpu = std::nullopt;  ///< pinned to this CPU, if given
        Costs costs = {};                            ///< of this host
    };

    /// Starts the thread.
    static Result<std::unique_ptr<Worker>> create(const Options& options);

    /// Ends the thread. All queues have been detached before.
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Takes over `queue`. It gets a first turn at once, whether it kicks or not. `statistics` go on from
    /// what they hold. Both live until detach() has returned. Fails when the kernel refuses to watch the
    /// queue's descriptors.
    Result<void> attach(ServedQueue& queue, const QueueSettings& settings, QueueStatistics& statistics);

    /// Takes nothing more from `queue`, waits until everything accepted is completed, and gives it up.
    void detach(ServedQueue& queue);

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

    const std::string& name() const noexcept { return options_.name; }
    std::optional<unsigned> cpu() const noexcept { return options_.cpu; }
    WorkerSnapshot statistics() const noexcept { return statistics_.read(); }

    /// CPU time that the thread has used so far, in nanoseconds.
    std::uint64_t cpu_time_ns() const noexcept;

    /// The kernel's id of the thread (/proc/<pid>/task/<id>).
    int thread_id() const noexcept { return thread_id_.load(std::memory_order_acquire); }

private:
    struct Seat;

    Worker(Options options, Mailbox mailbox, Fd epoll) noexcept;

    void command(std::function<void()> run);
    void run();
    void run_commands();
    bool reap_pass();
    bool serve_pass();
    bool turn(Seat& seat);
    bool end_turn(Seat& seat, const Turn& turn);
    void spin();
    void housekeeping();
    void sleep();
    bool look_for_events(int timeout_ms);
    bool on_event(std::uint64_t data);
    void read_clock() noexcept;

    void list(Seat& seat);
    void unlist(Seat& seat);
    void disarm(Seat& seat);
    void start_reaping(Seat& seat);
    void decide(Seat& seat, const Decision& decision);
    void set_mode(Seat& seat, Mode mode);
    void apply(Seat& seat, const QueueSettings& settings);
    void drain(Seat& seat, std::function<void()> then);
    void finish_drains();
    void remove(Seat& seat);
    Result<void> watch(Seat& seat);
    void unwatch(Seat& seat);
    Seat* find(const ServedQueue& queue) const noexcept;
    std::uint64_t to_ns(std::uint64_t cycle_count) const noexcept;

    const Options options_;
    Mailbox mailbox_;
    Fd epoll_;
    const double ns_per_cycle_;
    std::atomic<int> thread_id_{0};

    // Only the worker's thread touches what follows, but for the statistics, which anybody may read.
    bool stopping_ = false;
    std::vector<std::unique_ptr<Seat>> seats_;
    std::vector<Seat*> pass_;      // the listed seats, in the order of their turns; others leave at the end of a pass
    std::vector<Seat*> reaping_;   // with I/O in flight
    std::vector<Seat*> draining_;  // waiting for in-flight I/O before a change
    std::size_t listed_ = 0;       // seats that are listed
    std::size_t polled_listed_ = 0;
    std::size_t armed_ = 0;
    bool pass_is_stale_ = false;    // pass_ has seats that are no longer listed
    std::uint32_t passes_ = 0;      // since the clock was read
    std::uint64_t now_ = 0;         // cycles, as last read
    std::uint64_t idle_since_ = 0;  // cycles: empty polling is accounted for up to here
    std::uint64_t next_kick_check_ = 0;
    std::uint64_t next_idle_check_ = 0;
    WorkerStatistics statistics_;

    std::thread thread_;  // last: it uses all of the above
};

}  // namespace sidecore::engine
