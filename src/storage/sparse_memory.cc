// SPDX-License-Identifier: Apache-2.0
#include "storage/sparse_memory.hh"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.hh"
#include "base/format.hh"
#include "storage/argument_check.hh"

namespace sidecore::storage {

namespace {

// On every architecture that Sidecore runs on a multiple of the page size, or a range that madvise() refuses and that
// is then zeroed by hand.
constexpr std::uint64_t page_bytes = 4096;

// Below this, writing zeroes costs less than a system call and the page faults that follow it.
constexpr std::uint64_t release_bytes_min = 64U << 10U;

constexpr std::uint64_t round_down(std::uint64_t value) noexcept {
    return value & ~(page_bytes - 1);
}
constexpr std::uint64_t round_up(std::uint64_t value) noexcept {
    return round_down(value + page_bytes - 1);
}

bool give_back(std::byte* start, std::uint64_t length) noexcept {
    // Fails where the program has locked its memory.
    return ::madvise(start, length, MADV_DONTNEED) == 0;
}

void zero_range(std::byte* start, std::uint64_t length) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    const std::uint64_t head = std::min(round_up(address) - address, length);
    const std::uint64_t body = round_down(length - head);
    if (body >= release_bytes_min && give_back(start + head, body)) {
        std::memset(start, 0, head);
        std::memset(start + head + body, 0, length - head - body);
    } else {
        std::memset(start, 0, length);
    }
}

/// Walks a list of segments in step with pieces of memory, calling copy(host, segment part, bytes).
template <typename Copy>
class SegmentWalk {
public:
    SegmentWalk(std::span<const iovec> segments, Copy copy) : segments_(segments), copy_(copy) {}

    void operator()(std::byte* host, std::uint64_t length) {
        while (length != 0) {
            assert(!segments_.empty());
            const iovec& segment = segments_.front();
            const std::uint64_t step = std::min<std::uint64_t>(length, segment.iov_len - used_bytes_);
            copy_(host, static_cast<std::byte*>(segment.iov_base) + used_bytes_, step);
            host += step;
            length -= step;
            used_bytes_ += step;
            if (used_bytes_ == segment.iov_len) {
                segments_ = segments_.subspan(1);
                used_bytes_ = 0;
            }
        }
    }

private:
    std::span<const iovec> segments_;
    std::uint64_t used_bytes_ = 0;
    Copy copy_;
};

}  // namespace

Result<std::unique_ptr<SparseMemory>> SparseMemory::create(std::uint64_t size_bytes) {
    std::unique_ptr<SparseMemory> memory(new SparseMemory);
    SIDECORE_TRY(memory->resize(size_bytes));
    return memory;
}

SparseMemory::~SparseMemory() {
    for (std::size_t i = 0; i < extent_count_; ++i) {
        ::munmap(extents_[i].host, extents_[i].reserved_bytes);
    }
}

Result<void> SparseMemory::resize(std::uint64_t size_bytes) {
    const std::uint64_t old_bytes = size_bytes_.load(std::memory_order_relaxed);
    if (size_bytes < old_bytes) {
        size_bytes_.store(size_bytes, std::memory_order_release);
        zero(size_bytes, old_bytes - size_bytes);
        return {};
    }
    SIDECORE_TRY(open_up_to(size_bytes));
    // A writer that had seen an older, larger size may have come late and left something here.
    zero(old_bytes, size_bytes - old_bytes);
    size_bytes_.store(size_bytes, std::memory_order_release);
    return {};
}

Result<void> SparseMemory::open_up_to(std::uint64_t size_bytes) {
    const std::uint64_t wanted_bytes = round_up(size_bytes);
    if (wanted_bytes > reserved_bytes_) {
        SIDECORE_TRY(add_extent(wanted_bytes - reserved_bytes_));
    }
    while (open_bytes_ < wanted_bytes) {
        std::size_t i = extent_count_ - 1;
        while (extents_[i].start > open_bytes_) {
            --i;
        }
        const Extent& extent = extents_[i];
        const std::uint64_t begin = open_bytes_ - extent.start;
        const std::uint64_t end = std::min(wanted_bytes - extent.start, extent.reserved_bytes);
        if (::mprotect(extent.host + begin, end - begin, PROT_READ | PROT_WRITE) != 0) {
            return failure_from_errno(fmt::format("getting memory for a disk of {}", format_size(size_bytes)));
        }
        open_bytes_ = extent.start + end;
    }
    return {};
}

