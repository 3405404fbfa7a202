// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sidecore::scsi {

/// A logical unit number of a single level (SAM-5 4.7.3), as written in the first two bytes of a LUN's eight.
class Lun {
public:
    static constexpr std::uint16_t count_max = 16384;

    /// `number`: below count_max.
    explicit constexpr Lun(std::uint16_t number = 0) noexcept : number_(number) {}

    /// The REPORT LUNS well-known logical unit (SPC-4 8.2): every target has it.
    static constexpr Lun report_luns() noexcept {
        Lun lun;
        lun.well_known_ = true;
        return lun;
    }

    /// Reads eight bytes: peripheral device addressing with bus 0, flat space addressing, or the well-known logical
    /// unit of REPORT LUNS. Nothing: of another kind, or of more than one level.
    static constexpr std::optional<Lun> decode(std::span<const std::byte, 8> bytes) noexcept {
        for (const std::byte byte : bytes.subspan<2>()) {
            if (byte != std::byte{0}) {
                return std::nullopt;
            }
        }
        const auto first = std::to_integer<std::uint16_t>(bytes[0]);
        const auto second = std::to_integer<std::uint16_t>(bytes[1]);
        if (first == 0xc1 && second == 0x01) {
            return report_luns();
        }
        switch (first >> 6U) {
            case 0:
                return first == 0 ? std::optional(Lun(second)) : std::nullopt;
            case 1:
                return Lun(static_cast<std::uint16_t>((first & 0x3fU) << 8U | second));
            default:
                return std::nullopt;
        }
    }

    /// As REPORT LUNS tells it: up to 255 by peripheral device addressing, else flat.
    constexpr std::array<std::byte, 8> encode() const noexcept {
        std::array<std::byte, 8> bytes{};
        const auto top = static_cast<std::uint8_t>(well_known_ ? 0xc1U : number_ > 0xff ? 0x40U | number_ >> 8U : 0U);
        bytes[0] = static_cast<std::byte>(top);
        bytes[1] = static_cast<std::byte>(well_known_ ? 0x01U : number_ & 0xffU);
        return bytes;
    }

    constexpr bool well_known() const noexcept { return well_known_; }
    constexpr std::uint16_t number() const noexcept { return number_; }

    friend constexpr auto operator<=>(const Lun&, const Lun&) = default;

private:
    std::uint16_t number_;
    bool well_known_ = false;
};

}  // namespace sidecore::scsi
