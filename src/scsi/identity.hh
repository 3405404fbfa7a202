// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace sidecore::scsi {

/// A NAA identifier of format 3h, locally assigned (SPC-4 7.8.6.6.3): the same for the same name, at all times and on all hosts,
/// and for different names different but by a chance of 1 in 2^60.
std::uint64_t locally_assigned_naa(std::string_view name) noexcept;

/// Likewise of a target of the domain that belongs to this initiator, and of the port that leads there.
std::uint64_t target_device_naa(std::string_view initiator, std::uint8_t target) noexcept;
std::uint64_t target_port_naa(std::string_view initiator, std::uint8_t target) noexcept;

/// RELATIVE TARGET PORT IDENTIFIER (SPC-4 7.8.6.6), 1 to 256.
constexpr std::uint16_t relative_port_of(std::uint8_t target) noexcept {
    return static_cast<std::uint16_t>(target + 1U);
}

}  // namespace sidecore::scsi
