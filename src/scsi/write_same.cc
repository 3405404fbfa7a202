// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "scsi/block_functions.hh"
#include "scsi/extent.hh"
#include "scsi/limits.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/provisioning.hh"
#include "scsi/scratch.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint8_t additional_cdb_bytes = 0x18;  // SBC-3 5.45, of WRITE SAME(32)

/// Where the flags and the NUMBER OF LOGICAL BLOCKS are.
struct Places {
    std::uint16_t flags = 1;
    std::uint16_t length = 0;
};

Places places_of(const Operation& operation) noexcept {
    switch (operation.command().cdb_bytes) {
        case 10:
            return {1, 7};
        case 16:
            return {1, 10};
        default:
            return {10, 28};
    }
}

Progress next_chunk(Operation& operation) noexcept {
    const auto chunk = static_cast<std::size_t>(std::min<std::uint64_t>(operation.remaining, scratch_bytes));
    return operation.write(operation.position, operation.buffer(scratch_bytes).first(chunk),
                           operation.unit().durable(false));
}

/// The block over the whole extent, in chunks of the scratch memory, whose first block it is.
Progress write_pattern(Operation& operation, const Extent& extent) noexcept {
    const std::size_t block = operation.unit().block_bytes();
    const auto scratch = operation.buffer(scratch_bytes);
    const std::uint64_t used = std::min<std::uint64_t>(extent.bytes, scratch_bytes);
    for (std::size_t at = block; at < used; at += block) {
        std::memcpy(scratch.data() + at, scratch.data(), block);
    }
    operation.position = extent.offset;
    operation.remaining = extent.bytes;
    return next_chunk(operation);
}

}  // namespace

/// WRITE SAME (SBC-3 5.43 to 5.45). ANCHOR is no bit that we know, since nothing can be anchored (ANC_SUP is zero).
Progress write_same(Operation& operation) noexcept {
    LogicalUnit& unit = operation.unit();
    if (operation.stage() != 0) {
        if (operation.result != 0) {
            return operation.storage_failed();
        }
        if (operation.operation != storage::BlockOperation::write) {
            return operation.good();
        }
        operation.position += operation.length_bytes;
        operation.remaining -= operation.length_bytes;
        return operation.remaining == 0 ? operation.good() : next_chunk(operation);
    }
    const Places places = places_of(operation);
    if (operation.command().cdb_bytes == Command::cdb_bytes_max && operation.byte(7) != additional_cdb_bytes) {
        return operation.invalid_field(7);
    }
    const bool may_unmap = operation.bit(places.flags, 3);
    const bool no_data = operation.command().cdb_bytes != 10 && operation.bit(places.flags, 0);
    if (may_unmap && !provisioned_thinly(unit)) {
        return operation.invalid_field(places.flags, 3);
    }
    const auto extent = extent_of(operation, false);
    if (!extent) {
        return Progress::done;
    }
    if ((extent->blocks == 0 && write_same_non_zero) || extent->blocks > write_same_blocks_max(unit.block_bytes())) {
        return operation.invalid_field(places.length);
    }
    bool zeroes = true;
    if (!no_data) {
        const auto scratch = operation.buffer(scratch_bytes);
        if (scratch.empty()) {
            return operation.end(Status::busy);
        }
        const auto block = scratch.first(unit.block_bytes());
        if (operation.task().data_out_bytes < block.size()) {
            return operation.overrun();
        }
        operation.take_parameters(block);
        zeroes = std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{0}; });
    }
    if (!zeroes) {
        return write_pattern(operation, *extent);  // what is unmapped reads as zeroes, so that this cannot be
    }
    const bool unmaps = may_unmap && unmapped_reads_zero(unit);
    return operation.ask(unmaps ? storage::BlockOperation::write_zeroes_unmap : storage::BlockOperation::write_zeroes,
                         extent->offset, extent->bytes, unit.durable(false));
}

}  // namespace sidecore::scsi
