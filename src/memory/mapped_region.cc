// SPDX-License-Identifier: Apache-2.0
#include "memory/mapped_region.hh"

#include <algorithm>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sidecore::memory {

namespace {

std::size_t page_bytes() noexcept {
    static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return bytes;
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) noexcept {
    return (value + multiple - 1) & ~(multiple - 1);
}

std::string describe(const RegionDescription& region) {
    return fmt::format("memory region at guest address {:#x}, size {:#x}, file offset {:#x}",
                       region.guest_address.value, region.size, region.mmap_offset);
}

}  // namespace

Result<std::shared_ptr<Reservation>> Reservation::create(std::size_t size, std::size_t alignment) {
    // Over-reserve by the alignment and give back what is too much.
    const std::size_t slack = alignment > page_bytes() ? alignment : 0;
    void* const raw =
        ::mmap(nullptr, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
        return failure_from_errno(fmt::format("reserving {:#x} bytes of address space", size + slack));
    }
    auto* const begin = static_cast<HostPointer>(raw);
    const std::size_t before = round_up(reinterpret_cast<std::uintptr_t>(begin), alignment) -
                               reinterpret_cast<std::uintptr_t>(begin);
    if (before != 0) {
        ::munmap(begin, before);
    }
    if (const std::size_t after = slack - before; slack != 0 && after != 0) {
        ::munmap(begin + before + size, after);
    }
    return std::shared_ptr<Reservation>(new Reservation(begin + before, size));
}

Reservation::~Reservation() {
    ::munmap(start_, size_);
}

/// How one region will lie: found out before anything is mapped.
struct MappedRegion::Placement {
    std::size_t block_bytes = 0;  // page size of the file: its huge page size on hugetlbfs
    std::size_t lead = 0;         // bytes from the block-aligned file offset to the region's
    std::size_t mapping_size = 0;

    bool block_aligned(const RegionDescription& region) const noexcept {
        return lead == 0 && region.size % block_bytes == 0;
    }

    static Result<Placement> of(const RegionFile& region) {
        struct stat file {};
        struct statfs filesystem {};
        if (::fstat(region.file.get(), &file) != 0 || ::fstatfs(region.file.get(), &filesystem) != 0) {
            return failure_from_errno(describe(region.description) + ": examining its file");
        }
        const auto& description = region.description;
        const std::uint64_t file_end = description.mmap_offset + description.size;
        if (file_end < description.size) {
            return failure(ErrorKind::invalid_argument,
                           describe(description) + ": offset and size add up to more than 2^64");
        }
        // Device files (/dev/dax) have no size that fstat would know; mmap checks those.
        if (S_ISREG(file.st_mode) && file_end > static_cast<std::uint64_t>(file.st_size)) {
            return failure(ErrorKind::invalid_argument, fmt::format("{}: its file is only {:#x} bytes long",
                                                                    describe(description), file.st_size));
        }
        Placement placement;
        placement.block_bytes = filesystem.f_type == HUGETLBFS_MAGIC
                                    ? static_cast<std::size_t>(filesystem.f_bsize)
                                    : page_bytes();
        placement.lead = description.mmap_offset % placement.block_bytes;
        if (description.size > std::uint64_t{1} << 62U) {
            return failure(ErrorKind::invalid_argument,
                           describe(description) + ": larger than any address space");
        }
        placement.mapping_size = round_up(placement.lead + description.size, placement.block_bytes);
        return placement;
    }
};

Result<std::vector<std::shared_ptr<MappedRegion>>> MappedRegion::map_all(
    std::span<const RegionFile> regions) {
    std::vector<Placement> placements;
    placements.reserve(regions.size());
    for (const RegionFile& region : regions) {
        SIDECORE_TRY_ASSIGN(const auto placement, Placement::of(region));
        placements.push_back(placement);
    }

    std::vector<std::shared_ptr<MappedRegion>> mapped;
    mapped.reserve(regions.size());
    for (std::size_t first = 0; first < regions.size();) {
        // A run: regions that can lie side by side.
        std::size_t last = first;
        std::size_t run_size = placements[first].mapping_size;
        std::size_t alignment = placements[first].block_bytes;
        while (last + 1 < regions.size()) {
            const auto& here = regions[last].description;
            const auto& next = regions[last + 1].description;
            const bool adjacent = here.guest_address + here.size == next.guest_address &&
                                  here.user_address + here.size == next.user_address;
            if (!adjacent || !placements[last].block_aligned(here) ||
                !placements[last + 1].block_aligned(next) ||
                run_size % placements[last + 1].block_bytes != 0) {
                break;
            }
            ++last;
            run_size += placements[last].mapping_size;
            alignment = std::max(alignment, placements[last].block_bytes);
        }
        SIDECORE_TRY_ASSIGN(const auto reservation, Reservation::create(run_size, alignment));
        HostPointer place = reservation->start();
        for (; first <= last; ++first) {
            const auto& description = regions[first].description;
            const Placement& placement = placements[first];
            if (::mmap(place, placement.mapping_size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_NORESERVE | MAP_FIXED, regions[first].file.get(),
                       static_cast<off_t>(description.mmap_offset - placement.lead)) == MAP_FAILED) {
                return failure_from_errno(describe(description) + ": mapping it");
            }
            ::madvise(place, placement.mapping_size,
                      MADV_DONTDUMP);  // a guest's memory has no place in our cores
            mapped.push_back(std::shared_ptr<MappedRegion>(
                new MappedRegion(description, place, placement.mapping_size, placement.block_bytes,
                                 placement.lead, reservation)));
            place += placement.mapping_size;
        }
    }
    return mapped;
}

MappedRegion::MappedRegion(const RegionDescription& description, HostPointer mapping,
                           std::size_t mapping_size, std::size_t block_bytes, std::size_t lead,
                           std::shared_ptr<Reservation> reservation)
    : description_(description),
      mapping_(mapping),
      mapping_size_(mapping_size),
      host_(mapping + lead),
      reservation_(std::move(reservation)),
      guard_(mapping, mapping_size, block_bytes) {}

MappedRegion::~MappedRegion() {
    // Back to inaccessible rather than unmapped: the reservation still owns the place. The result does not
    // matter; without memory for a new mapping the old one stays until the reservation goes.
    ::mmap(mapping_, mapping_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
           0);
}

bool MappedRegion::continues_into(const MappedRegion& next) const noexcept {
    return description_.guest_address + description_.size == next.description_.guest_address &&
           description_.user_address + description_.size == next.description_.user_address &&
           reservation_ == next.reservation_ && host_ + description_.size == next.host_;
}

}  // namespace sidecore::memory
