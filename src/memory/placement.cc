// SPDX-License-Identifier: Apache-2.0
#include "memory/placement.hh"

#include <algorithm>

#include "base/format.hh"

namespace sidecore::memory {

namespace {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) noexcept {
    return (value + multiple - 1) & ~(multiple - 1);
}

static_assert(max_region_bytes * MemoryMap::max_regions < std::uint64_t{1} << 62U,
              "sizes of a whole map, rounded up to any block size, must add up without wrapping");

}  // namespace

Result<Placement> Placement::of(const RegionDescription& region, const FileFacts& file) {
    if (region.size > max_region_bytes) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: larger than any machine's memory", describe(region)));
    }
    const std::uint64_t file_end = region.mmap_offset + region.size;
    if (file_end < region.size) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: offset and size add up to more than 2^64", describe(region)));
    }
    if (file.size && file_end > *file.size) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: its file is only {:#x} bytes long", describe(region), *file.size));
    }
    Placement placement;
    placement.block_bytes = file.block_bytes;
    placement.lead = region.mmap_offset % file.block_bytes;
    placement.mapping_size = round_up(placement.lead + region.size, file.block_bytes);
    return placement;
}

std::vector<Run> plan_runs(std::span<const RegionDescription> regions, std::span<const Placement> placements,
                           std::size_t page_bytes) {
    std::vector<Run> runs;
    for (std::size_t first = 0; first < regions.size(); first += runs.back().count) {
        const Placement& start = placements[first];
        Run run{1, start.mapping_size, std::max(start.block_bytes, page_bytes), 0};
        for (std::size_t i = first + 1; i < regions.size(); ++i) {
            const RegionDescription& before = regions[i - 1];
            const bool adjacent = before.guest_address + before.size == regions[i].guest_address &&
                                  before.user_address + before.size == regions[i].user_address;
            if (!adjacent || !placements[i - 1].fills_its_blocks(before) ||
                !placements[i].fills_its_blocks(regions[i]) || run.size % placements[i].block_bytes != 0) {
                break;
            }
            ++run.count;
            run.size += placements[i].mapping_size;
            run.alignment = std::max(run.alignment, placements[i].block_bytes);
        }
        if (run.alignment < transparent_huge_page_bytes && run.size >= transparent_huge_page_bytes) {
            run.alignment = transparent_huge_page_bytes;
            run.phase = (regions[first].mmap_offset - start.lead) % transparent_huge_page_bytes;
        }
        runs.push_back(run);
    }
    return runs;
}

}  // namespace sidecore::memory
