// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/fd.hh"

namespace sidecore::engine {

/// What the kernel says of how a thread gets along with the others on its CPU. All counts since the thread began.
struct ThreadSchedule {
    std::uint64_t preemptions = 0;   ///< involuntary context switches
    std::uint64_t run_delay_ns = 0;  ///< time that it was ready and did not run
};

/// Reads the ThreadSchedule of the thread that opens it.
///
/// Thread: one, always the same.
class ThreadScheduleReader {
public:
    /// Where the kernel keeps no run-queue delays, they stay 0 and preemptions alone count.
    void open() noexcept;
    ThreadSchedule read() const noexcept;

    /// The time alone: one system call.
    std::uint64_t run_delay_ns() const noexcept;

private:
    Fd schedstat_;
};

/// Whether a worker that spins is in others' way: it is ready to run and others do instead, for more than a fifth of the time lately.
/// Then it saves CPU time and nothing else for a while (see Worker::begin_gap()), for twice as long if it is still so afterwards, and starts again after. Whoever wants the CPU for
/// a moment only, as the kernel's own threads do, gets it at once and needs no such favour. Queues that the operator wants polled
/// always (Persistence::unconditional) keep the worker spinning all the same. Pure.
class NeighbourRule {
public:
    /// Between two looks at the schedule.
    static constexpr std::uint64_t interval_ns = 4'000'000;
    static constexpr double most_share = 0.2;
    static constexpr std::uint64_t memory_ns = 32'000'000;  ///< "lately"
    static constexpr std::uint64_t first_pause_ns = 40'000'000;
    static constexpr std::uint64_t longest_pause_ns = 1'280'000'000;

    /// What the schedule was at `now_ns`, after the worker has been awake since the last look.
    void observe(std::uint64_t now_ns, const ThreadSchedule& schedule) noexcept;

    /// When to look next.
    std::uint64_t next_look_ns() const noexcept { return last_look_ns_ + interval_ns; }

    bool may_spin(std::uint64_t now_ns) const noexcept { return now_ns >= pause_end_ns_; }

    /// Pauses so far.
    std::uint64_t pauses() const noexcept { return pauses_; }

private:
    ThreadSchedule last_{};
    bool started_ = false;
    std::uint64_t last_look_ns_ = 0;
    double others_share_ = 0;
    std::uint64_t pause_end_ns_ = 0;
    std::uint64_t pause_ns_ = first_pause_ns;
    std::uint64_t pauses_ = 0;
};

}  // namespace sidecore::engine