Result<void> SparseMemory::add_extent(std::uint64_t needed_bytes) {
    if (extent_count_ == extents_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a memory disk cannot grow more than {} times", extents_max - 1));
    }
    void* host = MAP_FAILED;
    std::uint64_t length = std::max(needed_bytes, reserved_bytes_);
    for (;;) {
        host = ::mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (host != MAP_FAILED || length == needed_bytes) {
            break;
        }
        length = needed_bytes;
    }
    if (host == MAP_FAILED) {
        return failure_from_errno(fmt::format("reserving {} of address space", format_size(length)));
    }
    // Guests' data has no business in a core dump of the daemon. Old kernels may refuse; then it is just larger.
    ::madvise(host, length, MADV_DONTDUMP);
    extents_[extent_count_++] = {reserved_bytes_, length, static_cast<std::byte*>(host)};
    reserved_bytes_ += length;
    return {};
}

template <typename Visit>
void SparseMemory::for_each_piece(std::uint64_t offset, std::uint64_t length, Visit visit) const {
    if (length == 0) {
        return;
    }
    const Extent* extent = extents_.data();
    while (offset - extent->start >= extent->reserved_bytes) {
        ++extent;
    }
    while (length != 0) {
        const std::uint64_t within = offset - extent->start;
        const std::uint64_t piece = std::min(length, extent->reserved_bytes - within);
        visit(extent->host + within, piece);
        offset += piece;
        length -= piece;
        ++extent;
    }
}

void SparseMemory::read(std::uint64_t offset, std::uint64_t length, std::span<const iovec> segments) const noexcept {
    for_each_piece(offset, length,
                   SegmentWalk(segments, [](const std::byte* host, std::byte* segment, std::uint64_t bytes) {
                       std::memcpy(segment, host, bytes);
                   }));
}

void SparseMemory::write(std::uint64_t offset, std::uint64_t length, std::span<const iovec> segments) noexcept {
    for_each_piece(offset, length,
                   SegmentWalk(segments, [](std::byte* host, const std::byte* segment, std::uint64_t bytes) {
                       std::memcpy(host, segment, bytes);
                   }));
}

AllocatedRun SparseMemory::allocated_run(std::uint64_t offset) const noexcept {
    constexpr AllocatedRun unknown{true, UINT64_MAX};
    const std::uint64_t size = size_bytes();
    if (offset >= size) {
        return {false, UINT64_MAX};
    }
    std::byte* host = nullptr;
    std::uint64_t length = 0;  // in the offset's own extent
    for_each_piece(offset, size - offset, [&](std::byte* piece, std::uint64_t bytes) {
        if (host == nullptr) {
            host = piece;
            length = bytes;
        }
    });
    // mincore() would call a page that has been swapped out absent, too.
    const Fd pages(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    const auto address = reinterpret_cast<std::uintptr_t>(host);
    const std::uint64_t head = address % page_bytes;
    std::array<std::uint64_t, 1024> entries;
    const std::uint64_t wanted = std::min<std::uint64_t>((head + length + page_bytes - 1) / page_bytes, entries.size());
    const ssize_t got = pages ? ::pread(pages.get(), entries.data(), wanted * sizeof(entries[0]),
                                        static_cast<off_t>(address / page_bytes * sizeof(entries[0])))
                              : -1;
    if (::sysconf(_SC_PAGESIZE) != static_cast<long>(page_bytes) || got < static_cast<ssize_t>(sizeof(entries[0]))) {
        return unknown;
    }
    constexpr std::uint64_t present_or_swapped = std::uint64_t{3} << 62U;
    const auto found = std::span(entries).first(static_cast<std::size_t>(got) / sizeof(entries[0]));
    const bool allocated = (found[0] & present_or_swapped) != 0;
    const auto end = std::ranges::find_if(
        found, [&](std::uint64_t entry) { return ((entry & present_or_swapped) != 0) != allocated; });
    const auto pages_alike = static_cast<std::uint64_t>(end - found.begin());
    return {allocated, std::min(pages_alike * page_bytes - head, length)};
}

void SparseMemory::zero(std::uint64_t offset, std::uint64_t length) noexcept {
    for_each_piece(offset, length, zero_range);
}

}  // namespace sidecore::storage
