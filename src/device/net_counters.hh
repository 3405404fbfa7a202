// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace sidecore::device {

/// What a network queue has done, apart from what the engine counts of every queue. X(name)
#define SIDECORE_NET_COUNTERS(X)                                              \
    X(packets)           /* that went through */                              \
    X(bytes)             /* of these, from the Ethernet header on */          \
    X(dropped_too_short) /* no room for an Ethernet header */                 \
    X(dropped_too_long)  /* longer than any packet can be */                  \
    X(dropped_bad_info)  /* the virtio header cannot be true of the packet */ \
    X(dropped_no_room)   /* the guest's buffers can never hold it */          \
    X(throttled)         /* times that a rate limit held the queue up */      \
    X(throttled_ns)      /* how long it did, all in all */

// NOLINTBEGIN(bugprone-macro-parentheses): they declare what they are given
#define SIDECORE_DECLARE_NET_COUNTER(name) NetCounter name;
#define SIDECORE_DECLARE_NET_VALUE(name) std::uint64_t name = 0;
// NOLINTEND(bugprone-macro-parentheses)

/// Written by one thread at a time, read by any.
class NetCounter {
public:
    void add(std::uint64_t count) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    }
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// One queue's, over all front-ends that it has had. Alone on its cache line.
struct alignas(64) NetCounters {
    SIDECORE_NET_COUNTERS(SIDECORE_DECLARE_NET_COUNTER)
};

/// A moment's copy, or a sum of such.
struct NetCounts {
    SIDECORE_NET_COUNTERS(SIDECORE_DECLARE_NET_VALUE)

    void add(const NetCounters& counters) noexcept {
#define SIDECORE_ADD_NET_COUNTER(name) (name) += counters.name.get();
        SIDECORE_NET_COUNTERS(SIDECORE_ADD_NET_COUNTER)
#undef SIDECORE_ADD_NET_COUNTER
    }
};

#undef SIDECORE_DECLARE_NET_COUNTER
#undef SIDECORE_DECLARE_NET_VALUE

}  // namespace sidecore::device
