// SPDX-License-Identifier: Apache-2.0
#include "engine/neighbour.hh"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace sidecore::engine {

void ThreadScheduleReader::open() noexcept {
    schedstat_ = Fd(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
}

ThreadSchedule ThreadScheduleReader::read() const noexcept {
    ThreadSchedule schedule;
    rusage usage{};
    if (::getrusage(RUSAGE_THREAD, &usage) == 0) {
        schedule.preemptions = static_cast<std::uint64_t>(usage.ru_nivcsw);
    }
    schedule.run_delay_ns = run_delay_ns();
    return schedule;
}

std::uint64_t ThreadScheduleReader::run_delay_ns() const noexcept {
    std::uint64_t delay_ns = 0;
    if (schedstat_) {
        // "time on the CPU, time waiting for it, number of turns", in nanoseconds
        std::array<char, 96> text;
        const ssize_t size = ::pread(schedstat_.get(), text.data(), text.size(), 0);
        const char* const end = text.data() + std::max<ssize_t>(size, 0);
        const char* const delay = std::find(static_cast<const char*>(text.data()), end, ' ');
        if (delay != end) {
            std::from_chars(delay + 1, end, delay_ns);
        }
    }
    return delay_ns;
}

void NeighbourRule::observe(std::uint64_t now_ns, const ThreadSchedule& schedule) noexcept {
    const std::uint64_t elapsed = now_ns - last_look_ns_;
    const bool first = !started_;
    const ThreadSchedule before = last_;
    started_ = true;
    last_ = schedule;
    last_look_ns_ = now_ns;
    if (first || !may_spin(now_ns)) {
        return;
    }
    const bool preempted = schedule.preemptions != before.preemptions;
    double share = 0;
    if (preempted && schedule.run_delay_ns == 0) {
        share = 1;
    } else if (preempted && elapsed != 0) {
        share = static_cast<double>(schedule.run_delay_ns - before.run_delay_ns) / static_cast<double>(elapsed);
    }
    const double weight = std::min(static_cast<double>(elapsed) / static_cast<double>(memory_ns), 1.0);
    others_share_ += (std::min(share, 1.0) - others_share_) * weight;
    if (preempted && others_share_ > most_share) {
        const bool again = pauses_ != 0 && now_ns - pause_end_ns_ <= 4 * memory_ns;
        pause_ns_ = again ? std::min(2 * pause_ns_, longest_pause_ns) : first_pause_ns;
        pause_end_ns_ = now_ns + pause_ns_;
        ++pauses_;
        others_share_ = 0;
    }
}

}  // namespace sidecore::engine
