// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "scsi/command.hh"

namespace sidecore::scsi {

/// PERIPHERAL QUALIFIER and PERIPHERAL DEVICE TYPE (SPC-4 6.6.2): a disk, the REPORT LUNS well-known unit, or nothing.
std::uint8_t peripheral_of(const Operation& operation) noexcept;

/// INQUIRY with EVPD (SPC-4 7.8, SBC-3 6.6)
Progress vital_product_data(Operation& operation) noexcept;

/// The only TARGET PORT GROUP that there is.
inline constexpr std::uint16_t target_port_group = 1;

}  // namespace sidecore::scsi
