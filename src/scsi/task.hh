// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <sys/uio.h>

#include "scsi/codes.hh"
#include "scsi/lun.hh"
#include "scsi/sense.hh"

namespace sidecore::scsi {

/// How a task left the target.
enum class Outcome : std::uint8_t {
    completed,  ///< it has a status
    overrun,    ///< it needs more data than its buffers hold; nothing of it was carried out
    aborted,    ///< by task management
    reset,      ///< by the reset of a logical unit or of a nexus
    no_target,  ///< the target has no logical unit at all
};

/// One SCSI command on its way (SAM-5 5.1). Owned by the transport, which keeps it and everything that it points at alive
/// and untouched from TaskQueue::submit() until TaskQueue::reap() hands it back.
struct Task {
    // The transport's.
    std::uint64_t tag = 0;  ///< by which task management finds it
    std::uint8_t target = 0;
    std::optional<Lun> lun{};  ///< none: one that no target has
    TaskAttribute attribute = TaskAttribute::simple;
    std::span<const std::byte> cdb{};  ///< the transport's copy. 1 to 32 bytes are looked at
    std::span<iovec> data_out{};       ///< a guest's memory, in order; the target may change the pieces as it works
    std::span<iovec> data_in{};        ///< likewise
    std::uint64_t data_out_bytes = 0;  ///< sum of the pieces
    std::uint64_t data_in_bytes = 0;   ///< likewise

    // The target's.
    Outcome outcome = Outcome::completed;
    Status status = Status::good;
    SenseData sense{};                    ///< with CHECK CONDITION
    std::uint64_t transferred_bytes = 0;  ///< of data_out or data_in, from their beginning
    bool transferred_in = false;          ///< they are of data_in
};

}  // namespace sidecore::scsi
