// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "base/error.hh"
#include "storage/block_backend.hh"

namespace sidecore::storage {

/// Anonymous memory that is addressed like a disk, costs only what was written, and can be resized under the feet of
/// its readers and writers without a lock.
///
/// Thread: resize() from one control thread at a time; read(), write() and zero() from any thread at any time. Two
/// that overlap leave a mixture of both, as on a disk.
///
/// Invariants that make resize() free of races:
///  1. The memory is a sequence of extents, reserved as address space and opened as the disk grows. An extent never
///     moves, and nothing is unmapped before the destructor. So an address found once stays good, and a thread
///     that still believes in an older, larger size harms nobody.
///  2. An extent is written down before the size that reaches into it is published (release), and found only by
///     offsets below a size that was read (acquire). The list of extents needs no synchronisation of its own.
///  3. Growing by less than was reserved opens more of the last extent. Else a new one is reserved, as large as all
///     others together if possible, so that the fixed list outlasts the address space.
class SparseMemory {
public:
    static Result<std::unique_ptr<SparseMemory>> create(std::uint64_t size_bytes);
    ~SparseMemory();
    SparseMemory(const SparseMemory&) = delete;
    SparseMemory& operator=(const SparseMemory&) = delete;

    std::uint64_t size_bytes() const noexcept { return size_bytes_.load(std::memory_order_acquire); }

    /// What is cut off is given back; what is added reads as zeroes.
    Result<void> resize(std::uint64_t size_bytes);

    /// The range lies below a size_bytes() that the caller has seen; the segments hold at least `length`.
    void read(std::uint64_t offset, std::uint64_t length, std::span<const iovec> segments) const noexcept;
    void write(std::uint64_t offset, std::uint64_t length, std::span<const iovec> segments) noexcept;

    /// Gives the memory back to the system where that is worth a system call.
    void zero(std::uint64_t offset, std::uint64_t length) noexcept;

    /// Likewise `offset`. What the system has pages for, in memory or swapped out, a bounded number of pages further.
    AllocatedRun allocated_run(std::uint64_t offset) const noexcept;

private:
    struct Extent {
        std::uint64_t start = 0;
        std::uint64_t reserved_bytes = 0;
        std::byte* host = nullptr;
    };
    static constexpr std::size_t extents_max = 48;

    SparseMemory() = default;

    template <typename Visit>
    void for_each_piece(std::uint64_t offset, std::uint64_t length, Visit visit) const;
    Result<void> open_up_to(std::uint64_t size_bytes);
    Result<void> add_extent(std::uint64_t needed_bytes);

    std::array<Extent, extents_max> extents_{};  // written by the control thread, see invariant 2
    std::atomic<std::uint64_t> size_bytes_{0};

    // The control thread's own.
    std::size_t extent_count_ = 0;
    std::uint64_t reserved_bytes_ = 0;  // of all extents
    std::uint64_t open_bytes_ = 0;      // readable and writable from the start; whole pages
};

}  // namespace sidecore::storage
