// SPDX-License-Identifier: Apache-2.0
#include "engine/calibrate.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <thread>
#include <unistd.h>

#include "base/barrier.hh"
#include "base/clock.hh"
#include "base/fd.hh"

namespace sidecore::engine {

namespace {

struct Plan {
    std::size_t wake_ups;
    std::uint64_t patience_ns;  // on a machine that is so busy that they take this long, fewer have to do
    std::size_t short_samples;
};

constexpr Plan brief_plan{20, 5'000'000, 40};
constexpr Plan thorough_plan{200, 50'000'000, 200};
constexpr std::size_t least_wake_ups = 20;

constexpr unsigned looks_per_sample = 1'000;

/// Long enough for the woken thread to be asleep again, short enough for the CPU not to be in its deepest sleep.
constexpr std::chrono::microseconds between_wake_ups{100};

struct Samples {
    std::vector<double> values;

    double at(double share) {
        if (values.empty()) {
            return 0;
        }
        const auto place = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
        std::nth_element(values.begin(), place, values.end());
        return *place;
    }
    Measurement measurement(std::string name, std::string how) {
        return {std::move(name), at(0.5), at(0.25), at(0.75), std::move(how)};
    }
};

/// Times `action`, done `times` times in a row, as one sample per row.
template <typename Action>
Samples time_each(std::size_t samples, unsigned times, Action action) {
    Samples result;
    for (std::size_t i = 0; i < samples; ++i) {
        const std::uint64_t start = cycles();
        for (unsigned j = 0; j < times; ++j) {
            action();
        }
        result.values.push_back(static_cast<double>(cycles_to_ns(cycles() - start)) / times);
    }
    return result;
}

/// A thread that sleeps in epoll_wait like a worker and notes when it woke up.
class Sleeper {
public:
    static Result<std::unique_ptr<Sleeper>> create() {
        SIDECORE_TRY_ASSIGN(Fd kick, make_eventfd());
        Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{};
        event.events = EPOLLIN | EPOLLET;
        if (!epoll || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, kick.get(), &event) != 0) {
            return failure_from_errno("making an epoll set to calibrate with");
        }
        auto sleeper = std::make_unique<Sleeper>();
        sleeper->kick_ = std::move(kick);
        sleeper->epoll_ = std::move(epoll);
        sleeper->thread_ = std::thread([&self = *sleeper] { self.run(); });
        return sleeper;
    }
    Sleeper() = default;
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;
    ~Sleeper() {
        stop_ = true;
        signal_eventfd(kick_.get());
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    int kick() const noexcept { return kick_.get(); }

    /// Cycles at its `count`th waking up; waits for it.
    std::uint64_t woken_at(std::uint64_t count) const {
        while (wakes_.load(std::memory_order_acquire) < count) {
            std::this_thread::yield();
        }
        return woken_at_.load(std::memory_order_relaxed);
    }

    /// CPU time it has used, as of its last waking up.
    std::uint64_t cpu_ns() const noexcept { return cpu_ns_.load(std::memory_order_relaxed); }

private:
    void run() {
        epoll_event event{};
        while (!stop_) {
            if (::epoll_wait(epoll_.get(), &event, 1, -1) == 1) {
                woken_at_.store(cycles(), std::memory_order_relaxed);
                cpu_ns_.store(thread_cpu_ns(), std::memory_order_relaxed);
                wakes_.fetch_add(1, std::memory_order_release);
            }
        }
    }

    Fd kick_;
    Fd epoll_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> wakes_{0};
    std::atomic<std::uint64_t> woken_at_{0};
    std::atomic<std::uint64_t> cpu_ns_{0};
    std::thread thread_;
};

/// This thread sleeps for as long as it says, while this lives; else the kernel rounds up by 50 us.
class ExactSleeps {
public:
    ExactSleeps() : before_(::prctl(PR_GET_TIMERSLACK)) { ::prctl(PR_SET_TIMERSLACK, 1UL); }
    ~ExactSleeps() { ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(before_)); }
    ExactSleeps(const ExactSleeps&) = delete;
    ExactSleeps& operator=(const ExactSleeps&) = delete;

private:
    const int before_;
};

}  // namespace

