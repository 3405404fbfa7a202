// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "base/error.hh"
#include "memory/memory_map.hh"
#include "virtqueue/queue_fault.hh"
#include "virtqueue/split_layout.hh"

namespace sidecore::virtqueue {

/// A buffer of the driver, checked and translated: host memory in order, device-readable parts first.
struct DescriptorChain {
    std::uint16_t head = 0;
    std::span<iovec> readable;
    std::span<iovec> writable;
    std::uint64_t readable_bytes = 0;
    std::uint64_t writable_bytes = 0;
};

enum class PopResult : std::uint8_t { chain, empty, broken };

/// The device side of a split virtqueue (VIRTIO 1.3, 2.7).
///
/// Thread: one at a time; the driver works on the same memory from wherever it runs.
///
/// Invariants:
///  1. The driver is hostile. Everything of its memory that is checked is read exactly once, with an atomic
///  load, into
///     our own; the copy is checked and used.
///  2. A fault is sticky: once broken, a queue pops nothing, publishes nothing and writes no guest memory.
///  3. No lost wake-up: arm() stores its wish to be kicked, has a store_load_barrier(), and looks at the
///  available
///     index. The driver stores the index, has a barrier, and looks at the wish. One of the two sees the
///     other.
///  4. No allocation, no lock, no system call in anything but create() and rebind().
class SplitQueue final {
public:
    struct Setup {
        std::uint32_t size = 0;  ///< a power of two, 1 to 32768
        memory::UserAddress descriptor;
        memory::UserAddress available;
        memory::UserAddress used;
        std::uint16_t next_available = 0;
        /// The device uses chains in the order in which it takes them. Then the used index says too where to go on, and counts more: it is
        /// what the driver has seen. A front-end that has lost its back-end, and with it the number of the next chain, may start again at 0
        /// (DPDK's virtio-user does so).
        bool in_order = false;
        bool event_index = false;  ///< VIRTIO_F_EVENT_IDX negotiated
        bool indirect = false;     ///< VIRTIO_F_INDIRECT_DESC negotiated
    };

    /// Fails if the size is impossible, a part of the ring is misaligned or not in `map` as one piece, or
    /// `map` is damaged. Fills in the used ring's flags and avail_event; the driver is not asked for kicks
    /// yet.
    static Result<SplitQueue> create(std::shared_ptr<const memory::MemoryMap> map, const Setup& setup);

    /// The guest's memory is now `map`; nothing popped from the old one may still be in use. On failure the
    /// queue breaks; a queue broken before takes the map and stays as it is.
    Result<void> rebind(std::shared_ptr<const memory::MemoryMap> map);

    /// Whether the driver has made something available that was not popped yet. At most one load, none while some of what was there at the last
    /// look is left: the driver's line stays with the driver. False once broken.
    bool has_available() const noexcept {
        // In this order: after a failed rebind() the index is not where it was.
        return !fault_ &&
               (known_available_ != next_available_ ||
                std::atomic_ref<std::uint16_t>(*available_index_).load(std::memory_order_acquire) != next_available_);
    }

    /// How far the driver is ahead, unchecked: for statistics and scheduling. One load; 0 once broken.
    std::uint16_t pending() const noexcept {
        return fault_ ? std::uint16_t{0}
                      : static_cast<std::uint16_t>(
                            std::atomic_ref<std::uint16_t>(*available_index_).load(std::memory_order_relaxed) -
                            next_available_);
    }

    /// How many chains can be popped now. Looks at the driver's index. 0 if broken, also when this look broke
    /// it.
    std::uint16_t available() noexcept;

    /// What available() has promised and is not popped yet, without a look at the driver's index.
    std::uint16_t known_available() const noexcept { return index_distance(known_available_, next_available_); }

    /// Asks the CPU to fetch the descriptors of the next `count` chains, which available() has promised.
    void prefetch(std::uint16_t count) const noexcept;

    /// Takes the next chain. Its segments are laid into `segments`, which bounds their number, and stay valid
    /// as long as the map does.
    PopResult pop(std::span<iovec> segments, DescriptorChain& chain) noexcept;

