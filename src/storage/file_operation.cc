// SPDX-License-Identifier: Apache-2.0
#include "storage/file_operation.hh"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <linux/falloc.h>

#include "storage/request_check.hh"

namespace sidecore::storage {

namespace {

constexpr std::size_t zero_block_bytes = 64U << 10U;
constexpr std::size_t zero_segments = FileOperation::zero_step_bytes / zero_block_bytes;

// Never written to; not const, so that it costs no space in the program's file.
alignas(zero_block_bytes) std::array<std::byte, zero_block_bytes> zero_block;

std::span<const iovec> zero_step_segments() noexcept {
    static const auto segments = [] {
        std::array<iovec, zero_segments> all{};
        all.fill({zero_block.data(), zero_block.size()});
        return all;
    }();
    return segments;
}

bool fits_direct_io(std::span<const iovec> segments, const FileTraits& traits) noexcept {
    std::uintptr_t addresses = 0;
    std::size_t lengths = 0;
    for (const iovec& segment : segments) {
        addresses |= reinterpret_cast<std::uintptr_t>(segment.iov_base);
        lengths |= segment.iov_len;
    }
    return (addresses & (traits.memory_alignment_bytes - 1U)) == 0 &&
           (lengths & (traits.logical_block_bytes - 1U)) == 0;
}

/// The file system cannot do this, for this file and ever.
bool unsupported(std::int64_t result) noexcept {
    return result == -EOPNOTSUPP || result == -ENODEV || result == -ENOSYS;
}

}  // namespace

void FileOperation::start(BlockRequest& request, FileTraits& traits) noexcept {
    request_ = &request;
    traits_ = &traits;
    bounce_ = nullptr;
    offset_bytes_ = request.offset_bytes;
    remaining_bytes_ = request.length_bytes;
    segment_ = 0;
    attempts_ = 0;
    needs_bounce_ = false;
    cancelled_.store(false, std::memory_order_relaxed);
    phase_ = Phase::finished;

    request.result = check_request(request, traits.capacity_bytes.load(std::memory_order_relaxed),
                                   traits.logical_block_bytes, traits.read_only);
    if (request.result != 0) {
        return;
    }
    switch (request.operation) {
        case BlockOperation::read:
        case BlockOperation::write:
            if (remaining_bytes_ != 0) {
                phase_ = Phase::transfer;
                needs_bounce_ = traits.direct && !fits_direct_io(request.segments, traits);
            }
            break;
        case BlockOperation::flush:
            if (!traits.read_only) {
                phase_ = Phase::sync;
            }
            break;
        case BlockOperation::discard:
        case BlockOperation::write_zeroes_unmap:
        case BlockOperation::write_zeroes:
            if (remaining_bytes_ != 0) {
                phase_ = zeroes_after(Phase::finished);
            }
            break;
    }
}

/// The best way to make zeroes that comes after `before` and that the file system has not refused.
FileOperation::Phase FileOperation::zeroes_after(Phase before) const noexcept {
    const bool may_unmap = request_->operation != BlockOperation::write_zeroes;
    if (before == Phase::finished && may_unmap && traits_->can_punch.load(std::memory_order_relaxed)) {
        return Phase::punch;
    }
    if (request_->operation == BlockOperation::discard) {
        return Phase::finished;
    }
    if (before != Phase::zero_range && traits_->can_zero_range.load(std::memory_order_relaxed)) {
        return Phase::zero_range;
    }
    return Phase::write_zeroes;
}

FileStep FileOperation::next() noexcept {
    FileStep step;
    switch (phase_) {
        case Phase::finished:
            break;
        case Phase::transfer:
            step = next_transfer();
            break;
        case Phase::write_zeroes:
            step = next_zeroes();
            break;
        case Phase::punch:
        case Phase::zero_range:
            step.kind = FileStep::Kind::fallocate;
            step.flags = FALLOC_FL_KEEP_SIZE | (phase_ == Phase::punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
            step.length_bytes = remaining_bytes_;
            break;
        case Phase::sync:
            step.kind = FileStep::Kind::sync;
            break;
    }
    step.offset_bytes = offset_bytes_;
    step.again = attempts_ != 0;
    return step;
}

FileStep FileOperation::next_transfer() noexcept {
    FileStep step;
    const bool write = request_->operation == BlockOperation::write;
    step.kind = write ? FileStep::Kind::write : FileStep::Kind::read;
    step.flags = write && request_->durable ? RWF_DSYNC : 0;
    if (needs_bounce_) {
        single_ = {bounce_, write ? gather() : std::min(remaining_bytes_, bounce_bytes)};
        step.segments = {&single_, 1};
    } else {
        const auto left = request_->segments.subspan(segment_);
        step.segments = left.first(std::min(left.size(), segments_max));
    }
    return step;
}

FileStep FileOperation::next_zeroes() noexcept {
    FileStep step;
    step.kind = FileStep::Kind::write;
    step.flags = request_->durable ? RWF_DSYNC : 0;
    if (remaining_bytes_ < zero_block_bytes) {
        single_ = {zero_block.data(), remaining_bytes_};
        step.segments = {&single_, 1};
    } else {
        step.segments = zero_step_segments().first(std::min(remaining_bytes_ / zero_block_bytes, zero_segments));
    }
    return step;
}

/// Copies the next bytes of the segments into the bounce buffer; returns how many.
std::uint64_t FileOperation::gather() noexcept {
    std::uint64_t bytes = 0;
    for (std::size_t i = segment_; i < request_->segments.size() && bytes < bounce_bytes; ++i) {
        const iovec& segment = request_->segments[i];
        const std::uint64_t part = std::min<std::uint64_t>(segment.iov_len, bounce_bytes - bytes);
        std::memcpy(bounce_ + bytes, segment.iov_base, part);
        bytes += part;
    }
    return bytes;
}

/// Moves on by `bytes`; a bounced read is handed out on the way.
void FileOperation::advance(std::uint64_t bytes) noexcept {
    offset_bytes_ += bytes;
    remaining_bytes_ -= bytes;
    if (phase_ != Phase::transfer) {
        return;
    }
    const bool hand_out = needs_bounce_ && request_->operation == BlockOperation::read;
    const std::byte* source = bounce_;
    while (bytes != 0 && segment_ < request_->segments.size()) {
        iovec& segment = request_->segments[segment_];
        const std::uint64_t part = std::min<std::uint64_t>(segment.iov_len, bytes);
        if (hand_out) {
            std::memcpy(segment.iov_base, source, part);
            source += part;
        }
        segment.iov_base = static_cast<std::byte*>(segment.iov_base) + part;
        segment.iov_len -= part;
        bytes -= part;
        if (segment.iov_len == 0) {
            ++segment_;
        }
    }
}

bool FileOperation::complete(std::int64_t result) noexcept {
    if (phase_ == Phase::finished) {
        return true;
    }
    const bool interrupted = result == -EINTR || result == -EAGAIN || result == -ECANCELED;
    const bool cancelled = cancelled_.load(std::memory_order_relaxed);
    if (interrupted && cancelled) {
        return finish(-ECANCELED);
    }
    // ECANCELED: io_uring gives this up when the thread that submitted it has ended in the meantime.
    if (interrupted && ++attempts_ < attempts_max) {
        return false;
    }
    const bool done = complete_step(result);
    return done || (cancelled && finish(-ECANCELED));
}

/// A step that was executed, well or not.
bool FileOperation::complete_step(std::int64_t result) noexcept {
    switch (phase_) {
        case Phase::transfer:
        case Phase::write_zeroes:
            return complete_transfer(result);
        case Phase::punch:
        case Phase::zero_range:
            return complete_allocation(result);
        case Phase::sync:
        case Phase::finished:
            break;
    }
    return finish(static_cast<int>(result));
}

bool FileOperation::complete_transfer(std::int64_t result) noexcept {
    if (result < 0) {
        return finish(static_cast<int>(result));
    }
    std::uint64_t moved = std::min(static_cast<std::uint64_t>(result), remaining_bytes_);
    if (traits_->direct) {
        // A part of a block cannot be continued from; at the end of the file there is nothing to continue to.
        moved -= moved % traits_->logical_block_bytes;
    }
    if (moved == 0) {
        return finish(-EIO);
    }
    attempts_ = 0;
    advance(moved);
    return remaining_bytes_ == 0 && finish(0);
}

bool FileOperation::complete_allocation(std::int64_t result) noexcept {
    if (result == 0) {
        return finish_changes();
    }
    // EINVAL may be about this range only, such as one that is finer than the device's own blocks.
    if (!unsupported(result) && result != -EINVAL) {
        return finish(static_cast<int>(result));
    }
    if (unsupported(result)) {
        auto& can = phase_ == Phase::punch ? traits_->can_punch : traits_->can_zero_range;
        can.store(false, std::memory_order_relaxed);
    }
    attempts_ = 0;
    phase_ = zeroes_after(phase_);
    return phase_ == Phase::finished && finish(0);
}

/// The range has been zeroed by fallocate(), which is not durable by itself.
bool FileOperation::finish_changes() noexcept {
    if (!request_->durable) {
        return finish(0);
    }
    attempts_ = 0;
    phase_ = Phase::sync;
    return false;
}

bool FileOperation::finish(int result) noexcept {
    request_->result = result;
    phase_ = Phase::finished;
    return true;
}

}  // namespace sidecore::storage
