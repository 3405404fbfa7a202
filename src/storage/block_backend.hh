// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/uio.h>

#include "base/error.hh"

namespace sidecore::storage {

/// Sectors of virtio, whatever a storage back-end's own block is.
inline constexpr std::uint64_t sector_bytes = 512;

enum class BlockOperation : std::uint8_t {
    read,
    write,
    flush,               ///< everything completed before this was submitted is stable when this completes
    discard,             ///< the contents of the range become indeterminate
    write_zeroes,        ///< the range reads as zeroes; keeps its space allocated
    write_zeroes_unmap,  ///< the range reads as zeroes; space may be deallocated
};

/// One request to a storage back-end. Owned by the caller, who keeps it and everything it points at alive and
/// untouched from submit() until reap() hands it back.
struct BlockRequest {
    BlockOperation operation = BlockOperation::read;
    bool durable = false;            ///< writes and write_zeroes: stable before they complete (a write-through cache)
    std::uint64_t offset_bytes = 0;  ///< from the start of the disk; a multiple of logical_block_bytes
    std::uint64_t length_bytes = 0;  ///< of the range, likewise; for read and write, the segments' sum
    std::span<iovec> segments;       ///< read and write: host memory, in order. Any alignment, any lengths but 0.
                                     ///< The storage back-end may advance them in place while it works.
    int result = 0;          ///< set by the storage back-end: 0, or a negative errno. Always: -EROFS for a change to a
                             ///< read-only disk, -EINVAL for a range not in whole logical blocks, -EIO for one that
                             ///< leaves the disk
    std::uint32_t slot = 0;  ///< the queue's own, while the request is in flight
};

/// The I/O of one virtqueue with one storage back-end: submit in batches, reap in batches.
///
/// Thread: belongs to one worker at a time, which makes every call; it may move to another worker between
/// calls, with requests in flight.
/// Invariants:
///  1. Each submitted request is handed back by reap() exactly once, wholly done or failed. Short transfers are
///     continued inside; one that hits the end of the file fails with -EIO. Order is not kept.
///  2. Requests may be finished when submit() returns. So before it goes to sleep on completion_fd(), the caller
///     calls reap() until it gets 0, after the last submit().
/// Destroyed only when nothing is in flight.
class BlockQueue {
public:
    virtual ~BlockQueue() = default;
    BlockQueue() = default;
    BlockQueue(const BlockQueue&) = delete;
    BlockQueue& operator=(const BlockQueue&) = delete;

    /// Starts all of `batch`. The caller keeps requests in flight plus batch within the depth given to
    /// open_queue(). Does not wait for I/O.
    virtual void submit(std::span<BlockRequest* const> batch) noexcept = 0;

    /// Takes up to completed.size() finished requests; returns how many. Does not block; when nothing has
    /// finished it makes no system call.
    virtual std::size_t reap(std::span<BlockRequest*> completed) noexcept = 0;

    /// The caller has no more use for a request that reap() has not handed back yet. It is handed back as every other, sooner if that can be:
    /// with -ECANCELED if it has not been done, or not wholly, else with whatever result it has come to. That may be at once, so that invariant 2
    /// is true of cancel() as of submit().
    virtual void cancel(BlockRequest& request) noexcept { static_cast<void>(request); }

    /// A descriptor that is readable (level-triggered) whenever reap() would return something that came in
    /// after the caller last got 0 from reap() and not inside submit(), or -1 if everything completes there. The caller
    /// adds it to an epoll set and never reads it. A wait may also end with EINTR because a request has
    /// finished (the kernel interrupts the thread that submitted to io_uring): look again, it is no error.
    virtual int completion_fd() const noexcept = 0;
};

/// What a storage back-end's disk is like. Sizes in bytes.
struct BlockGeometry {
    std::uint64_t capacity_bytes = 0;          ///< a multiple of logical_block_bytes
    std::uint32_t logical_block_bytes = 512;   ///< smallest unit that can be addressed; a power of two
    std::uint32_t physical_block_bytes = 512;  ///< unit that the storage writes without a read-modify-write
    std::uint32_t optimal_io_bytes = 0;        ///< 0: unknown
    std::uint32_t discard_granularity_bytes = 512;
    bool read_only = false;
    bool can_discard = false;  ///< a discard gives space back; where false, it succeeds and does nothing
    bool can_write_zeroes = false;
    bool write_zeroes_may_unmap = false;
    bool volatile_write_cache = true;  ///< completed writes may be lost without a flush
};

/// A part of a disk that has space of its own, or none: then it reads as zeroes.
struct AllocatedRun {
    bool allocated = true;
    std::uint64_t length_bytes = 0;  ///< not 0; what follows may be the same. May go beyond the disk's end
};

/// The control handle of a disk.
///
/// Thread: geometry() and open_queue() from any control thread, one at a time; queues are independent of each
/// other, and allocated_run() may be called by any thread at any time. Outlives its queues.
class BlockBackend {
public:
    virtual ~BlockBackend() = default;
    BlockBackend() = default;
    BlockBackend(const BlockBackend&) = delete;
    BlockBackend& operator=(const BlockBackend&) = delete;

    /// "null", "memory", "file".
    virtual std::string_view kind() const noexcept = 0;

    /// One line for a person: path, engine ("io_uring, direct"), size.
    virtual std::string description() const = 0;

    /// As of now; may change after resize().
    virtual BlockGeometry geometry() const = 0;

    /// What has space of its own, from an offset below the capacity on, as of now: a write may change it at any time. May have to wait for the file
    /// system's own data. Storage that cannot tell says that everything has.
    virtual AllocatedRun allocated_run(std::uint64_t offset_bytes) const noexcept {
        static_cast<void>(offset_bytes);
        return {true, UINT64_MAX};
    }

    /// I/O for one more virtqueue, with at most `depth` requests (1 to 32768) in flight.
    virtual Result<std::unique_ptr<BlockQueue>> open_queue(std::uint32_t depth) = 0;

    /// Makes the disk `capacity_bytes` long (a multiple of logical_block_bytes, not 0) where the kind of
    /// storage can, or, for a file that somebody else has resized, takes over its new length when
    /// `capacity_bytes` is 0. Queues may be busy meanwhile: requests beyond a new end fail with -EIO.
    virtual Result<void> resize(std::uint64_t capacity_bytes) = 0;
};

}  // namespace sidecore::storage
