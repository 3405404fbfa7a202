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

/// One request. `out` is copied by submit(); `in` stays alive until the request is finished.
struct ScsiRequest {
    std::vector<std::byte> cdb{};  ///< the rest of its field is zero
    ScsiLun lun = scsi_lun(0, 0);
    std::span<const std::byte> out{};
    std::span<std::byte> in{};
    std::uint64_t id = 0;
    std::uint8_t task_attribute = scsi_simple;
    std::uint8_t priority = 0;
    std::uint8_t command_reference = 0;
    RequestLayout layout{};  ///< usually: header, data; answer, data
};

struct ScsiFinished {
    std::uint64_t ticket = 0;
    ScsiResponse response = ScsiResponse::not_written;
    std::uint8_t status = 0;
    std::uint16_t status_qualifier = 0;
    std::uint32_t residual = 0;
    std::uint32_t sense_bytes = 0;   ///< as the device gave it
    std::vector<std::byte> sense{};  ///< all of its room
    std::uint32_t used_length = 0;   ///< bytes, as the device gave it

    bool good() const noexcept { return response == ScsiResponse::ok && status == 0; }
};

/// virtio-scsi requests of any form on one request queue, see RequestSlots.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class ScsiRequests {
public:
    using Options = RequestSlots::Options;

    static Result<ScsiRequests> create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options);

    /// What the driver has written to the configuration space; for requests from now on, none of which is in flight.
    void set_sizes(std::uint32_t sense_size, std::uint32_t cdb_size) noexcept;

    /// Offers a request and returns its ticket; the device sees it after the queue's publish(). Errors: as RequestSlots; invalid_argument if
    /// the CDB is longer than its field.
    Result<std::uint64_t> submit(const ScsiRequest& request);

    /// Those that have finished by now; and at least one.
    Result<std::vector<ScsiFinished>> take();
    Result<std::vector<ScsiFinished>> collect();

    /// Submits, publishes and waits for this request. Nothing else is in flight.
    Result<ScsiFinished> run(const ScsiRequest& request);

    Result<void> check_finished() const { return slots_.check_finished(); }
    std::size_t in_flight() const noexcept { return slots_.in_flight(); }
    DriverQueue& queue() noexcept { return slots_.queue(); }

private:
    explicit ScsiRequests(RequestSlots slots) : slots_(std::move(slots)), in_(slots_.slots()) {}
    std::vector<ScsiFinished> read(const std::vector<RequestSlots::Finished>& all);

    RequestSlots slots_;
    std::vector<std::span<std::byte>> in_;  // by slot
    std::uint32_t sense_size_ = scsi_usual_sense_size;
    std::uint32_t cdb_size_ = scsi_usual_cdb_size;
};

// CDBs of 10 bytes (SBC).
std::vector<std::byte> scsi_test_unit_ready();
std::vector<std::byte> scsi_read_10(std::uint32_t block, std::uint16_t blocks);
std::vector<std::byte> scsi_write_10(std::uint32_t block, std::uint16_t blocks);

}  // namespace sidecore::frontend
