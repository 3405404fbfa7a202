// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "scsi/operation.hh"

namespace sidecore::scsi {

/// How much of the medium a command looks at or fills at a time, where its data does not go straight between the storage and the initiator's memory:
/// a multiple of every logical block, and what bounds the memory of such a command.
inline constexpr std::size_t scratch_bytes = 256U << 10U;

/// The next chunk of what an operation has left to do.
inline std::size_t chunk_bytes(const Operation& operation) noexcept {
    return static_cast<std::size_t>(std::min<std::uint64_t>(operation.remaining, scratch_bytes));
}

}  // namespace sidecore::scsi
