// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

/// NOT READY, with how far it has come (SBC-3 4.11.3).
inline Sense sanitizing_sense(const LogicalUnit& unit) noexcept {
    Sense sense{SenseKey::not_ready, AdditionalSense::sanitize_in_progress};
    sense.progress = unit.sanitize_progress.load(std::memory_order_relaxed);
    return sense;
}

/// SBC-3 4.11.2: commands that do without the medium and yet wait for the end of a SANITIZE. True: the operation has failed.
inline bool fails_while_sanitizing(Operation& operation) noexcept {
    if (!operation.unit().sanitizing.load(std::memory_order_acquire)) {
        return false;
    }
    operation.fail(sanitizing_sense(operation.unit()));
    return true;
}

}  // namespace sidecore::scsi