Result<Calibration> calibrate(double vm_exit_ns, CalibrationEffort effort) {
    const Plan& plan = effort == CalibrationEffort::brief ? brief_plan : thorough_plan;
    Calibration result;
    const auto take = [&](double& cost, Samples samples, std::string name, std::string how, double extra = 0) {
        Measurement measurement = samples.measurement(std::move(name), std::move(how));
        measurement.value_ns += extra;
        measurement.low_ns += extra;
        measurement.high_ns += extra;
        cost = measurement.value_ns;
        result.measurements.push_back(std::move(measurement));
    };

    std::atomic<std::uint16_t> index{0};
    std::atomic<std::uint16_t> wish{0};
    take(result.costs.check_ns,
         time_each(plan.short_samples, looks_per_sample,
                   [&] {
                       static_cast<void>(index.load(std::memory_order_acquire));
                       std::atomic_signal_fence(std::memory_order_seq_cst);
                   }),
         "check", "one load of an index that the cache holds, the mean of 1000 in a row");
    take(result.costs.arm_ns,
         time_each(plan.short_samples, looks_per_sample,
                   [&] {
                       wish.store(1, std::memory_order_relaxed);
                       store_load_barrier();
                       static_cast<void>(index.load(std::memory_order_acquire));
                   }),
         "arm", "a store, a full barrier and a load, the mean of 1000 in a row");

    SIDECORE_TRY_ASSIGN(const auto sleeper, Sleeper::create());
    const ExactSleeps exact;
    Samples writes;
    Samples latencies;
    std::this_thread::sleep_for(between_wake_ups);
    std::uint64_t first_cpu = 0;
    std::uint64_t done = 0;
    const std::uint64_t end_ns = monotonic_ns() + plan.patience_ns;
    while (done < plan.wake_ups && (done < least_wake_ups || monotonic_ns() < end_ns)) {
        ++done;
        const std::uint64_t start = cycles();
        signal_eventfd(sleeper->kick());
        const std::uint64_t written = cycles();
        const std::uint64_t woken = sleeper->woken_at(done);
        writes.values.push_back(static_cast<double>(cycles_to_ns(written - start)));
        latencies.values.push_back(woken > start ? static_cast<double>(cycles_to_ns(woken - start)) : 0);
        first_cpu = done == 1 ? sleeper->cpu_ns() : first_cpu;
        std::this_thread::sleep_for(between_wake_ups);
    }
    take(result.costs.kick_ns, std::move(writes), "kick",
         "an eventfd write that wakes up a thread asleep in epoll_wait, as the writer's time" +
             std::string(vm_exit_ns > 0 ? ", and the VM exit that was given" : ""),
         vm_exit_ns);
    Samples wake;
    wake.values.push_back(static_cast<double>(sleeper->cpu_ns() - first_cpu) / static_cast<double>(done - 1));
    take(result.costs.wake_ns, std::move(wake), "wake",
         "the CPU time of that thread from one waking up to the next, with nothing done between, the mean of " +
             std::to_string(done - 1));
    take(result.costs.wake_latency_ns, std::move(latencies), "wake_latency",
         "from before the write to the woken thread's first instruction");

    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        return failure_from_errno("making an epoll set to calibrate with");
    }
    take(result.costs.see_kick_ns,
         time_each(plan.short_samples, 10,
                   [&] {
                       epoll_event event{};
                       static_cast<void>(::epoll_wait(epoll.get(), &event, 1, 0));
                   }),
         "see_kick", "epoll_wait that finds nothing and does not wait, the mean of 10 in a row");
    return result;
}

}  // namespace sidecore::engine
