// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <linux/if_xdp.h>

#include "base/barrier.hh"

namespace sidecore::network {

/// Where the parts of a ring lie that is shared with the kernel. The indices count on and on; their low bits say which entry is meant.
struct XdpRingMemory {
    std::uint32_t* producer = nullptr;
    std::uint32_t* consumer = nullptr;
    std::uint32_t* flags = nullptr;
    void* entries = nullptr;
    std::uint32_t size = 0;  ///< entries, a power of two
};

/// The end of a ring that entries are put in at: of the fill ring and of the transmit ring.
///
/// Thread: one at a time; where it says so, any.
template <typename Entry>
class XdpProducer {
public:
    explicit XdpProducer(const XdpRingMemory& memory) noexcept
        : memory_(memory), next_(std::atomic_ref(*memory.producer).load(std::memory_order_relaxed)) {}

    /// There has to be room. The kernel sees it after publish().
    void put(const Entry& entry) noexcept {
        static_cast<Entry*>(memory_.entries)[next_ & (memory_.size - 1)] = entry;
        ++next_;
    }

    void publish() noexcept { std::atomic_ref(*memory_.producer).store(next_, std::memory_order_release); }

    /// Whether the kernel has taken all that was published. Any thread.
    bool drained() const noexcept {
        const std::uint32_t taken = std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire);
        return taken == std::atomic_ref(*memory_.producer).load(std::memory_order_acquire);
    }

    /// How far the kernel has come. Any thread.
    std::uint32_t taken() const noexcept { return std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire); }

    /// Whether the kernel only looks at what was published if a system call tells it to. Any thread.
    bool needs_wakeup() const noexcept {
        // Pairs with the driver's: it sets the flag, then looks at the ring once more. Without the barrier the flag could be read before
        // publish() is seen, and what was published would lie there until something else wakes the driver.
        store_load_barrier();
        return (std::atomic_ref(*memory_.flags).load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP) != 0;
    }

private:
    const XdpRingMemory memory_;
    std::uint32_t next_;
};

/// The end of a ring that entries are taken out at: of the receive ring and of the completion ring. Threads as XdpProducer.
template <typename Entry>
class XdpConsumer {
public:
    explicit XdpConsumer(const XdpRingMemory& memory) noexcept
        : memory_(memory), next_(std::atomic_ref(*memory.consumer).load(std::memory_order_relaxed)), seen_(next_) {}

    /// Whether there is an entry. Looks at what the kernel has added only when what it had last time has been taken.
    bool available() noexcept {
        if (seen_ == next_) {
            seen_ = std::atomic_ref(*memory_.producer).load(std::memory_order_acquire);
        }
        return seen_ != next_;
    }

    /// Whether all have been taken that were there at the last look.
    bool used_up() const noexcept { return seen_ == next_; }

    /// The next entry; there has to be one. The kernel may have its place again after publish().
    Entry take() noexcept { return static_cast<const Entry*>(memory_.entries)[next_++ & (memory_.size - 1)]; }

    void publish() noexcept { std::atomic_ref(*memory_.consumer).store(next_, std::memory_order_release); }

    /// Whether there is an entry that was not taken, as far as publish() has said. Any thread.
    bool any() const noexcept {
        const std::uint32_t taken = std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire);
        return taken != std::atomic_ref(*memory_.producer).load(std::memory_order_acquire);
    }

private:
    const XdpRingMemory memory_;
    std::uint32_t next_;
    std::uint32_t seen_;
};

}  // namespace sidecore::network
