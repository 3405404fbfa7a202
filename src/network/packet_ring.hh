// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/packet.hh"

namespace sidecore::network {

/// A bounded queue of packets in memory: many producers, one consumer, one copy in and one out, no lock.
///
/// Thread: push() and has_room() from any thread; what is marked as the consumer's from one thread at a time, which may change
/// between calls.
///
/// Invariants:
///  1. Packets come out in the order in which their room was reserved, each one whole, none twice. One whose producer is still copying
///     holds up those behind it; when it is there, the producer sees to the wake-up.
///  2. consumed_ <= reserved_ <= consumed_ + capacity. Both count granules, run freely, and never go back.
///  3. A slot's `bytes` is 0 but from the commit of the packet that begins in its granule to that packet's pop(). Slots are apart from
///     packets, so that no packet's bytes can ever be taken for one.
class PacketRing {
public:
    /// Room is given in units of so many bytes: a cache line, which no two packets share.
    static constexpr std::size_t granule_bytes = 64;

    /// Room for two packets of any length, so that one always fits when the ring is empty.
    static constexpr std::size_t bytes_min = std::size_t{256} << 10U;
    static constexpr std::size_t bytes_max = std::size_t{1} << 30U;

    /// `bytes`: of packets, bytes_min to bytes_max; rounded up to a power of two. The slots take a quarter of that on top.
    static Result<std::unique_ptr<PacketRing>> create(std::size_t bytes);

    PacketRing(const PacketRing&) = delete;
    PacketRing& operator=(const PacketRing&) = delete;
    ~PacketRing() = default;

    /// Copies a packet of 1 to max_packet_bytes in, and wakes the consumer if it sleeps. False: no room now.
    bool push(const Packet& packet) noexcept { return push(std::span(&packet, 1)) == 1; }

    /// As many of them as there is room for, from the front, with one barrier and at most one wake-up for all. How many those are.
    /// Packets of other producers may come between them.
    std::size_t push(std::span<const Packet> packets) noexcept;

    /// Whether a packet of any length would fit now.
    bool has_room() const noexcept;

    /// Consumer. Whether there is no packet to pop() now: one load.
    bool empty() const noexcept { return front_bytes() == 0; }

    /// Consumer. Whether no packet is in it, not even one that pop() does not return yet because another before it is still being copied.
    bool unused() const noexcept {
        return reserved_.load(std::memory_order_relaxed) == consumed_.load(std::memory_order_relaxed);
    }

    /// Consumer. Length of the packet that pop() would return, or 0.
    std::uint32_t front_bytes() const noexcept {
        return slots_[index(consumed_.load(std::memory_order_relaxed))].bytes.load(std::memory_order_acquire);
    }

    /// Consumer. Takes the next packet out, to the front of `room`, which has front_bytes() or more. Its length, or 0 if there is none.
    std::uint32_t pop(PacketInfo& info, std::span<const iovec> room) noexcept;

    /// Consumer. Asks for fd() to be signalled, then looks again. True: the ring is empty, and the next push() signals.
    bool arm() noexcept;

    /// Consumer. It need not be signalled any more; it still may be once.
    void disarm() noexcept { packet_wanted_.store(false, std::memory_order_relaxed); }

    /// Signalled (an eventfd that nobody needs to read, to be watched edge-triggered) for the first packet after arm().
    int fd() const noexcept { return packet_event_.get(); }

    /// The other direction, for producers that would rather wait than lose a packet. They pay for it only where the consumer calls
    /// signal_room() after its pop()s.
    ///
    /// Any producer: asks for room_fd() to be signalled, then looks again. True: there is no has_room(), and it will be signalled.
    bool arm_room() noexcept;

    /// Consumer. After pop()s: wakes producers that wait and now have room. A full barrier.
    void signal_room() noexcept;

    /// As fd(), for arm_room().
    int room_fd() const noexcept { return room_event_.get(); }

private:
    struct Slot {
        std::atomic<std::uint32_t> bytes{0};  // stored last, with release: commits
        PacketInfo info;
    };

    PacketRing(std::size_t granules, Fd packet_event, Fd room_event);

    static std::uint64_t granules_of(std::uint32_t bytes) noexcept {
        return (std::uint64_t{bytes} + granule_bytes - 1) / granule_bytes;
    }
    std::size_t index(std::uint64_t granule) const noexcept { return static_cast<std::size_t>(granule) & mask_; }
    bool put(const Packet& packet) noexcept;
    void copy_in(std::uint64_t granule, const Packet& packet) noexcept;

    struct Aligned {
        void operator()(std::byte* memory) const noexcept {
            ::operator delete[](memory, std::align_val_t{granule_bytes});
        }
    };

    const std::size_t mask_;  // granules - 1
    const std::unique_ptr<Slot[]> slots_;
    const std::unique_ptr<std::byte[], Aligned> data_;
    const Fd packet_event_;
    const Fd room_event_;

    alignas(64) std::atomic<std::uint64_t> reserved_{0};  // producers: granules given away so far
    alignas(64) std::atomic<std::uint64_t> consumed_{0};  // consumer: granules given back so far
    alignas(64) std::atomic<bool> packet_wanted_{false};  // the consumer sleeps, or is about to
    std::atomic<bool> room_wanted_{false};                // likewise a producer
};

}  // namespace sidecore::network
