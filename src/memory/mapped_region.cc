// SPDX-License-Identifier: Apache-2.0
#include "memory/mapped_region.hh"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/format.hh"
#include "memory/placement.hh"

namespace sidecore::memory {

namespace {

std::size_t page_bytes() noexcept {
    static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return bytes;
}

/// The file as mmap will see it.
Result<FileFacts> examine(const RegionFile& region) {
    struct stat file {};
    struct statfs filesystem {};
    if (::fstat(region.file.get(), &file) != 0 || ::fstatfs(region.file.get(), &filesystem) != 0) {
        return failure_from_errno(describe(region.description) + ": examining its file");
    }
    FileFacts facts;
    // Device files (/dev/dax) have no size that fstat would know.
    if (S_ISREG(file.st_mode)) {
        facts.size = static_cast<std::uint64_t>(file.st_size);
    }
    facts.block_bytes =
        filesystem.f_type == HUGETLBFS_MAGIC ? static_cast<std::size_t>(filesystem.f_bsize) : page_bytes();
    return facts;
}

}  // namespace

Result<FileIdentity> FileIdentity::of(int fd) {
    struct stat file {};
    if (::fstat(fd, &file) != 0) {
        return failure_from_errno("examining a memory region's file");
    }
    return FileIdentity{file.st_dev, file.st_ino};
}

Result<std::shared_ptr<Reservation>> Reservation::create(std::size_t size, std::size_t alignment, std::size_t phase) {
    // Over-reserve by the alignment and give back what is too much.
    const std::size_t slack = alignment > page_bytes() ? alignment : 0;
    void* const raw = ::mmap(nullptr, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
        return failure_from_errno(fmt::format("reserving {:#x} bytes of address space", size + slack));
    }
    auto* const begin = static_cast<HostPointer>(raw);
    const std::size_t before = (phase - reinterpret_cast<std::uintptr_t>(begin)) & (alignment - 1);
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

Result<std::vector<std::shared_ptr<MappedRegion>>> MappedRegion::map_all(std::span<const RegionFile> regions) {
    std::vector<RegionDescription> descriptions;
    std::vector<Placement> placements;
    descriptions.reserve(regions.size());
    placements.reserve(regions.size());
    for (const RegionFile& region : regions) {
        SIDECORE_TRY_ASSIGN(const auto facts, examine(region));
        SIDECORE_TRY_ASSIGN(const auto placement, Placement::of(region.description, facts));
        descriptions.push_back(region.description);
        placements.push_back(placement);
    }

    std::vector<std::shared_ptr<MappedRegion>> mapped;
    mapped.reserve(regions.size());
    for (const Run& run : plan_runs(descriptions, placements, page_bytes())) {
        SIDECORE_TRY_ASSIGN(const auto reservation, Reservation::create(run.size, run.alignment, run.phase));
        HostPointer place = reservation->start();
        const std::size_t end = mapped.size() + run.count;
        for (std::size_t i = mapped.size(); i < end; ++i) {
            const RegionDescription& description = descriptions[i];
            SIDECORE_TRY_ASSIGN(const FileIdentity file, FileIdentity::of(regions[i].file.get()));
            const Placement& placement = placements[i];
            if (::mmap(place, placement.mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
                       regions[i].file.get(),
                       static_cast<off_t>(description.mmap_offset - placement.lead)) == MAP_FAILED) {
                return failure_from_errno(describe(description) + ": mapping it");
            }
            // A guest's memory has no place in our cores.
            ::madvise(place, placement.mapping_size, MADV_DONTDUMP);
            mapped.push_back(std::shared_ptr<MappedRegion>(new MappedRegion(
                description, file, place, placement.mapping_size, placement.block_bytes, placement.lead, reservation)));
            place += placement.mapping_size;
        }
    }
    return mapped;
}

MappedRegion::MappedRegion(const RegionDescription& description, const FileIdentity& file, HostPointer mapping,
                           std::size_t mapping_size, std::size_t block_bytes, std::size_t lead,
                           std::shared_ptr<Reservation> reservation)
    : description_(description),
      file_(file),
      mapping_(mapping),
      mapping_size_(mapping_size),
      host_(mapping + lead),
      reservation_(std::move(reservation)),
      guard_(mapping, mapping_size, block_bytes) {}

MappedRegion::~MappedRegion() {
    // Back to inaccessible rather than unmapped: the reservation still owns the place. The result does not
    // matter; without memory for a new mapping the old one stays until the reservation goes.
    [[maybe_unused]] void* const place =
        ::mmap(mapping_, mapping_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

bool MappedRegion::continues_into(const MappedRegion& next) const noexcept {
    return description_.guest_address + description_.size == next.description_.guest_address &&
           description_.user_address + description_.size == next.description_.user_address &&
           reservation_ == next.reservation_ && host_ + description_.size == next.host_;
}

}  // namespace sidecore::memory
