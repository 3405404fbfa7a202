// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <linux/if_xdp.h>
#include <span>
#include <sys/socket.h>
#include <sys/types.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "network/packet_tools.hh"
#include "network/xdp_ring.hh"

namespace sidecore::network::test {

/// A ring in ordinary memory, and the kernel's end of it.
template <typename Entry>
class FakeXdpRing {
public:
    explicit FakeXdpRing(std::uint32_t size) : entries_(size) {}

    XdpRingMemory memory() { return {&producer_, &consumer_, &flags_, entries_.data(), size()}; }
    std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size()); }

    /// What the program under test has put in and the kernel has not taken.
    std::uint32_t waiting() {
        return std::atomic_ref(producer_).load(std::memory_order_acquire) - std::atomic_ref(consumer_).load();
    }
    Entry take() {
        EXPECT_NE(waiting(), 0U);
        const std::uint32_t at = std::atomic_ref(consumer_).load();
        const Entry entry = entries_[at % size()];
        std::atomic_ref(consumer_).store(at + 1, std::memory_order_release);
        return entry;
    }
    void put(const Entry& entry) {
        const std::uint32_t at = std::atomic_ref(producer_).load();
        EXPECT_LT(at - std::atomic_ref(consumer_).load(std::memory_order_acquire), size()) << "more than there is room";
        entries_[at % size()] = entry;
        std::atomic_ref(producer_).store(at + 1, std::memory_order_release);
    }
    void ask_for_wakeups(bool wanted) {
        std::atomic_ref(flags_).store(wanted ? XDP_RING_NEED_WAKEUP : 0U, std::memory_order_seq_cst);
    }

private:
    std::uint32_t producer_ = 0;
    std::uint32_t consumer_ = 0;
    std::uint32_t flags_ = 0;
    std::vector<Entry> entries_;
};

/// Two ends of a socket: what is sent on the first, and be it empty, can be counted on the second.
struct KickSocket {
    KickSocket() {
        std::array<int, 2> fds{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
        near = Fd(fds[0]);
        far = Fd(fds[1]);
    }
    int kicks() const {
        int count = 0;
        for (char byte = 0; ::recv(far.get(), &byte, sizeof byte, 0) >= 0;) {
            ++count;
        }
        return count;
    }
    Fd near;
    Fd far;
};

}  // namespace sidecore::network::test
