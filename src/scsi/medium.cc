// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>

#include "base/big_endian.hh"
#include "scsi/block_functions.hh"
#include "scsi/extent.hh"
#include "scsi/limits.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/provisioning.hh"
#include "scsi/scratch.hh"

namespace sidecore::scsi {

/// SYNCHRONIZE CACHE (SBC-3 5.22, 5.23). All that is in the cache goes to the medium, whatever the range. With IMMED the status may come before,
/// and need not.
Progress synchronize_cache(Operation& operation) noexcept {
    if (operation.stage() != 0) {
        return operation.result == 0 ? operation.good() : operation.storage_failed();
    }
    return extent_of(operation, false) ? operation.flush() : Progress::done;
}

/// PRE-FETCH (SBC-3 5.7, 5.8): blocks that have been read are in the host's cache, if it has any; CONDITION MET says that there is room for all of
/// them. IMMED as above.
Progress prefetch(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    const auto extent = extent_of(operation, false);
    if (!extent) {
        return Progress::done;
    }
    const std::uint64_t limit = prefetch_blocks_max(unit.block_bytes());
    if (extent->blocks > limit) {
        return operation.invalid_field(operation.command().cdb_bytes == 10 ? 7 : 10);
    }
    const std::uint64_t to_the_end = unit.capacity_blocks() - extent->lba;
    const std::uint64_t wanted = extent->blocks == 0 ? to_the_end : extent->blocks;
    if (operation.stage() == 0) {
        operation.position = extent->offset;
        operation.remaining = std::min(wanted, limit) * unit.block_bytes();
    } else {
        if (operation.result != 0) {
            return operation.storage_failed();
        }
        operation.position += operation.length_bytes;
        operation.remaining -= operation.length_bytes;
    }
    if (operation.remaining == 0) {
        return operation.end(wanted <= limit ? Status::condition_met : Status::good);
    }
    const auto scratch = operation.buffer(scratch_bytes);
    if (scratch.empty()) {
        return operation.good();  // there is no room
    }
    return operation.read(
        operation.position,
        scratch.first(static_cast<std::size_t>(std::min<std::uint64_t>(operation.remaining, scratch_bytes))));
}

/// READ CAPACITY(10) (SBC-3 5.15). With PMI: the last block before a considerable delay, of which there is none.
Progress read_capacity_10(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    if (!operation.bit(8, 0) && operation.field(2, 4) != 0) {
        return operation.invalid_field(2);
    }
    std::array<std::byte, 8> data{};
    store_big_endian(std::span(data).first(4), std::min<std::uint64_t>(unit.capacity_blocks() - 1, UINT32_MAX));
    store_big_endian(std::span(data).subspan(4), unit.block_bytes());
    return operation.reply(data, data.size());
}

/// READ CAPACITY(16) (SBC-3 5.16). The first block is aligned with the physical blocks.
Progress read_capacity_16(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    if (!operation.bit(14, 0) && operation.field(2, 8) != 0) {
        return operation.invalid_field(2);
    }
    std::array<std::byte, 32> data{};
    store_big_endian(std::span(data).first(8), unit.capacity_blocks() - 1);
    store_big_endian(std::span(data).subspan(8, 4), unit.block_bytes());
    const std::uint32_t per_physical = std::max(unit.geometry().physical_block_bytes / unit.block_bytes(), 1U);
    data[13] = static_cast<std::byte>(std::min(std::countr_zero(per_physical), 15));
    data[14] =
        static_cast<std::byte>((provisioned_thinly(unit) ? 0x80U : 0U) | (unmapped_reads_zero(unit) ? 0x40U : 0U));
    return operation.reply(data, operation.field(10, 4));
}

namespace {

/// DEFECT LIST FORMAT (SBC-3 6.2): an empty list is the same in each that is defined.
constexpr std::uint8_t defect_format_last = 5;
constexpr std::uint8_t lists_and_format = 0x1f;

}  // namespace

/// READ DEFECT DATA(10) (SBC-3 5.17): no block has ever been found bad.
Progress read_defect_data_10(Operation& operation) noexcept {
    if (operation.bits(2, 2, 0) > defect_format_last) {
        return operation.invalid_field(2, 2);
    }
    std::array<std::byte, 4> data{};
    data[1] = static_cast<std::byte>(operation.byte(2) & lists_and_format);
    return operation.reply(data, operation.field(7, 2));
}

/// READ DEFECT DATA(12) (SBC-3 5.18)
Progress read_defect_data_12(Operation& operation) noexcept {
    if (operation.bits(1, 2, 0) > defect_format_last) {
        return operation.invalid_field(1, 2);
    }
    std::array<std::byte, 8> data{};
    data[1] = static_cast<std::byte>(operation.byte(1) & lists_and_format);
    return operation.reply(data, operation.field(6, 4));
}

}  // namespace sidecore::scsi
