// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "base/pieces.hh"
#include "scsi/block_functions.hh"
#include "scsi/extent.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/scratch.hh"

namespace sidecore::scsi {

namespace {

/// BYTCHK (SBC-3 5.27)
enum class ByteCheck : std::uint8_t { none = 0, all = 1, reserved = 2, one_block = 3 };

ByteCheck byte_check(const Operation& operation) noexcept {
    return static_cast<ByteCheck>(operation.bits(1, 2, 1));
}

Progress miscompare(Operation& operation, std::size_t at) noexcept {
    Sense sense{SenseKey::miscompare, AdditionalSense::miscompare_during_verify};
    sense.information = (operation.position + at) / operation.unit().block_bytes();
    return operation.fail(sense);
}

/// Takes what the medium's chunk is to be compared with into `out`.
void take_expected(Operation& operation, ByteCheck check, std::span<std::byte> out) noexcept {
    if (check == ByteCheck::all) {
        operation.take_parameters(out);
        return;
    }
    // One block, which came first, over and over.
    const std::size_t block = operation.unit().block_bytes();
    for (std::size_t at = block; at < out.size(); at += block) {
        std::memcpy(out.data() + at, out.data(), block);
    }
}

/// What both commands check before anything is done. Nothing: the operation has ended.
std::optional<Extent> admitted(Operation& operation, std::uint64_t data_bytes_per_block) noexcept {
    if (byte_check(operation) == ByteCheck::reserved) {
        operation.invalid_field(1, 2);
        return std::nullopt;
    }
    const auto extent = extent_of(operation);
    if (!extent) {
        return std::nullopt;
    }
    if (extent->blocks == 0) {
        operation.good();
        return std::nullopt;
    }
    const std::uint64_t needed = data_bytes_per_block == 0 && byte_check(operation) == ByteCheck::one_block
                                     ? operation.unit().block_bytes()
                                     : extent->blocks * data_bytes_per_block;
    if (needed > operation.task().data_out_bytes) {
        operation.overrun();
        return std::nullopt;
    }
    operation.position = extent->offset;
    operation.remaining = extent->bytes;
    return extent;
}

}  // namespace

/// VERIFY (SBC-3 5.27 to 5.29), a chunk at a time: the cache goes to the medium, which is read, and compared with the data.
Progress verify(Operation& operation) noexcept {
    const ByteCheck check = byte_check(operation);
    const std::size_t block = operation.unit().block_bytes();
    if (operation.stage() == 0) {
        if (!admitted(operation, check == ByteCheck::all ? block : 0)) {
            return Progress::done;
        }
        const auto scratch = operation.buffer(2 * scratch_bytes);
        if (scratch.empty()) {
            return operation.end(Status::busy);
        }
        if (check == ByteCheck::one_block) {
            operation.take_parameters(scratch.subspan(scratch_bytes, block));
        }
        return operation.flush();
    }
    if (operation.result != 0) {
        return operation.storage_failed();
    }
    const auto scratch = operation.buffer(2 * scratch_bytes);
    if (operation.operation == storage::BlockOperation::read) {
        const auto found = scratch.first(chunk_bytes(operation));
        const auto expected = scratch.subspan(scratch_bytes, found.size());
        if (check != ByteCheck::none) {
            take_expected(operation, check, expected);
            const auto difference = std::ranges::mismatch(found, expected).in1;
            if (difference != found.end()) {
                return miscompare(operation, static_cast<std::size_t>(difference - found.begin()));
            }
        }
        operation.position += found.size();
        operation.remaining -= found.size();
        if (operation.remaining == 0) {
            return operation.good();
        }
    }
    return operation.read(operation.position, scratch.first(chunk_bytes(operation)));
}

/// WRITE AND VERIFY (SBC-3 5.36 to 5.38), a chunk at a time: the data is written to the medium itself, read back, and compared with the
/// data as it was when it was written: the initiator's memory may have changed since.
Progress write_and_verify(Operation& operation) noexcept {
    const ByteCheck check = byte_check(operation);
    if (operation.stage() == 0) {
        if (check == ByteCheck::one_block) {
            return operation.invalid_field(1, 2);
        }
        if (!admitted(operation, operation.unit().block_bytes())) {
            return Progress::done;
        }
    } else if (operation.result != 0) {
        return operation.storage_failed();
    }
    const auto scratch = operation.buffer(2 * scratch_bytes);
    if (scratch.empty()) {
        return operation.end(Status::busy);
    }
    const auto written = scratch.subspan(scratch_bytes, chunk_bytes(operation));
    const auto found = scratch.first(written.size());
    if (operation.stage() % 2 == 1) {
        return operation.read(operation.position, found);
    }
    if (operation.stage() != 0) {
        const auto difference = std::ranges::mismatch(found, written).in1;
        if (check == ByteCheck::all && difference != found.end()) {
            return miscompare(operation, static_cast<std::size_t>(difference - found.begin()));
        }
        operation.position += found.size();
        operation.remaining -= found.size();
        if (operation.remaining == 0) {
            return operation.good();
        }
    }
    const auto next = scratch.subspan(scratch_bytes, chunk_bytes(operation));
    operation.take_parameters(next);
    return operation.write(operation.position, next, true);
}

}  // namespace sidecore::scsi
