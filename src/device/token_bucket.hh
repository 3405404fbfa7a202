// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sidecore::device {

/// So many tokens in so many nanoseconds; neither is 0.
struct TokenRate {
    std::uint64_t tokens = 1;
    std::uint64_t per_ns = 1;
};

/// Tokens that come at a steady rate and are saved up to a limit, the burst; what costs more than there are has to wait.
///
/// Thread: any, without a lock. Times are of one clock that does not go back.
///
/// Invariants:
///  1. What take() has given in any time of t ns is no more than the burst and what t ns bring, rounded up; more only by a single cost that
///     is greater than the burst, which is given when the bucket is full and leaves a debt.
///  2. What has come is reckoned from the beginning, not added up, so no rounding adds up either.
///  3. All is modulo 2^64 tokens. A bucket may be used for as long as it likes and may rest for as long as 2^63 tokens take to come: 5.8 years
///     at 400 Gbit/s in bytes.
class TokenBucket {
public:
    /// Full at first. `burst`: at least 1 token, below 2^62.
    TokenBucket(TokenRate rate, std::uint64_t burst, std::uint64_t now_ns) noexcept
        : rate_(rate), burst_(burst), begin_ns_(now_ns) {}

    /// Takes what as many of the costs take as there are tokens for, from the front. How many those are.
    std::size_t take(std::span<const std::uint64_t> costs, std::uint64_t now_ns) noexcept;
    bool take(std::uint64_t cost, std::uint64_t now_ns) noexcept { return take({&cost, 1}, now_ns) == 1; }

    /// Takes it in any case, on credit if need be.
    void charge(std::uint64_t cost, std::uint64_t now_ns) noexcept;

    /// What take() has just given and was not used.
    void give_back(std::uint64_t cost) noexcept { taken_.fetch_sub(cost, std::memory_order_relaxed); }

    /// When take() will have that much if nobody else takes any: nanoseconds from now; 0: it has.
    std::uint64_t wait_ns(std::uint64_t cost, std::uint64_t now_ns) const noexcept;

    std::uint64_t burst() const noexcept { return burst_; }

private:
    /// Tokens that have come so far.
    std::uint64_t earned(std::uint64_t now_ns) const noexcept;

    const TokenRate rate_;
    const std::uint64_t burst_;
    const std::uint64_t begin_ns_;
    // Up to which token they are taken, counted as earned() counts; the bucket is full when it is not ahead of that. Relaxed everywhere: nothing
    // but itself depends on it.
    std::atomic<std::uint64_t> taken_{0};
};

}  // namespace sidecore::device
