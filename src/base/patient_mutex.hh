// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace sidecore {

/// A mutex whose lock can be waited for for a limited time. What std::timed_mutex is, too, but for ThreadSanitizer: clang 14's does
/// not know the system's function for that, and takes the mutex for unlocked.
///
/// Thread: any. For std::lock_guard and std::unique_lock.
class PatientMutex {
public:
    void lock() {
        std::unique_lock inner(mutex_);
        unlocked_.wait(inner, [this] { return !locked_; });
        locked_ = true;
    }

    bool try_lock_for(std::chrono::nanoseconds limit) {
        std::unique_lock inner(mutex_);
        if (!unlocked_.wait_for(inner, limit, [this] { return !locked_; })) {
            return false;
        }
        locked_ = true;
        return true;
    }

    void unlock() {
        {
            const std::lock_guard inner(mutex_);
            locked_ = false;
        }
        unlocked_.notify_one();
    }

private:
    std::mutex mutex_;
    std::condition_variable unlocked_;
    bool locked_ = false;
};

}  // namespace sidecore
