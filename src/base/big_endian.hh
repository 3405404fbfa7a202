// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sidecore {

/// Unsigned integers as SCSI and network protocols write them: the most significant byte first, at any place, of any
/// number of bytes.

/// The number in all of `bytes`, at most sizeof(T) of them.
template <std::unsigned_integral T = std::uint64_t>
constexpr T load_big_endian(std::span<const std::byte> bytes) noexcept {
    std::uint64_t value = 0;
    for (const std::byte byte : bytes) {
        value = (value << 8U) | static_cast<std::uint64_t>(byte);
    }
    return static_cast<T>(value);
}

/// Writes `value` into all of `bytes`; what does not fit there is cut off at the top.
constexpr void store_big_endian(std::span<std::byte> bytes, std::uint64_t value) noexcept {
    for (std::size_t i = bytes.size(); i-- > 0;) {
        bytes[i] = static_cast<std::byte>(value & 0xffU);
        value >>= 8U;
    }
}

}  // namespace sidecore
