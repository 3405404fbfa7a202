// SPDX-License-Identifier: Apache-2.0
#include "memory/memory_map.hh"

#include <algorithm>

#include "base/format.hh"
#include "memory/mapped_region.hh"

namespace sidecore::memory {

namespace {

Result<void> check_one(const RegionDescription& region) {
    if (region.size == 0) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("memory region at guest address {:#x} has size 0", region.guest_address.value));
    }
    const std::uint64_t last = region.size - 1;
    if ((region.guest_address + last) < region.guest_address || (region.user_address + last) < region.user_address) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("memory region at guest address {:#x}, user address {:#x}, size {:#x} goes beyond "
                                   "2^64",
                                   region.guest_address.value, region.user_address.value, region.size));
    }
    return {};
}

/// `starts` are (start, size) in one address space.
Result<void> check_overlap(std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges, const char* space) {
    std::sort(ranges.begin(), ranges.end());
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        const auto& [below, size] = ranges[i - 1];
        const auto& [above, above_size] = ranges[i];
        if (above - below < size) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("memory regions overlap in {} addresses: {:#x}+{:#x} and {:#x}+{:#x}", space,
                                       below, size, above, above_size));
        }
    }
    return {};
}

Result<void> check_all(const std::vector<RegionDescription>& regions) {
    if (regions.empty()) {
        return failure(ErrorKind::invalid_argument, "a memory table needs at least one region");
    }
    if (regions.size() > MemoryMap::max_regions) {
        return failure(ErrorKind::invalid_argument, fmt::format("{} memory regions, at most {} are possible",
                                                                regions.size(), MemoryMap::max_regions));
    }
    std::vector<std::pair<std::uint64_t, std::uint64_t>> guest;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> user;
    for (const auto& region : regions) {
        SIDECORE_TRY(check_one(region));
        guest.emplace_back(region.guest_address.value, region.size);
        user.emplace_back(region.user_address.value, region.size);
    }
    SIDECORE_TRY(check_overlap(std::move(guest), "guest"));
    return check_overlap(std::move(user), "user");
}

}  // namespace

bool same_place(const RegionDescription& one, const RegionDescription& other) noexcept {
    return one.guest_address == other.guest_address && one.user_address == other.user_address && one.size == other.size;
}

std::string describe(const RegionDescription& region) {
    return fmt::format("memory region at guest address {:#x}, size {:#x}, file offset {:#x}",
                       region.guest_address.value, region.size, region.mmap_offset);
}

Result<std::shared_ptr<const MemoryMap>> MemoryMap::create(std::vector<RegionFile> regions) {
    std::vector<RegionDescription> descriptions;
    descriptions.reserve(regions.size());
    for (const auto& region : regions) {
        descriptions.push_back(region.description);
    }
    SIDECORE_TRY(check_all(descriptions));
    std::sort(regions.begin(), regions.end(), [](const RegionFile& a, const RegionFile& b) {
        return a.description.guest_address < b.description.guest_address;
    });
    SIDECORE_TRY_ASSIGN(auto mapped, MappedRegion::map_all(regions));
    return from_regions(std::move(mapped));
}

Result<std::shared_ptr<const MemoryMap>> MemoryMap::with_region(RegionFile region) const {
    auto descriptions = this->regions();
    descriptions.push_back(region.description);
    SIDECORE_TRY(check_all(descriptions));
    SIDECORE_TRY_ASSIGN(auto mapped, MappedRegion::map_all({&region, 1}));
    auto all = regions_;
    all.push_back(std::move(mapped.front()));
    return from_regions(std::move(all));
}

bool MemoryMap::holds(const RegionFile& region) const {
    const auto file = FileIdentity::of(region.file.get());
    return file && std::any_of(regions_.begin(), regions_.end(), [&](const auto& known) {
               return known->description() == region.description && known->file() == *file;
           });
}

