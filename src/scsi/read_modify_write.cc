// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/pieces.hh"
#include "scsi/block_functions.hh"
#include "scsi/extent.hh"
#include "scsi/limits.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/scratch.hh"

namespace sidecore::scsi {

/// ORWRITE(16) (SBC-3 5.9): no other change of its blocks comes between what is read and what is written.
Progress or_write(Operation& operation) noexcept {
    const auto extent = extent_of(operation);
    if (!extent) {
        return Progress::done;  // also if the medium has been made shorter meanwhile
    }
    if (operation.stage() == 0) {
        if (extent->blocks == 0) {
            return operation.good();
        }
        if (extent->bytes > operation.task().data_out_bytes) {
            return operation.overrun();
        }
        operation.position = extent->offset;
        operation.remaining = extent->bytes;
        operation.length_bytes = 0;  // nothing has been asked of the storage yet
    }
    if (!operation.have_alone({extent->offset, extent->bytes})) {
        return Progress::waiting;
    }
    if (operation.length_bytes != 0 && operation.result != 0) {
        return operation.storage_failed();
    }
    const auto scratch = operation.buffer(2 * scratch_bytes);
    if (scratch.empty()) {
        return operation.end(Status::busy);
    }
    const auto blocks = scratch.first(chunk_bytes(operation));
    if (operation.length_bytes != 0 && operation.operation == storage::BlockOperation::read) {
        const auto bits = scratch.subspan(scratch_bytes, blocks.size());
        operation.take_parameters(bits);
        std::ranges::transform(blocks, bits, blocks.begin(), [](std::byte a, std::byte b) { return a | b; });
        return operation.write(operation.position, blocks, operation.unit().durable(operation.bit(1, 3)));
    }
    if (operation.length_bytes != 0) {
        operation.position += blocks.size();
        operation.remaining -= blocks.size();
        if (operation.remaining == 0) {
            return operation.good();
        }
    }
    return operation.read(operation.position, scratch.first(chunk_bytes(operation)));
}

/// COMPARE AND WRITE (SBC-3 5.2): likewise. The data that is compared comes first in the data-out buffer, then the data that is written.
Progress compare_and_write(Operation& operation) noexcept {
    enum : std::uint64_t { beginning, settling, reading, writing };
    LogicalUnit& unit = operation.unit();
    const std::uint64_t lba = operation.field(2, 8);
    const std::uint64_t blocks = operation.field(13, 1);
    const MediumRange range{lba * unit.block_bytes(), blocks * unit.block_bytes()};
    const auto bytes = static_cast<std::size_t>(range.bytes);
    // Only once the length has been found good.
    auto scratch = operation.remaining == beginning ? std::span<std::byte>() : operation.buffer(3 * bytes);

    switch (operation.remaining) {
        case beginning:
            if (!unit.in_range(lba, blocks)) {
                Sense sense{SenseKey::illegal_request, AdditionalSense::lba_out_of_range};
                sense.information = lba;
                return operation.fail(sense);
            }
            if (blocks > compare_and_write_blocks_max(unit.block_bytes())) {
                return operation.invalid_field(13);
            }
            if (blocks == 0) {
                return operation.good();
            }
            if (2 * range.bytes > operation.task().data_out_bytes) {
                return operation.overrun();
            }
            scratch = operation.buffer(3 * bytes);
            if (scratch.empty()) {
                return operation.end(Status::busy);
            }
            operation.take_parameters(scratch.first(2 * bytes));
            operation.remaining = settling;
            [[fallthrough]];
        case settling:
            if (!operation.have_alone(range)) {
                return Progress::waiting;
            }
            operation.remaining = reading;
            return operation.read(range.offset, scratch.subspan(2 * bytes));
        case reading: {
            if (operation.result != 0) {
                return operation.storage_failed();
            }
            const auto expected = scratch.first(bytes);
            const auto difference = std::ranges::mismatch(expected, scratch.subspan(2 * bytes)).in1;
            if (difference != expected.end()) {
                // The offset in the data-out buffer, not an LBA.
                Sense sense{SenseKey::miscompare, AdditionalSense::miscompare_during_verify};
                sense.information = static_cast<std::uint64_t>(difference - expected.begin());
                return operation.fail(sense);
            }
            operation.remaining = writing;
            return operation.write(range.offset, scratch.subspan(bytes, bytes), unit.durable(operation.bit(1, 3)));
        }
        default:
            return operation.result == 0 ? operation.good() : operation.storage_failed();
    }
}

}  // namespace sidecore::scsi
