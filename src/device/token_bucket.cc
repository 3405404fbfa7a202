// SPDX-License-Identifier: Apache-2.0
#include "device/token_bucket.hh"

#include <algorithm>
#include <limits>

namespace sidecore::device {

namespace {

// 2^63 ns times 4 * 10^11 bits, or 2^64 tokens times 8 * 10^9 ns: fits in 128 bits only.
__extension__ using Wide = unsigned __int128;

/// How far `taken` is ahead of `earned`, modulo 2^64: negative if it is behind.
std::int64_t ahead(std::uint64_t taken, std::uint64_t earned) noexcept {
    return static_cast<std::int64_t>(taken - earned);
}

std::uint64_t since(std::uint64_t begin_ns, std::uint64_t now_ns) noexcept {
    return now_ns - std::min(begin_ns, now_ns);  // another thread may have read the clock before the bucket was made
}

}  // namespace

std::uint64_t TokenBucket::earned(std::uint64_t now_ns) const noexcept {
    return static_cast<std::uint64_t>(Wide{since(begin_ns_, now_ns)} * rate_.tokens / rate_.per_ns);
}

std::size_t TokenBucket::take(std::span<const std::uint64_t> costs, std::uint64_t now_ns) noexcept {
    const std::uint64_t come = earned(now_ns);
    std::uint64_t seen = taken_.load(std::memory_order_relaxed);
    while (true) {
        const std::int64_t over = std::max<std::int64_t>(ahead(seen, come), 0);
        const std::int64_t level = static_cast<std::int64_t>(burst_) - over;
        std::uint64_t sum = 0;
        std::size_t count = 0;
        for (; count < costs.size(); ++count) {
            const std::uint64_t with_it = sum + costs[count];
            const std::uint64_t needed = count == 0 ? std::min(with_it, burst_) : with_it;
            if (static_cast<std::int64_t>(needed) > level) {
                break;
            }
            sum = with_it;
        }
        if (count == 0 || taken_.compare_exchange_weak(seen, come + static_cast<std::uint64_t>(over) + sum,
                                                       std::memory_order_relaxed)) {
            return count;
        }
    }
}

void TokenBucket::charge(std::uint64_t cost, std::uint64_t now_ns) noexcept {
    const std::uint64_t come = earned(now_ns);
    std::uint64_t seen = taken_.load(std::memory_order_relaxed);
    while (
        !taken_.compare_exchange_weak(seen, (ahead(seen, come) > 0 ? seen : come) + cost, std::memory_order_relaxed)) {
    }
}

std::uint64_t TokenBucket::wait_ns(std::uint64_t cost, std::uint64_t now_ns) const noexcept {
    const std::uint64_t elapsed_ns = since(begin_ns_, now_ns);
    const Wide come = Wide{elapsed_ns} * rate_.tokens / rate_.per_ns;
    const std::int64_t over =
        std::max<std::int64_t>(ahead(taken_.load(std::memory_order_relaxed), static_cast<std::uint64_t>(come)), 0);
    const std::int64_t missing =
        over + static_cast<std::int64_t>(std::min(cost, burst_)) - static_cast<std::int64_t>(burst_);
    if (missing <= 0) {
        return 0;
    }
    const Wide at = ((come + static_cast<std::uint64_t>(missing)) * rate_.per_ns + rate_.tokens - 1) / rate_.tokens;
    return static_cast<std::uint64_t>(std::min<Wide>(at - elapsed_ns, std::numeric_limits<std::uint64_t>::max()));
}

}  // namespace sidecore::device
