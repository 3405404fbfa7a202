// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace sidecore::engine {

/// Wakes somebody who watches workers when one of them has had work, so that he need not look at idle ones now and then.
///
/// Thread: ring() from workers, the rest from any.
/// Nothing is lost for long: a worker rings again and again while it works (Worker::Options::bell), so a ring that came just before
/// wait() is followed by another.
class ActivityBell {
public:
    /// One load unless somebody waits.
    void ring() noexcept {
        if (awaited_.load(std::memory_order_relaxed)) {
            stop_waiting();
        }
    }

    /// Until the next ring() or stop(). False: stopped.
    bool wait() {
        std::unique_lock lock(mutex_);
        awaited_.store(!stopped_, std::memory_order_relaxed);
        rung_.wait(lock, [this] { return !awaited_.load(std::memory_order_relaxed); });
        return !stopped_;
    }

    /// Until `duration` has passed, whatever rings, or stop(). False: stopped.
    template <typename Duration>
    bool pause(Duration duration) {
        std::unique_lock lock(mutex_);
        return !rung_.wait_for(lock, duration, [this] { return stopped_; });
    }

    /// Ends all waiting, now and later.
    void stop() {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        awaited_.store(false, std::memory_order_relaxed);
        rung_.notify_all();
    }

private:
    void stop_waiting() {
        const std::lock_guard lock(mutex_);
        awaited_.store(false, std::memory_order_relaxed);
        rung_.notify_all();
    }

    std::atomic<bool> awaited_{false};
    std::mutex mutex_;
    std::condition_variable rung_;
    bool stopped_ = false;
};

}  // namespace sidecore::engine
