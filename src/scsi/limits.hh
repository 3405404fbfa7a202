// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace sidecore::scsi {

/// What one command may ask for: the block limits VPD page (SBC-3 6.6.3) tells these, and the commands obey them. Lengths are bounded in bytes, for
/// that is what work and memory depend on; initiators count in logical blocks of `block_bytes`.

/// MAXIMUM TRANSFER LENGTH
inline constexpr std::uint64_t transfer_bytes_max = 8U << 20U;
constexpr std::uint32_t transfer_blocks_max(std::uint32_t block_bytes) noexcept {
    return static_cast<std::uint32_t>(transfer_bytes_max / block_bytes);
}

/// MAXIMUM COMPARE AND WRITE LENGTH, a field of one byte. Other writes to the same blocks wait meanwhile.
inline constexpr std::uint64_t compare_and_write_bytes_max = 64U << 10U;
constexpr std::uint8_t compare_and_write_blocks_max(std::uint32_t block_bytes) noexcept {
    return static_cast<std::uint8_t>(
        std::clamp<std::uint64_t>(compare_and_write_bytes_max / block_bytes, 1, UINT8_MAX));
}

/// MAXIMUM UNMAP LBA COUNT: of all descriptors of one UNMAP command together.
inline constexpr std::uint64_t unmap_bytes_max = 1U << 30U;
constexpr std::uint32_t unmap_blocks_max(std::uint32_t block_bytes) noexcept {
    return static_cast<std::uint32_t>(unmap_bytes_max / block_bytes);
}

/// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT
inline constexpr std::uint32_t unmap_descriptors_max = 256;

/// MAXIMUM WRITE SAME LENGTH. WSNZ is one: a NUMBER OF BLOCKS of zero does not mean the rest of the medium.
inline constexpr std::uint64_t write_same_bytes_max = 256U << 20U;
constexpr std::uint64_t write_same_blocks_max(std::uint32_t block_bytes) noexcept {
    return write_same_bytes_max / block_bytes;
}
inline constexpr bool write_same_non_zero = true;

/// MAXIMUM PREFETCH LENGTH
constexpr std::uint32_t prefetch_blocks_max(std::uint32_t block_bytes) noexcept {
    return transfer_blocks_max(block_bytes);
}

}  // namespace sidecore::scsi