Result<std::shared_ptr<const MemoryMap>> MemoryMap::without_region(const RegionDescription& region) const {
    auto all = regions_;
    const auto found = std::find_if(
        all.begin(), all.end(), [&](const auto& candidate) { return same_place(candidate->description(), region); });
    if (found == all.end()) {
        return failure(ErrorKind::not_found,
                       fmt::format("there is no memory region at guest address {:#x}, user address {:#x}, size {:#x}",
                                   region.guest_address.value, region.user_address.value, region.size));
    }
    all.erase(found);
    return from_regions(std::move(all));
}

Result<std::shared_ptr<const MemoryMap>> MemoryMap::from_regions(std::vector<std::shared_ptr<MappedRegion>> regions) {
    return std::shared_ptr<const MemoryMap>(new MemoryMap(std::move(regions)));
}

MemoryMap::MemoryMap(std::vector<std::shared_ptr<MappedRegion>> regions) : regions_(std::move(regions)) {
    std::sort(regions_.begin(), regions_.end(), [](const auto& a, const auto& b) {
        return a->description().guest_address < b->description().guest_address;
    });
    for (std::size_t i = 0; i < regions_.size(); ++i) {
        const auto& region = *regions_[i];
        if (i > 0 && regions_[i - 1]->continues_into(region)) {
            by_guest_.back().size += region.description().size;
            by_user_.back().size += region.description().size;
        } else {
            by_guest_.push_back({region.description().guest_address.value, region.description().size, region.host()});
            by_user_.push_back({region.description().user_address.value, region.description().size, region.host()});
        }
    }
    std::sort(by_user_.begin(), by_user_.end(), [](const Extent& a, const Extent& b) { return a.start < b.start; });
}

HostPointer MemoryMap::search(const std::vector<Extent>& extents, std::uint64_t start, std::uint64_t length) noexcept {
    const auto above = std::upper_bound(extents.begin(), extents.end(), start,
                                        [](std::uint64_t value, const Extent& extent) { return value < extent.start; });
    return above == extents.begin() ? nullptr : in_extent(*std::prev(above), start, length);
}

/// Calls visit(host, bytes) for the pieces of a range in order, until it returns false; false if that
/// happened or a part of the range is not mapped.
template <typename Visit>
bool MemoryMap::walk(GuestAddress start, std::uint64_t length, Visit visit) const noexcept {
    std::uint64_t address = start.value;
    auto extent = std::upper_bound(by_guest_.begin(), by_guest_.end(), address,
                                   [](std::uint64_t value, const Extent& e) { return value < e.start; });
    if (extent == by_guest_.begin()) {
        return false;
    }
    --extent;
    while (length != 0) {
        if (extent == by_guest_.end()) {
            return false;
        }
        // Wraps when there is a hole before this extent, and then lies beyond its size.
        const std::uint64_t offset = address - extent->start;
        if (offset >= extent->size) {
            return false;
        }
        const std::uint64_t here = std::min(length, extent->size - offset);
        if (!visit(extent->host + offset, here)) {
            return false;
        }
        address += here;
        length -= here;
        ++extent;
    }
    return true;
}

std::size_t MemoryMap::translate_across(GuestAddress start, std::uint64_t length, std::span<iovec> out) const noexcept {
    std::size_t count = 0;
    const bool whole = walk(start, length, [&](HostPointer host, std::uint64_t bytes) {
        if (count == out.size()) {
            return false;
        }
        out[count++] = {host, bytes};
        return true;
    });
    return whole ? count : 0;
}

bool MemoryMap::covers(GuestAddress start, std::uint64_t length) const noexcept {
    return walk(start, length, [](HostPointer, std::uint64_t) { return true; });
}

std::vector<RegionDescription> MemoryMap::regions() const {
    std::vector<RegionDescription> all;
    all.reserve(regions_.size());
    for (const auto& region : regions_) {
        all.push_back(region->description());
    }
    return all;
}

bool MemoryMap::damaged() const noexcept {
    return std::any_of(regions_.begin(), regions_.end(), [](const auto& region) { return region->damaged(); });
}

}  // namespace sidecore::memory
