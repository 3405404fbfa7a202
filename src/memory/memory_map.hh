// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "memory/address.hh"

namespace sidecore::memory {

/// One region as a front-end describes it (vhost-user "Memory region description"). Sizes and offsets in
/// bytes.
struct RegionDescription {
    GuestAddress guest_address;
    std::uint64_t size = 0;
    UserAddress user_address;
    std::uint64_t mmap_offset = 0;  ///< where the region starts in the file

    friend bool operator==(const RegionDescription&, const RegionDescription&) = default;
};

/// Whether they have the same addresses and size, which is how REM_MEM_REG says which region it means.
bool same_place(const RegionDescription& one, const RegionDescription& other) noexcept;

/// For messages: "memory region at guest address 0x0, size 0x1000, file offset 0x0".
std::string describe(const RegionDescription& region);

/// A description and the file that it describes.
struct RegionFile {
    RegionDescription description;
    Fd file;
};

class MappedRegion;

/// A guest's memory as mapped into this process: up to 509 regions, immutable.
///
/// Thread: any number of threads may use a map at the same time. A change makes a new map, which shares the
/// regions that stay; memory is unmapped when the last map with it goes. Whoever holds a host pointer holds
/// the map.
///
/// Invariants:
///  1. Regions overlap neither in guest nor in user addresses, none is empty, none wraps around 2^64.
///  2. The file of each region was at least as long as the region when it was mapped.
///  3. Regions that follow each other in guest *and* user addresses, and came in the same table, lie one
///  behind the
///     other in this process where their files' block sizes allow. They then form one *extent*, so that a
///     buffer or a ring across them is one range, and a guest with one region per huge page still has one
///     extent.
class MemoryMap {
public:
    /// VHOST_USER_GET_MAX_MEM_SLOTS: as many as KVM and the kernel's vhost allow.
    static constexpr std::size_t max_regions = 509;

    /// Maps a whole table (SET_MEM_TABLE).
    static Result<std::shared_ptr<const MemoryMap>> create(std::vector<RegionFile> regions);

    /// The map with one region more (ADD_MEM_REG).
    Result<std::shared_ptr<const MemoryMap>> with_region(RegionFile region) const;

    /// Whether it has just this region: the same addresses, size and place in the same file.
    bool holds(const RegionFile& region) const;

    /// The map without the region that has this guest address, user address and size (REM_MEM_REG).
    Result<std::shared_ptr<const MemoryMap>> without_region(const RegionDescription& region) const;

    /// `length` bytes from `start` as one range, or nullptr: not all of it mapped, or not contiguous here.
    HostPointer translate(GuestAddress start, std::uint64_t length) const noexcept {
        return find_in(by_guest_, start.value, length);
    }
    HostPointer translate(UserAddress start, std::uint64_t length) const noexcept {
        return find_in(by_user_, start.value, length);
    }

    /// `length` bytes from `start` as one or more ranges, written to `out` in order. Returns how many, or 0:
    /// not all of it mapped, `length` is 0, or `out` is too short.
    std::size_t translate(GuestAddress start, std::uint64_t length, std::span<iovec> out) const noexcept {
        if (HostPointer host = find_in(by_guest_, start.value, length); host != nullptr && !out.empty()) {
            out[0] = {host, length};
            return length != 0 ? 1 : 0;
        }
        return translate_across(start, length, out);
    }

    /// Whether all of `length` bytes from `start` is mapped, in however many pieces.
    bool covers(GuestAddress start, std::uint64_t length) const noexcept;

    std::vector<RegionDescription> regions() const;
    std::size_t region_count() const noexcept { return regions_.size(); }
    std::size_t extent_count() const noexcept { return by_guest_.size(); }

    /// Whether a region's file was found shorter than its mapping (the front-end truncated it): see
    /// fault_guard.hh.
    bool damaged() const noexcept;

private:
    struct Extent {
        std::uint64_t start = 0;
        std::uint64_t size = 0;
        HostPointer host = nullptr;
    };

    explicit MemoryMap(std::vector<std::shared_ptr<MappedRegion>> regions);
    static Result<std::shared_ptr<const MemoryMap>> from_regions(std::vector<std::shared_ptr<MappedRegion>> regions);

    static HostPointer in_extent(const Extent& extent, std::uint64_t start, std::uint64_t length) noexcept {
        // start - extent.start wraps to a huge number when start is below, so one comparison does for both
        // ends.
        const std::uint64_t offset = start - extent.start;
        if (offset < extent.size && length <= extent.size - offset) {
            return extent.host + offset;
        }
        return nullptr;
    }
    static HostPointer find_in(const std::vector<Extent>& extents, std::uint64_t start, std::uint64_t length) noexcept {
        if (extents.size() == 1) {
            return in_extent(extents.front(), start, length);
        }
        return search(extents, start, length);
    }
    static HostPointer search(const std::vector<Extent>& extents, std::uint64_t start, std::uint64_t length) noexcept;
    std::size_t translate_across(GuestAddress start, std::uint64_t length, std::span<iovec> out) const noexcept;

    template <typename Visit>
    bool walk(GuestAddress start, std::uint64_t length, Visit visit) const noexcept;

    std::vector<std::shared_ptr<MappedRegion>> regions_;  // by guest address
    std::vector<Extent> by_guest_;                        // by start, never touching another that it could join
    std::vector<Extent> by_user_;
};

}  // namespace sidecore::memory
