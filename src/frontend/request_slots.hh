// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guarded_buffers.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend {

/// How a request is cut into buffers. To the device a request is a string of bytes that it may read (a header, then
/// data) and one that it may write: VIRTIO 2.7.4 leaves the cuts to the driver.
struct RequestLayout {
    /// Lengths of the first pieces; what is left is one more. Empty: as usual for the device type.
    std::vector<std::uint32_t> readable{};
    std::vector<std::uint32_t> writable{};
    bool indirect = false;          ///< in an indirect table ...
    std::size_t direct_pieces = 0;  ///< ... behind this many pieces in the ring's own table
    std::uint32_t alignment = 512;  ///< where pieces start in guest memory ...
    std::uint32_t shift = 0;        ///< ... plus this: 1 makes every buffer odd
};

/// Requests of any form and of any device type on one queue, with all that a test wants to know about their end: there are guard
/// bytes around every buffer that the device may write, and in the buffers that it has given back, and a device that writes there is in error.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class RequestSlots {
public:
    struct Options {
        std::uint32_t slots = 32;                   ///< requests in flight
        std::uint32_t bytes_per_slot = 192 * 1024;  ///< all buffers of one request
        std::chrono::milliseconds timeout = std::chrono::seconds(10);
        bool polling = false;  ///< suppress calls and spin, or ask for calls and sleep
    };

    /// The two strings. What is to be read is copied.
    struct Strings {
        std::span<const std::byte> header{};
        std::span<const std::byte> data{};  ///< follows the header
        std::uint64_t writable_bytes = 0;
        std::uint64_t preset_at =
            0;  ///< where a byte of 0xff is put into the writable string, which shows whether the device wrote there
    };

    struct Finished {
        std::uint64_t ticket = 0;
        std::size_t slot = 0;
        std::uint32_t used_length = 0;     ///< bytes, as the device gave it
        std::vector<std::byte> written{};  ///< the whole of what it may write; what it did not write are guard bytes
    };

    struct Submitted {
        std::uint64_t ticket = 0;
        std::size_t slot = 0;
    };

    static constexpr std::byte not_written{0xff};

    static Result<RequestSlots> create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options);

    /// Offers a request; the device sees it after the queue's publish(). Error: out_of_range when slots, a slot's bytes or
    /// descriptors do not suffice.
    Result<Submitted> submit(const Strings& strings, const RequestLayout& layout);

    /// The requests that have finished by now. Error: protocol_violation (the queue's violation, or bytes written outside of the buffers).
    Result<std::vector<Finished>> take();

    /// The requests that have finished, at least one: waits for it. Error: also timed_out.
    Result<std::vector<Finished>> collect();

    /// That nobody has written to the buffers of finished requests since. Error: protocol_violation.
    Result<void> check_finished() const;

    std::size_t in_flight() const noexcept { return slots_.size() - idle_.size(); }
    std::size_t slots() const noexcept { return slots_.size(); }
    DriverQueue& queue() const noexcept { return *queue_; }

private:
    struct Slot {
        GuestBuffer table;
        GuardedBuffers buffers;  ///< of the last request: readable ones, then writable ones
        std::size_t readable_pieces = 0;
        std::uint64_t writable_bytes = 0;
        std::uint64_t ticket = 0;
        std::uint16_t head = 0;
        bool busy = false;
    };

    RequestSlots(DriverQueue& queue, const Options& options) : queue_(&queue), options_(options) {}
    Result<void> place(Slot& slot, const Strings& strings, const RequestLayout& layout);
    Result<Finished> finish(const Used& used);

    DriverQueue* queue_;
    Options options_;
    std::vector<Slot> slots_;
    std::vector<std::size_t> idle_;  // indexes of slots
    std::uint64_t next_ticket_ = 1;
};

}  // namespace sidecore::frontend
