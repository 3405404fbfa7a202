// SPDX-License-Identifier: Apache-2.0
// Who used the CPU. The loop counts cycles per queue as it goes; now and then they are turned into shares of the CPU time that
// the kernel says the thread has used, so that the shares add up to it, preemption and sleeping included.
#include <algorithm>

#include "base/clock.hh"
#include "engine/seat.hh"
#include "engine/worker.hh"

namespace sidecore::engine {

std::uint64_t Worker::to_ns(std::uint64_t cycle_count) const noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(cycle_count) * ns_per_cycle_);
}

std::uint64_t Worker::to_cycles(std::uint64_t ns) const noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(ns) / ns_per_cycle_);
}

void Worker::touch(Seat& seat) {
    if (!seat.touched) {
        seat.touched = true;
        touched_.push_back(&seat);
    }
}

/// What others have done for queues counts as theirs; the time that it took is that of those who did it.
void Worker::count_done_elsewhere() {
    for (const auto& seat : seats_) {
        const Turn turn = seat->queue->done_elsewhere();
        if (turn.requests == 0 && turn.completed == 0) {
            continue;  // as with nearly all: their counters stay out of our cache
        }
        QueueStatistics& counters = *seat->statistics;
        const bool polled = seat->mode == Mode::polled;
        (polled ? counters.poll_requests : counters.notif_requests).add(turn.requests);
        (polled ? counters.poll_bytes : counters.notif_bytes).add(turn.bytes);
        counters.completions.add(turn.completed);
        counters.calls.add(turn.calls);
    }
}

void Worker::settle() {
    count_done_elsewhere();
    const std::uint64_t cpu = thread_cpu_ns();
    const auto used = static_cast<double>(cpu - settled_cpu_ns_);
    settled_cpu_ns_ = cpu;
    statistics_.cpu_ns.add(static_cast<std::uint64_t>(used));

    if (options_.bell != nullptr && !touched_.empty()) {
        options_.bell->ring();
    }
    double counted = 0;
    std::uint64_t wakes = 0;
    for (const Seat* const seat : touched_) {
        counted += static_cast<double>(seat->serving_cycles + seat->polling_cycles) * ns_per_cycle_;
        wakes += seat->wakes;
    }
    // Cycles pass also while the thread is preempted; CPU time does not.
    const double scale = counted > used ? used / counted : 1;
    const double rest = used - counted * scale;
    const auto share = [&](std::uint64_t cycle_count) {
        return static_cast<std::uint64_t>(static_cast<double>(cycle_count) * ns_per_cycle_ * scale);
    };
    std::uint64_t attributed = 0;
    for (Seat* const seat : touched_) {
        QueueStatistics& counters = *seat->statistics;
        const std::uint64_t serving = share(std::exchange(seat->serving_cycles, 0));
        const std::uint64_t polling = share(std::exchange(seat->polling_cycles, 0));
        // What is neither is the kernel's part of sleeping and waking up, and the loop around the turns: it belongs to those
        // that made the worker wake up, or to all that kept it awake.
        const double part = wakes != 0     ? static_cast<double>(seat->wakes) / static_cast<double>(wakes)
                            : counted != 0 ? static_cast<double>(serving + polling) / (counted * scale)
                                           : 0;
        const auto waking = static_cast<std::uint64_t>(rest * part);
        seat->wakes = 0;
        seat->touched = false;
        counters.cpu_serving_ns.add(serving);
        counters.cpu_polling_ns.add(polling);
        counters.cpu_waking_ns.add(waking);
        attributed += serving + polling + waking;
    }
    touched_.clear();
    const auto all = static_cast<std::uint64_t>(used);
    statistics_.cpu_other_ns.add(all > attributed ? all - attributed : 0);
}

}  // namespace sidecore::engine
