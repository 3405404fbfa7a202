// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scsi/command.hh"

namespace sidecore::scsi {

class Operation;

// PERSISTENT RESERVE IN (SPC-4 6.15), by service action.
Progress read_keys(Operation& operation) noexcept;
Progress read_reservation(Operation& operation) noexcept;
Progress report_capabilities(Operation& operation) noexcept;
Progress read_full_status(Operation& operation) noexcept;

/// PERSISTENT RESERVE OUT (SPC-4 6.16), all service actions.
Progress persistent_reserve_out(Operation& operation) noexcept;

}  // namespace sidecore::scsi
