// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

#include "storage/block_backend.hh"
#include "storage/disk_file.hh"

namespace sidecore::storage {

/// One system call's worth of a request, for an engine to execute in its own manner.
struct FileStep {
    enum class Kind : std::uint8_t {
        nothing,    ///< done before it began; complete(0) says so
        read,       ///< preadv2(segments, offset)
        write,      ///< pwritev2(segments, offset, flags)
        fallocate,  ///< fallocate(flags, offset, length)
        sync,       ///< fdatasync()
    };
    Kind kind = Kind::nothing;
    int flags = 0;
    bool again = false;  ///< this step has failed with EAGAIN or the like before: do it where it may wait
    std::uint64_t offset_bytes = 0;
    std::uint64_t length_bytes = 0;     ///< fallocate
    std::span<const iovec> segments{};  ///< read and write: 1 to FileOperation::segments_max
};

/// A request on its way through the file: cut into steps, carried on after short transfers, and led around what the
/// file system cannot do. Both engines run this; neither knows more than to execute a step.
///
///     operation.start(request, traits);
///     if (operation.needs_bounce()) operation.use_bounce(buffer);
///     do { result = execute(operation.next()); } while (!operation.complete(result));
///
/// Thread: one at a time. Steps of one operation follow each other; the object stays in place between next() and
/// complete(), since a step may point into it.
///
/// Rules:
///  1. At most segments_max segments in a step (the kernel's IOV_MAX); longer lists take several.
///  2. Direct I/O with buffers that are not aligned as the file wants goes through a bounce buffer, bounce_bytes at a
///     time. Offsets and lengths are whole logical blocks by check_request(), so that no step ever has to read, change
///     and write back a block, and none can undo what another has written beside it.
///  3. A discard that the file system refuses succeeds without effect. Zeroes are made by punching a hole (if the
///     space may go), else by zeroing a range, else by writing them, zero_step_bytes at a time.
///  4. EINTR, EAGAIN and ECANCELED are tried again up to attempts_max times in a row, but not once cancel() has been called: then no step follows
///     the one that is being executed, and a request that is not done fails with -ECANCELED.
class FileOperation {
public:
    static constexpr std::size_t segments_max = 1024;
    static constexpr std::uint64_t bounce_bytes = 128U << 10U;  // also the alignment of bounce buffers
    static constexpr std::uint64_t zero_step_bytes = 1U << 20U;
    static constexpr std::uint32_t attempts_max = 64;

    void start(BlockRequest& request, FileTraits& traits) noexcept;

    BlockRequest& request() const noexcept { return *request_; }

    /// Nothing left to execute: start() found it done or refused it, or complete() has said so.
    bool finished() const noexcept { return phase_ == Phase::finished; }

    /// Whether use_bounce() has to come before next().
    bool needs_bounce() const noexcept { return needs_bounce_; }

    /// `buffer`: bounce_bytes long and aligned, until the request is finished.
    void use_bounce(std::byte* buffer) noexcept { bounce_ = buffer; }

    FileStep next() noexcept;

    /// From any thread, between start() and the request's end.
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

    /// `result` of the step: bytes moved or 0, or a negative errno. True: the request is finished and its result set.
    /// False: next() has more to do.
    bool complete(std::int64_t result) noexcept;

private:
    enum class Phase : std::uint8_t { finished, transfer, punch, zero_range, write_zeroes, sync };

    FileStep next_transfer() noexcept;
    FileStep next_zeroes() noexcept;
    bool complete_step(std::int64_t result) noexcept;
    bool complete_transfer(std::int64_t result) noexcept;
    bool complete_allocation(std::int64_t result) noexcept;
    bool finish(int result) noexcept;
    bool finish_changes() noexcept;
    Phase zeroes_after(Phase before) const noexcept;
    std::uint64_t gather() noexcept;
    void advance(std::uint64_t bytes) noexcept;

    BlockRequest* request_ = nullptr;
    FileTraits* traits_ = nullptr;
    std::byte* bounce_ = nullptr;
    std::uint64_t offset_bytes_ = 0;     // of what is left to do
    std::uint64_t remaining_bytes_ = 0;  // likewise
    std::size_t segment_ = 0;            // the first that is not wholly done; it has been advanced in place
    iovec single_{};                     // for steps whose one segment is not the request's own
    std::uint32_t attempts_ = 0;
    Phase phase_ = Phase::finished;
    bool needs_bounce_ = false;
    std::atomic<bool> cancelled_{false};
};

}  // namespace sidecore::storage
