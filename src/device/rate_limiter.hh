// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.hh"
#include "device/token_bucket.hh"

namespace sidecore::device {

/// What one way of a network device may carry. 0: no such limit.
struct RateLimits {
    static constexpr std::uint64_t max_bits_per_s = 400'000'000'000;
    static constexpr std::uint64_t max_packets_per_s = 1'000'000'000;
    static constexpr std::uint64_t default_burst_ns = 10'000'000;

    std::uint64_t bits_per_s = 0;     ///< of network::WireLoad
    std::uint64_t packets_per_s = 0;  ///< likewise
    /// What may be saved up while nothing goes, as a time at the full rate; one packet at least. 0: default_burst_ns, and at least a packet of
    /// the greatest length.
    std::uint64_t burst_ns = 0;

    bool any() const noexcept { return bits_per_s != 0 || packets_per_s != 0; }
    friend bool operator==(const RateLimits&, const RateLimits&) = default;
};

/// The limits of one way of a device, shared by its queues, each of which has a Throttle.
///
/// Thread: generation() and now_ns() any; all else any, too, with a lock.
class RateLimiter {
public:
    using Clock = std::uint64_t (*)() noexcept;

    /// `clock`: nanoseconds that do not go back.
    explicit RateLimiter(Clock clock = &monotonic_ns) noexcept : clock_(clock) {}
    RateLimiter(const RateLimiter&) = delete;
    RateLimiter& operator=(const RateLimiter&) = delete;
    ~RateLimiter() = default;

    /// From now on these. A limit that changes starts with a full bucket. Queues that wait look again at once.
    void set(const RateLimits& limits);
    RateLimits limits() const;

    /// Null: no such limit.
    struct Buckets {
        std::shared_ptr<TokenBucket> bytes;
        std::shared_ptr<TokenBucket> packets;
        std::uint64_t generation = 0;
    };
    Buckets buckets() const;

    /// Another one since set(): buckets() is out of date.
    std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }
    std::uint64_t now_ns() const noexcept { return clock_(); }

    /// A timerfd that set() makes fire at once; until it is forgotten.
    void wake(int timer_fd);
    void forget(int timer_fd);

private:
    const Clock clock_;
    std::atomic<std::uint64_t> generation_{0};
    mutable std::mutex mutex_;  // for what follows
    RateLimits limits_;
    Buckets buckets_;
    std::vector<int> timers_;
};

/// Makes a timerfd of CLOCK_MONOTONIC fire once, so many nanoseconds (1 or more) from now, instead of whenever it would have.
void set_timer(int timer_fd, std::uint64_t wait_ns) noexcept;

}  // namespace sidecore::device
