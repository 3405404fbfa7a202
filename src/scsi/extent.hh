// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace sidecore::scsi {

class Operation;

/// The blocks that a command is about.
struct Extent {
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;
    std::uint64_t offset = 0;  ///< in bytes
    std::uint64_t bytes = 0;
};

/// LOGICAL BLOCK ADDRESS and the number of blocks of a CDB of 6, 10, 12, 16 or 32 bytes where SBC-3 has them in most commands. Nothing: they leave
/// the medium, or are more than transfer_bytes_max where `limited`; the operation has failed.
std::optional<Extent> extent_of(Operation& operation, bool limited = true) noexcept;

}  // namespace sidecore::scsi
