// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace sidecore::engine {

/// How much time may go into looks that find nothing: a share of one CPU, with some credit for bursts. Pure: the caller
/// brings the time.
///
/// Invariant: what is spent from any moment on is at most the share of (the time since plus `burst_ns`), plus what one call
/// reports.
class PollBudget {
public:
    /// The share of this much time is saved up at most while less is spent than allowed.
    static constexpr double burst_ns = 20e6;

    /// `percent` of one CPU: 0 to 100; 100 is no limit.
    explicit PollBudget(std::uint32_t percent = 100) noexcept : percent_(percent) {}

    bool limited() const noexcept { return percent_ < 100; }

    /// `empty_ns` have been spent by `now_ns`, which never goes back.
    void spend(std::uint64_t now_ns, std::uint64_t empty_ns) noexcept;

    /// Whether polling may go on. Once the credit is used up, it must first grow to a quarter of its most again, so that
    /// a queue does not change its mode all the time.
    bool open(std::uint64_t now_ns) noexcept;

private:
    void earn(std::uint64_t now_ns) noexcept;

    std::uint32_t percent_;
    bool open_ = true;
    bool started_ = false;
    std::uint64_t earned_until_ns_ = 0;
    double credit_ns_ = burst_ns * percent_ / 100;
};

/// The budget that a device's queues share, on however many workers they are. Without a limit, asking costs a load.
///
/// Thread: any.
class SharedPollBudget {
public:
    explicit SharedPollBudget(std::uint32_t percent = 100) noexcept : limited_(percent < 100), budget_(percent) {}

    void set(std::uint32_t percent) noexcept {
        const std::lock_guard lock(mutex_);
        budget_ = PollBudget(percent);
        limited_.store(percent < 100, std::memory_order_relaxed);
    }
    bool spend(std::uint64_t now_ns, std::uint64_t empty_ns) noexcept {
        if (!limited_.load(std::memory_order_relaxed)) {
            return true;
        }
        const std::lock_guard lock(mutex_);
        budget_.spend(now_ns, empty_ns);
        return budget_.open(now_ns);
    }
    bool open(std::uint64_t now_ns) noexcept {
        if (!limited_.load(std::memory_order_relaxed)) {
            return true;
        }
        const std::lock_guard lock(mutex_);
        return budget_.open(now_ns);
    }

private:
    std::atomic<bool> limited_;
    std::mutex mutex_;
    PollBudget budget_;
};

}  // namespace sidecore::engine
