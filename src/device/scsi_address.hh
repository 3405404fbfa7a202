// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "device/scsi_layout.hh"
#include "scsi/lun.hh"

namespace sidecore::device {

/// What a `lun` field means (VIRTIO 1.3, 5.6.6.1): 1, the target, a LUN of a single level, and zeroes.
struct ScsiAddress {
    std::uint8_t target = 0;
    std::optional<scsi::Lun> lun{};  ///< none: one that no target has
};

/// The whole device's REPORT LUNS well-known logical unit: that of its first target.
inline constexpr scsi_host::Lun report_luns_field{0xc1, 0x01, 0, 0, 0, 0, 0, 0};

/// Nothing: there is no such target, since the field does not begin with 1.
inline std::optional<ScsiAddress> address_of(const scsi_host::Lun& field) noexcept {
    if (field == report_luns_field) {
        return ScsiAddress{0, scsi::Lun::report_luns()};
    }
    if (field[0] != 1) {
        return std::nullopt;
    }
    std::array<std::byte, 8> lun{};
    for (std::size_t i = 2; i < field.size(); ++i) {
        lun[i - 2] = static_cast<std::byte>(field[i]);
    }
    return ScsiAddress{field[1], scsi::Lun::decode(lun)};
}

/// The other way. Linux takes the number of a LUN in an event for what REPORT LUNS would have told it: so it is encoded alike.
inline scsi_host::Lun field_of(std::uint8_t target, scsi::Lun lun) noexcept {
    const auto encoded = lun.encode();
    return {1, target, std::to_integer<std::uint8_t>(encoded[0]), std::to_integer<std::uint8_t>(encoded[1]), 0, 0,
            0, 0};
}

}  // namespace sidecore::device
