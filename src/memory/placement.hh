// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "memory/memory_map.hh"

/// Where regions will lie in this process: arithmetic only, found out before anything is mapped.
/// Thread: any; everything here is a pure function. Sizes and offsets in bytes.
namespace sidecore::memory {

/// The largest region that is believed: x86-64 has no more physical addresses than this. It also keeps the
/// sum of all regions of a map far from 2^64, so that sums of sizes need no further checks.
inline constexpr std::uint64_t max_region_bytes = std::uint64_t{1} << 52U;

/// Regions of at least this size are laid so that the kernel can back them with transparent huge pages: their
/// address and their file offset agree modulo this size.
inline constexpr std::size_t transparent_huge_page_bytes = std::size_t{2} << 20U;

/// What mapping needs to know about a region's file.
struct FileFacts {
    std::optional<std::uint64_t> size;  ///< of a regular file; other files' is not known, and mmap checks it
    std::size_t block_bytes = 0;        ///< page size of its mappings: hugetlbfs has its own; a power of two
};

/// One region's mapping.
struct Placement {
    std::size_t block_bytes = 0;
    std::size_t lead = 0;          ///< from the block-aligned file offset of the mapping to the region's
    std::size_t mapping_size = 0;  ///< whole blocks

    /// Fails if the region is not all in its file, or larger than max_region_bytes.
    static Result<Placement> of(const RegionDescription& region, const FileFacts& file);

    /// Whether the region begins and ends with a block, so that neighbours can touch it on both sides.
    bool fills_its_blocks(const RegionDescription& region) const noexcept {
        return lead == 0 && region.size % block_bytes == 0;
    }
};

/// Regions that lie side by side: one reservation, filled in order.
struct Run {
    std::size_t count = 0;
    std::size_t size = 0;
    std::size_t alignment = 0;
    std::size_t phase = 0;  ///< the reservation's start modulo `alignment`
};

/// Cuts `regions` (in order of guest address, none overlapping, placements[i] belonging to regions[i]) into
/// runs as long as possible: neighbours in guest and user addresses whose block sizes allow it.
std::vector<Run> plan_runs(std::span<const RegionDescription> regions, std::span<const Placement> placements,
                           std::size_t page_bytes);

}  // namespace sidecore::memory
