// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>

namespace sidecore {

/// An unsigned integer as it lies in memory that a driver reads: little-endian (VIRTIO 1.3, 1.4).
/// Trivially copyable, so that structs made of it can be copied from and to guest memory as bytes.
template <std::unsigned_integral T>
class LittleEndian {
public:
    constexpr LittleEndian() = default;
    // NOLINTBEGIN(google-explicit-constructor): a field of a wire struct reads and writes like the number it holds
    constexpr LittleEndian(T value) noexcept : stored_(swap(value)) {}
    constexpr operator T() const noexcept { return swap(stored_); }
    // NOLINTEND(google-explicit-constructor)

private:
    static constexpr T swap(T value) noexcept {
        if constexpr (std::endian::native == std::endian::little || sizeof(T) == 1) {
            return value;
        } else {
            T out = 0;
            for (unsigned i = 0; i < sizeof(T); ++i) {
                out = static_cast<T>((out << 8U) | ((value >> (8U * i)) & 0xffU));
            }
            return out;
        }
    }
    T stored_ = 0;
};

}  // namespace sidecore
