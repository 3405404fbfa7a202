// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/little_endian.hh"

// virtio-blk as VIRTIO 5.2 has it, from the driver's side. Sectors are 512 bytes.

namespace sidecore::frontend {

inline constexpr std::uint64_t blk_sector_bytes = 512;
inline constexpr std::size_t blk_id_bytes = 20;  ///< VIRTIO_BLK_T_GET_ID

enum class BlkType : std::uint32_t {
    read = 0,   ///< VIRTIO_BLK_T_IN
    write = 1,  ///< VIRTIO_BLK_T_OUT
    flush = 4,
    get_id = 8,
    get_lifetime = 10,
    discard = 11,
    write_zeroes = 13,
    secure_erase = 14,
};

enum class BlkStatus : std::uint8_t {
    ok = 0,
    io_error = 1,
    unsupported = 2,
    not_written = 0xff,  ///< what the driver puts there, so that it sees whether the device wrote anything
};

/// What a request starts with.
struct BlkHeader {
    LittleEndian<std::uint32_t> type;
    LittleEndian<std::uint32_t> reserved;
    LittleEndian<std::uint64_t> sector;
};
static_assert(sizeof(BlkHeader) == 16);

/// The data of discard and write_zeroes: one or more of these.
struct BlkRange {
    LittleEndian<std::uint64_t> sector;
    LittleEndian<std::uint32_t> sectors;
    LittleEndian<std::uint32_t> flags;  ///< bit 0: unmap, only in write_zeroes
};
static_assert(sizeof(BlkRange) == 16);

inline constexpr std::uint32_t blk_range_unmap = 1;

/// The configuration space up to the fields of secure erase (VIRTIO 5.2.4).
struct BlkConfig {
    LittleEndian<std::uint64_t> capacity;  ///< sectors
    LittleEndian<std::uint32_t> size_max;
    LittleEndian<std::uint32_t> seg_max;
    LittleEndian<std::uint16_t> cylinders;
    std::uint8_t heads;
    std::uint8_t sectors;
    LittleEndian<std::uint32_t> blk_size;
    std::uint8_t physical_block_exp;
    std::uint8_t alignment_offset;
    LittleEndian<std::uint16_t> min_io_size;
    LittleEndian<std::uint32_t> opt_io_size;
    std::uint8_t writeback;
    std::uint8_t unused0;
    LittleEndian<std::uint16_t> num_queues;
    LittleEndian<std::uint32_t> max_discard_sectors;
    LittleEndian<std::uint32_t> max_discard_seg;
    LittleEndian<std::uint32_t> discard_sector_alignment;
    LittleEndian<std::uint32_t> max_write_zeroes_sectors;
    LittleEndian<std::uint32_t> max_write_zeroes_seg;
    std::uint8_t write_zeroes_may_unmap;
    std::array<std::uint8_t, 3> unused1;
};
static_assert(offsetof(BlkConfig, blk_size) == 20 && offsetof(BlkConfig, writeback) == 32 &&
              offsetof(BlkConfig, num_queues) == 34 && offsetof(BlkConfig, write_zeroes_may_unmap) == 56);
static_assert(sizeof(BlkConfig) == 64);  // four bytes of padding, which nobody is told about

inline constexpr std::uint32_t blk_config_bytes = 60;  ///< of BlkConfig, as they are asked for

}  // namespace sidecore::frontend
