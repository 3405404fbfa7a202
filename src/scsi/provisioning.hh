// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scsi/logical_unit.hh"

namespace sidecore::scsi {

/// LBPME (SBC-3 5.16): blocks can be unmapped.
inline bool provisioned_thinly(const LogicalUnit& unit) noexcept {
    return unit.geometry().can_discard && !unit.read_only();
}

/// LBPRZ: unmapped blocks read as zeroes.
inline bool unmapped_reads_zero(const LogicalUnit& unit) noexcept {
    return provisioned_thinly(unit) && unit.geometry().write_zeroes_may_unmap;
}

}  // namespace sidecore::scsi
