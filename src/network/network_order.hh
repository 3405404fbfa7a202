// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidecore::network {

/// Fields of packet headers, which are big-endian and lie wherever they lie.
inline std::uint8_t load_8(const std::byte* from) noexcept {
    return std::to_integer<std::uint8_t>(*from);
}

inline std::uint16_t load_16(const std::byte* from) noexcept {
    return static_cast<std::uint16_t>(load_8(from) << 8U | load_8(from + 1));
}

inline std::uint32_t load_32(const std::byte* from) noexcept {
    return std::uint32_t{load_16(from)} << 16U | load_16(from + 2);
}

inline void store_8(std::byte* to, unsigned value) noexcept {
    *to = static_cast<std::byte>(value);
}

inline void store_16(std::byte* to, unsigned value) noexcept {
    store_8(to, value >> 8U);
    store_8(to + 1, value);
}

inline void store_32(std::byte* to, std::uint32_t value) noexcept {
    store_16(to, value >> 16U);
    store_16(to + 2, value);
}

}  // namespace sidecore::network