    /// Puts the last `count` chains popped, none of which has been pushed, back to where they were: the next pop() takes them again.
    void unpop(std::uint16_t count) noexcept;

    /// Hands a chain back, `written` bytes of it filled from its first device-writable byte on. The driver
    /// sees it after publish().
    void push(std::uint16_t head, std::uint32_t written) noexcept;

    /// Shows the driver all that was pushed. True: the driver wants to be called now. One decision per batch (2.7.7).
    bool publish() noexcept {
        show();
        return wants_call();
    }

    /// The first half of publish(): the driver sees what was pushed, and nobody asks yet whether it wants to be called.
    void show() noexcept;

    /// The second half, for all batches shown since the last time. At most 32767 chains may be undecided, else what the
    /// driver wants cannot be told any more.
    bool wants_call() noexcept;

    /// Chains shown and not decided about.
    std::uint16_t undecided() const noexcept { return static_cast<std::uint16_t>(published_ - decided_); }

    /// Asks for kicks and looks again. True: nothing available, the next chain brings a kick.
    bool arm() noexcept { return arm_beyond(0); }

    /// The same for somebody who cannot use `count` chains that are available, but could use more. True: there are no more.
    bool arm_beyond(std::uint16_t count) noexcept;

    /// Asks for no kicks (2.7.10).
    void disarm() noexcept;

    /// Marks the queue broken for a reason of the caller's. The first reason stays.
    void break_with(QueueFault fault) noexcept;

    /// Checks whether the front-end truncated the memory behind this queue; breaks it if so. Cheap.
    void check_memory() noexcept;

    const QueueFault& fault() const noexcept { return fault_; }
    bool broken() const noexcept { return static_cast<bool>(fault_); }
    std::uint32_t size() const noexcept { return setup_.size; }
    /// The next chain to take. After create() with Setup::in_order not always what was asked for.
    std::uint16_t next_available() const noexcept { return next_available_; }
    /// Chains popped and not pushed yet: never more than size().
    std::uint16_t in_flight() const noexcept { return in_flight_; }
    const memory::MemoryMap& map() const noexcept { return *map_; }

private:
    SplitQueue(std::shared_ptr<const memory::MemoryMap> map, const Setup& setup) noexcept;
    Result<void> resolve();

    static Descriptor load_descriptor(const std::byte* place) noexcept;
    bool load_indirect(memory::GuestAddress table, std::uint32_t index, Descriptor& out) const noexcept;
    PopResult fail(QueueFault::Kind kind, std::uint16_t head, std::uint64_t a, std::uint64_t b = 0) noexcept;
    void suppress_by_event() noexcept;

    struct Walk;
    bool take_single(const Descriptor& descriptor, std::span<iovec> segments, DescriptorChain& chain) const noexcept;
    bool walk_chain(Descriptor descriptor, std::uint16_t head, std::span<iovec> segments,
                    DescriptorChain& chain) noexcept;
    bool append(Walk& walk, const Descriptor& descriptor, std::uint64_t index) noexcept;
    bool walk_indirect(Walk& walk, const Descriptor& descriptor, std::uint32_t index) noexcept;

    // Read by every poll.
    std::uint16_t* available_index_ = nullptr;
    std::uint16_t next_available_ = 0;   // next place of the available ring to take
    std::uint16_t known_available_ = 0;  // the driver's index as last seen
    std::uint16_t next_used_ = 0;        // next place of the used ring to fill
    std::uint16_t published_ = 0;        // what the driver sees of next_used_
    std::uint16_t in_flight_ = 0;        // popped and not pushed
    std::uint16_t kick_event_ = 0;       // event index form: what avail_event holds
    bool suppressed_ = false;            // flag form: what used.flags holds
    std::uint16_t decided_ = 0;          // up to where the driver was called, or wanted no call
    bool first_call_ = true;             // what the driver waits for is not known yet
    QueueFault fault_;
    std::uint32_t index_mask_ = 0;
    const std::byte* descriptors_ = nullptr;
    std::byte* available_ = nullptr;
    std::byte* used_ = nullptr;
    std::uint64_t damages_seen_ = 0;

    Setup setup_;
    std::shared_ptr<const memory::MemoryMap> map_;
};

}  // namespace sidecore::virtqueue
