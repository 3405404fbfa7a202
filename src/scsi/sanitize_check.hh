// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

/// SBC-3 4.11.2: commands that do without the medium and yet wait for the end of a SANITIZE. True: the operation has failed.
inline bool fails_while_sanitizing(Operation& operation) noexcept {
    if (!operation.unit().sanitizing.load(std::memory_order_acquire)) {
        return false;
    }
    operation.fail(SenseKey::not_ready, AdditionalSense::sanitize_in_progress);
    return true;
}

}  // namespace sidecore::scsi
