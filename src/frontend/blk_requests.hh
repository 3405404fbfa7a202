// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.hh"
#include "frontend/blk_format.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guarded_buffers.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend {

/// How a request is cut into buffers. To the device a request is a string of bytes that it may read (header, then
/// data) and one that it may write (data, then status): VIRTIO 2.7.4 leaves the cuts to the driver.
struct BlkLayout {
    /// Lengths of the first pieces; what is left is one more. Empty: header, data.
    std::vector<std::uint32_t> readable{};
    /// Likewise. Empty: data, status.
    std::vector<std::uint32_t> writable{};
    bool indirect = false;          ///< in an indirect table ...
    std::size_t direct_pieces = 0;  ///< ... behind this many pieces in the ring's own table
    std::uint32_t alignment = 512;  ///< where pieces start in guest memory ...
    std::uint32_t shift = 0;        ///< ... plus this: 1 makes every buffer odd
};

/// One request. `out` is copied by submit(); `in` stays alive until the request is finished.
struct BlkRequest {
    BlkType type = BlkType::read;
    std::uint64_t sector = 0;
    std::span<const std::byte> out{};  ///< what the device reads behind the header
    std::span<std::byte> in{};         ///< what the device writes before the status
    BlkLayout layout{};
};

struct BlkFinished {
    std::uint64_t ticket = 0;
    BlkStatus status = BlkStatus::not_written;
    std::uint32_t used_length = 0;  ///< bytes, as the device gave it
};

/// virtio-blk requests of any form on one queue, with all that a test wants to know about their end: it keeps guard
/// bytes around every buffer that the device may write, and a device that writes elsewhere is in error.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class BlkRequests {
public:
    struct Options {
        std::uint32_t slots = 32;                   ///< requests in flight
        std::uint32_t bytes_per_slot = 192 * 1024;  ///< all buffers of one request
        std::chrono::milliseconds timeout = std::chrono::seconds(10);
        bool polling = false;  ///< suppress calls and spin, or ask for calls and sleep
    };

    static Result<BlkRequests> create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options);

    /// Offers a request; the device sees it after the queue's publish(). Returns a ticket, or out_of_range when slots,
    /// a slot's bytes or descriptors do not suffice.
    Result<std::uint64_t> submit(const BlkRequest& request);

    /// The requests that have finished, at least one. Errors: timed_out; protocol_violation (the queue's violation, or
    /// bytes written outside of the buffers).
    Result<std::vector<BlkFinished>> collect();

    /// Submits, publishes and waits for this request. Nothing else is in flight.
    Result<BlkFinished> run(const BlkRequest& request);

    // The usual layout, and any status but ok an error.
    Result<void> read(std::uint64_t sector, std::span<std::byte> into);
    Result<void> write(std::uint64_t sector, std::span<const std::byte> data);
    Result<void> flush();
    Result<std::string> get_id();
    Result<void> discard(std::span<const BlkRange> ranges);
    Result<void> write_zeroes(std::span<const BlkRange> ranges);

    std::size_t in_flight() const noexcept { return slots_.size() - idle_.size(); }
    DriverQueue& queue() noexcept { return *queue_; }

private:
    struct Slot {
        GuestBuffer table;
        GuardedBuffers buffers;  ///< of the request in flight: readable ones, then writable ones
        BlkRequest request;
        std::size_t readable_pieces = 0;
        std::uint64_t ticket = 0;
        std::uint16_t head = 0;
        bool busy = false;
    };

    BlkRequests(DriverQueue& queue, const Options& options);
    static Result<void> place(Slot& slot);
    Result<BlkFinished> finish(const Used& used);
    Result<void> run_plain(BlkType type, std::uint64_t sector, std::span<const std::byte> out, std::span<std::byte> in);

    DriverQueue* queue_;
    Options options_;
    std::vector<Slot> slots_;
    std::vector<std::size_t> idle_;  // indexes of slots
    std::uint64_t next_ticket_ = 1;
};

}  // namespace sidecore::frontend
