// SPDX-License-Identifier: Apache-2.0
#include "measure.hh"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "base/clock.hh"
#include "base/format.hh"
#include "ping_pong.hh"
#include "process_usage.hh"

namespace sidecore::bench {

namespace {

/// Runs all jobs for so long; the only one, or the first, on this thread.
Result<void> run_jobs(const Driven& driven, const std::vector<int>& cpus, double seconds) {
    std::mutex mutex;
    Result<void> outcome;
    const auto run = [&](std::size_t i) {
        if (auto pinned = pin_this_thread(cpus[i % cpus.size()]); !pinned) {
            const std::lock_guard lock(mutex);
            outcome = std::move(pinned);
            return;
        }
        driven.jobs[i](seconds);
    };
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < driven.jobs.size(); ++i) {
        others.emplace_back(run, i);
    }
    run(0);
    for (std::thread& other : others) {
        other.join();
    }
    return outcome;
}

/// Says twice a second how far a run is, on a line of its own that vanishes.
class Progress {
public:
    Progress(const std::string& name, double seconds) {
        thread_ = std::thread([this, name, seconds] {
            using namespace std::chrono_literals;
            const std::uint64_t start_ns = monotonic_ns();
            std::unique_lock lock(mutex_);
            while (!done_.wait_for(lock, 500ms, [this] { return ended_; })) {
                fmt::print(stderr, "\r\033[K{}: {:.1f} of {:.1f} s", name,
                           static_cast<double>(monotonic_ns() - start_ns) / 1e9, seconds);
                std::fflush(stderr);
            }
            fmt::print(stderr, "\r\033[K");
        });
    }
    ~Progress() {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        done_.notify_one();
        thread_.join();
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

private:
    std::mutex mutex_;
    std::condition_variable done_;
    bool ended_ = false;
    std::thread thread_;
};

}  // namespace

Result<Measured> measure(const Driven& driven, const MeasureOptions& options, const std::string& name) {
    std::optional<Progress> progress;
    if (options.progress) {
        progress.emplace(name, options.warm_up_seconds + options.seconds);
    }
    SIDECORE_TRY(run_jobs(driven, options.cpus, options.warm_up_seconds));
    ProcessUsage before;
    if (options.backend_pid != 0) {
        SIDECORE_TRY_ASSIGN(before, process_usage(options.backend_pid));
    }
    driven.forget();
    const std::uint64_t start_ns = monotonic_ns();
    SIDECORE_TRY(run_jobs(driven, options.cpus, options.seconds));
    Measured measured;
    measured.seconds = static_cast<double>(monotonic_ns() - start_ns) / 1e9;
    if (options.backend_pid != 0) {
        SIDECORE_TRY_ASSIGN(const ProcessUsage after, process_usage(options.backend_pid));
        measured.backend_cpus = static_cast<double>(after.cpu_ns - before.cpu_ns) / 1e9 / measured.seconds;
        measured.backend_switches_per_s =
            static_cast<double>(after.context_switches - before.context_switches) / measured.seconds;
    }
    return measured;
}

}  // namespace sidecore::bench
