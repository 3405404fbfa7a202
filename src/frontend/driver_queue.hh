// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/split_ring.hh"

namespace sidecore::frontend {

struct QueueOptions {
    std::uint16_t size = 256;       ///< a power of two, 1 to 32768
    bool event_index = true;        ///< VIRTIO_F_EVENT_IDX has been negotiated
    std::uint16_t first_index = 0;  ///< where both indexes start (SET_VRING_BASE): near 65535 to test the wrap
    std::optional<std::size_t> region = std::nullopt;  ///< memory region for the ring; none: the first with room
};

/// One buffer of a chain.
struct Piece {
    memory::GuestAddress address;
    std::uint32_t length = 0;  ///< bytes
    bool device_writable = false;
};

/// A chain that came back.
struct Used {
    std::uint16_t head = 0;
    std::uint32_t length = 0;  ///< bytes that the device says it wrote
};

/// Written by the queue's thread; plain numbers, so read them there.
struct DriverQueueStatistics {
    std::uint64_t requests = 0;      ///< chains published
    std::uint64_t publications = 0;  ///< times that the available index moved
    std::uint64_t used = 0;          ///< chains reaped
    std::uint64_t kicks_sent = 0;
    std::uint64_t kicks_suppressed = 0;  ///< publications that the device did not want to be told about
    std::uint64_t calls_received = 0;    ///< counted when the call descriptor is read
};

/// The driver's side of a split virtqueue (VIRTIO 2.7), written from the specification for tests and for load.
///
/// A chain is *formatted* (it takes descriptors), *offered* (it goes into the available ring; the device cannot see it
/// yet), *published* with all others offered since, *reaped*, and then either offered again as it is or *released*.
/// So a load generator formats its chains once, and a request costs no more than the line with its header, an entry of
/// each ring, and its share of two indexes.
///
/// Thread: one thread at a time. The memory outlives the queue.
/// Invariants:
///  1. No call after create() and format() allocates; no call but kick() and wait_for_call() enters the kernel.
///  2. A device that breaks the rules (an unknown head, a head twice, more used than offered, more written than there was
///     room for) is found out by reap(), which then returns nothing any more; violation() says what it was.
class DriverQueue {
public:
    static Result<DriverQueue> create(GuestMemoryFile& memory, const QueueOptions& options);

    /// Makes a chain of `direct` followed by one indirect descriptor that refers to `table` filled with `indirect`, each
    /// of them left out if empty. `table` stays the caller's and has room for 16 bytes per piece. Returns the head, or
    /// nothing when there are too few free descriptors.
    std::optional<std::uint16_t> format(std::span<const Piece> direct, std::span<const Piece> indirect = {},
                                        const GuestBuffer& table = {});

    /// Gives a formatted chain's descriptors back. Not while it is offered.
    void release(std::uint16_t head) noexcept;

    /// Puts a formatted chain into the available ring.
    void offer(std::uint16_t head) noexcept {
        chains_[head].offered = true;
        ring_.set_available_entry(available_next_ & mask_, head);
        ++available_next_;
    }

    /// Lets the device see all that was offered, and kicks it unless it does not want to be. Returns whether it did.
    bool publish() noexcept {
        if (!publish_quietly()) {
            return false;
        }
        if (!kick_wanted_) {
            ++statistics_.kicks_suppressed;
            return false;
        }
        kick();
        return true;
    }

    /// As publish(), and leaves the kick to the caller (kick_wanted()). False: there was nothing to publish.
    bool publish_quietly() noexcept {
        const std::uint16_t before = available_published_;
        if (available_next_ == before) {
            return false;
        }
        // Store and load are both seq_cst: the store-load fence of VIRTIO 2.7.13.4.1. It pairs with the device's fence
        // between asking for kicks and its last look at this index: without either, the device sleeps and we believe
        // that it is still polling.
        ring_.set_available_index(available_next_, std::memory_order_seq_cst);
        available_published_ = available_next_;
        kick_wanted_ = event_index_
                           ? event_passed(ring_.available_event(std::memory_order_seq_cst), available_next_, before)
                           : (ring_.used_flags(std::memory_order_seq_cst) & used_no_notify) == 0;
        ++statistics_.publications;
        statistics_.requests += index_distance(available_next_, before);
        return true;
    }

    /// Whether the device wanted to be told of the last publication.
    bool kick_wanted() const noexcept { return kick_wanted_; }

    /// Signals the kick descriptor, wanted or not.
    void kick() noexcept {
        ++statistics_.kicks_sent;
        signal_eventfd(kick_.get());
    }

    /// Takes up to used.size() chains that the device has finished; returns how many.
    std::size_t reap(std::span<Used> used) noexcept;

    /// Whether the device has finished something that was not reaped yet.
    bool has_used() const noexcept { return ring_.used_index(std::memory_order_acquire) != used_next_; }

    /// Asks the device for no calls: what a polling driver does. Holds until request_calls().
    void suppress_calls() noexcept;

    /// Asks for a call when the next chain is used. True: something came in meanwhile, and there may be no call for it.
    bool request_calls() noexcept;

    /// Waits until the call descriptor is readable, and reads it. False: not within `timeout`.
    bool wait_for_call(std::chrono::milliseconds timeout);

    /// Waits for something to reap: asks for calls, looks again, sleeps. False: not within `timeout`, or broken.
    bool wait_for_used(std::chrono::milliseconds timeout);

    /// Everything as after create(), with the same memory and descriptors: after the device was reset.
    void reset() noexcept;

    const SplitRing& ring() const noexcept { return ring_; }  ///< for tests that break the rules
    std::uint16_t size() const noexcept { return ring_.size(); }
    bool event_index() const noexcept { return event_index_; }
    std::uint16_t free_descriptors() const noexcept { return free_count_; }
    std::uint16_t in_flight() const noexcept { return index_distance(available_published_, used_next_); }
    std::uint16_t available_index() const noexcept { return available_published_; }
    std::uint16_t used_index() const noexcept { return used_next_; }
    int kick_fd() const noexcept { return kick_.get(); }
    int call_fd() const noexcept { return call_.get(); }
    int error_fd() const noexcept { return error_.get(); }
    const DriverQueueStatistics& statistics() const noexcept { return statistics_; }
    const std::string& violation() const noexcept { return violation_; }  ///< empty: none

private:
    static constexpr std::uint16_t none = 0xffff;

    /// What we remember of the chain that starts at a descriptor; guest memory is not where a driver keeps its state.
    struct Chain {
        std::uint32_t writable_bytes = 0;
        std::uint16_t descriptors = 0;  ///< in the ring's own table; 0: no chain starts here
        bool offered = false;
    };

    DriverQueue(SplitRing ring, const QueueOptions& options, Fd kick, Fd call, Fd error);
    void break_queue(std::string what);

    SplitRing ring_;
    std::uint16_t mask_;
    bool event_index_;
    bool calls_suppressed_ = false;
    bool kick_wanted_ = false;
    std::uint16_t first_index_;
    std::uint16_t available_next_;       // the next entry goes here
    std::uint16_t available_published_;  // what the device can see
    std::uint16_t used_next_;            // the next to reap
    std::uint16_t used_event_ = 0;       // what we last asked for
    std::uint16_t free_head_ = 0;
    std::uint16_t free_count_;
    std::vector<std::uint16_t> links_;  // per descriptor: the next of its chain or of the free list
    std::vector<Chain> chains_;         // by head
    DriverQueueStatistics statistics_;
    Fd kick_;
    Fd call_;
    Fd error_;
    std::string violation_;
};

}  // namespace sidecore::frontend
