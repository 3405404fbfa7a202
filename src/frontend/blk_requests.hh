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
#include "frontend/guest_memory_file.hh"
#include "frontend/request_slots.hh"

namespace sidecore::frontend {

using BlkLayout = RequestLayout;

/// One request. `out` is copied by submit(); `in` stays alive until the request is finished.
struct BlkRequest {
    BlkType type = BlkType::read;
    std::uint64_t sector = 0;
    std::span<const std::byte> out{};  ///< what the device reads behind the header
    std::span<std::byte> in{};         ///< what the device writes before the status
    BlkLayout layout{};                ///< usually: header, data; data, status
};

struct BlkFinished {
    std::uint64_t ticket = 0;
    BlkStatus status = BlkStatus::not_written;
    std::uint32_t used_length = 0;  ///< bytes, as the device gave it
};

/// virtio-blk requests of any form on one queue, see RequestSlots.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class BlkRequests {
public:
    using Options = RequestSlots::Options;

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

    std::size_t in_flight() const noexcept { return slots_.in_flight(); }
    DriverQueue& queue() noexcept { return slots_.queue(); }

private:
    explicit BlkRequests(RequestSlots slots) : slots_(std::move(slots)), in_(slots_.slots()) {}
    Result<void> run_plain(BlkType type, std::uint64_t sector, std::span<const std::byte> out, std::span<std::byte> in);

    RequestSlots slots_;
    std::vector<std::span<std::byte>> in_;  // by slot
};

}  // namespace sidecore::frontend
