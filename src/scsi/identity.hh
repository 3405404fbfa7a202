// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace sidecore::scsi {

/// A NAA identifier of format 3h, locally assigned (SPC-4 7.8.6.6.3): the same for the same name, at all times and on all hosts,
/// and for different names different but by a chance of 1 in 2^60.
std::uint64_t locally_assigned_naa(std::string_view name) noexcept;

}  // namespace sidecore::scsi
