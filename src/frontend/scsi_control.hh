// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/request_slots.hh"
#include "frontend/scsi_format.hh"

namespace sidecore::frontend {

/// The control queue of a virtio-scsi driver.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class ScsiControl {
public:
    using Options = RequestSlots::Options;

    struct Finished {
        std::uint64_t ticket = 0;
        ScsiResponse response = ScsiResponse::not_written;
        std::uint32_t used_length = 0;
        std::uint32_t events = 0;  ///< of an answer that has room for them
    };

    static Result<ScsiControl> create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options);

    // Each offers a request and returns its ticket.
    Result<std::uint64_t> submit(ScsiFunction function, const ScsiLun& lun, std::uint64_t id = 0,
                                 const RequestLayout& layout = {});
    Result<std::uint64_t> submit_notifications(std::uint32_t type, const ScsiLun& lun, std::uint32_t events,
                                               const RequestLayout& layout = {});
    /// Any bytes at all, with so much room for an answer.
    Result<std::uint64_t> submit_raw(std::span<const std::byte> request, std::size_t answer_bytes,
                                     const RequestLayout& layout = {});

    /// Those that have finished by now; and at least one.
    Result<std::vector<Finished>> take();
    Result<std::vector<Finished>> collect();

    /// Submits, publishes and waits. Nothing else is in flight.
    Result<ScsiResponse> run(ScsiFunction function, const ScsiLun& lun, std::uint64_t id = 0);

    Result<void> check_finished() const { return slots_.check_finished(); }
    DriverQueue& queue() noexcept { return slots_.queue(); }

private:
    explicit ScsiControl(RequestSlots slots) : slots_(std::move(slots)) {}
    static std::vector<Finished> read(const std::vector<RequestSlots::Finished>& all);

    RequestSlots slots_;
};

/// The event queue of a virtio-scsi driver: a buffer for each event that may come.
///
/// Thread: likewise.
class ScsiEventBuffers {
public:
    static Result<ScsiEventBuffers> create(GuestMemoryFile& memory, DriverQueue& queue, std::uint32_t buffers);

    /// Makes a buffer available, which the device sees after the queue's publish().
    Result<void> add(const RequestLayout& layout = {});

    /// What has been told by now; and at least one.
    Result<std::vector<ScsiEvent>> take();
    Result<std::vector<ScsiEvent>> collect();

    DriverQueue& queue() noexcept { return slots_.queue(); }

private:
    explicit ScsiEventBuffers(RequestSlots slots) : slots_(std::move(slots)) {}
    static Result<std::vector<ScsiEvent>> read(const std::vector<RequestSlots::Finished>& all);

    RequestSlots slots_;
};

}  // namespace sidecore::frontend
