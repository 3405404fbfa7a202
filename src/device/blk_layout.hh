// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/little_endian.hh"

/// The virtio block device as the driver sees it (VIRTIO 1.3, 5.2).
namespace sidecore::device::blk {

/// Feature bits (5.2.3) and the ones of every device that matter here (6).
enum Feature : std::uint64_t {
    feature_size_max = std::uint64_t{1} << 1U,
    feature_seg_max = std::uint64_t{1} << 2U,
    feature_read_only = std::uint64_t{1} << 5U,
    feature_block_size = std::uint64_t{1} << 6U,
    feature_flush = std::uint64_t{1} << 9U,
    feature_topology = std::uint64_t{1} << 10U,
    feature_config_wce = std::uint64_t{1} << 11U,
    feature_mq = std::uint64_t{1} << 12U,
    feature_discard = std::uint64_t{1} << 13U,
    feature_write_zeroes = std::uint64_t{1} << 14U,
    feature_indirect = std::uint64_t{1} << 28U,
    feature_event_index = std::uint64_t{1} << 29U,
    feature_version_1 = std::uint64_t{1} << 32U,
};

/// Configuration space (5.2.4) up to the fields of the features above.
struct Config {
    LittleEndian<std::uint64_t> capacity;  // in sectors of 512 bytes
    LittleEndian<std::uint32_t> size_max;
    LittleEndian<std::uint32_t> seg_max;
    std::array<std::uint8_t, 4> geometry;
    LittleEndian<std::uint32_t> block_size;
    std::uint8_t physical_block_exponent;
    std::uint8_t alignment_offset;
    LittleEndian<std::uint16_t> min_io_size;
    LittleEndian<std::uint32_t> opt_io_size;
    std::uint8_t writeback;
    std::uint8_t unused0;
    LittleEndian<std::uint16_t> num_queues;
    LittleEndian<std::uint32_t> max_discard_sectors;
    LittleEndian<std::uint32_t> max_discard_segments;
    LittleEndian<std::uint32_t> discard_sector_alignment;
    LittleEndian<std::uint32_t> max_write_zeroes_sectors;
    LittleEndian<std::uint32_t> max_write_zeroes_segments;
    std::uint8_t write_zeroes_may_unmap;
    std::array<std::uint8_t, 3> unused1;
};
static_assert(offsetof(Config, block_size) == 20 && offsetof(Config, writeback) == 32);
static_assert(offsetof(Config, num_queues) == 34 && offsetof(Config, write_zeroes_may_unmap) == 56);

/// Request types (5.2.6).
enum class RequestType : std::uint32_t {
    in = 0,
    out = 1,
    flush = 4,
    get_id = 8,
    discard = 11,
    write_zeroes = 13,
};

enum class Status : std::uint8_t { ok = 0, io_error = 1, unsupported = 2 };

struct RequestHeader {
    LittleEndian<std::uint32_t> type;
    LittleEndian<std::uint32_t> reserved;
    LittleEndian<std::uint64_t> sector;
};
static_assert(sizeof(RequestHeader) == 16);

/// One range of a discard or write zeroes request.
struct RangeSegment {
    LittleEndian<std::uint64_t> sector;
    LittleEndian<std::uint32_t> sectors;
    LittleEndian<std::uint32_t> flags;

    static constexpr std::uint32_t flag_unmap = 1;
};
static_assert(sizeof(RangeSegment) == 16);

inline constexpr std::size_t id_bytes = 20;

}  // namespace sidecore::device::blk
