// SPDX-License-Identifier: Apache-2.0
#include "memory/placement.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::memory {
namespace {

using testing::HasSubstr;

constexpr std::size_t small = 4096;
constexpr std::size_t huge = std::size_t{2} << 20U;
constexpr std::size_t giant = std::size_t{1} << 30U;

/// Regions given as (guest, user, size, offset, block size), in files that are long enough.
struct Region {
    std::uint64_t guest;
    std::uint64_t user;
    std::uint64_t size;
    std::uint64_t offset = 0;
    std::size_t block = small;
};

std::vector<Run> plan(const std::vector<Region>& regions) {
    std::vector<RegionDescription> descriptions;
    std::vector<Placement> placements;
    for (const Region& r : regions) {
        descriptions.push_back({GuestAddress{r.guest}, r.size, UserAddress{r.user}, r.offset});
        auto placement = Placement::of(descriptions.back(), {std::nullopt, r.block});
        EXPECT_TRUE(placement.has_value());
        placements.push_back(*placement);
    }
    return plan_runs(descriptions, placements, small);
}

TEST(Placement, of_a_region_that_starts_with_a_page) {
    const auto placement = Placement::of({GuestAddress{0}, 0x5000, UserAddress{0}, 0x3000}, {0x8000, small});
    ASSERT_TRUE(placement.has_value());
    EXPECT_EQ(placement->lead, 0U);
    EXPECT_EQ(placement->mapping_size, 0x5000U);
    EXPECT_EQ(placement->block_bytes, small);
}

TEST(Placement, starts_mapping_a_block_earlier_when_the_offset_is_inside_one) {
    const auto placement = Placement::of({GuestAddress{0}, 0x1000, UserAddress{0}, 0x3010}, {0x8000, small});
    ASSERT_TRUE(placement.has_value());
    EXPECT_EQ(placement->lead, 0x10U);
    EXPECT_EQ(placement->mapping_size, 0x2000U) << "its last 16 bytes are in a second page";
}

TEST(Placement, rounds_to_huge_pages_where_the_file_has_them) {
    const auto placement = Placement::of({GuestAddress{0}, huge, UserAddress{0}, huge + 0x3000}, {4 * huge, huge});
    ASSERT_TRUE(placement.has_value());
    EXPECT_EQ(placement->lead, 0x3000U);
    EXPECT_EQ(placement->mapping_size, 2 * huge);
}

TEST(Placement, refuses_a_file_that_is_one_byte_too_short) {
    const RegionDescription region{GuestAddress{0x1000}, 0x1000, UserAddress{0}, 0x1000};
    EXPECT_TRUE(Placement::of(region, {0x2000, small}).has_value());
    const auto refused = Placement::of(region, {0x1fff, small});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(refused.error().message,
              "memory region at guest address 0x1000, size 0x1000, file offset 0x1000: its file is only "
              "0x1fff bytes long");
}

TEST(Placement, refuses_offset_and_size_that_wrap) {
    const auto wrapped =
        Placement::of({GuestAddress{0}, 0x2000, UserAddress{0}, ~std::uint64_t{0} - 0xfff}, {std::nullopt, small});
    ASSERT_FALSE(wrapped.has_value());
    EXPECT_THAT(wrapped.error().message, HasSubstr("add up to more than 2^64"));
}

TEST(Placement, refuses_what_no_machine_has) {
    EXPECT_TRUE(Placement::of({GuestAddress{0}, max_region_bytes, UserAddress{0}, 0}, {std::nullopt, small}));
    const auto refused =
        Placement::of({GuestAddress{0}, max_region_bytes + 1, UserAddress{0}, 0}, {std::nullopt, small});
    ASSERT_FALSE(refused.has_value());
    EXPECT_THAT(refused.error().message, HasSubstr("larger than any machine's memory"));
}

TEST(PlanRuns, joins_neighbours_in_both_spaces) {
    const auto runs = plan({{0x0000, 0x10000, 0x1000}, {0x1000, 0x11000, 0x2000}, {0x3000, 0x13000, 0x1000}});
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].count, 3U);
    EXPECT_EQ(runs[0].size, 0x4000U);
    EXPECT_EQ(runs[0].alignment, small);
}

TEST(PlanRuns, separates_what_is_a_neighbour_in_one_space_only) {
    EXPECT_EQ(plan({{0x0000, 0x10000, 0x1000}, {0x1000, 0x12000, 0x1000}}).size(), 2U) << "hole in user";
    EXPECT_EQ(plan({{0x0000, 0x10000, 0x1000}, {0x2000, 0x11000, 0x1000}}).size(), 2U) << "hole in guest";
    EXPECT_EQ(plan({{0x0000, 0x11000, 0x1000}, {0x1000, 0x10000, 0x1000}}).size(), 2U) << "order differs";
}

TEST(PlanRuns, separates_regions_that_share_a_block_with_something_else) {
    EXPECT_EQ(plan({{0, 0, 0x1000, 0x10}, {0x1000, 0x1000, 0x1000, 0}}).size(), 2U) << "first has a lead";
    EXPECT_EQ(plan({{0, 0, 0x1000, 0}, {0x1000, 0x1000, 0x1000, 0x10}}).size(), 2U) << "second has a lead";
    EXPECT_EQ(plan({{0, 0, 0x0800, 0}, {0x800, 0x800, 0x1000, 0}}).size(), 2U) << "first ends inside a page";
    EXPECT_EQ(plan({{0, 0, 0x1000, 0}, {0x1000, 0x1000, 0x800, 0}}).size(), 2U) << "second ends inside a page";
}

TEST(PlanRuns, gives_a_run_the_largest_block_as_alignment) {
    const auto runs = plan({{0, 0, huge, 0, huge}, {huge, huge, small, 0, small}});
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].alignment, huge);
    EXPECT_EQ(runs[0].phase, 0U);
    EXPECT_EQ(runs[0].size, huge + small);
}

TEST(PlanRuns, puts_no_huge_page_where_it_would_not_be_aligned) {
    const auto runs = plan({{0, 0, small, 0, small}, {small, small, huge, 0, huge}});
    ASSERT_EQ(runs.size(), 2U);
    EXPECT_EQ(runs[1].alignment, huge);

    // With what fills up to the next huge page before it, it fits.
    EXPECT_EQ(plan({{0, 0, huge, 0, small}, {huge, huge, huge, 0, huge}}).size(), 1U);
}

TEST(PlanRuns, aligns_to_the_largest_of_mixed_huge_pages_and_keeps_each_of_them_aligned) {
    const auto runs =
        plan({{0, 0, giant, 0, giant}, {giant, giant, huge, 0, huge}, {giant + huge, giant + huge, huge, 0, huge}});
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].alignment, giant);

    const auto growing = plan({{0, 0, giant, 0, huge}, {giant, giant, giant, 0, giant}});
    ASSERT_EQ(growing.size(), 1U);
    EXPECT_EQ(growing[0].alignment, giant) << "also if the largest is not the first";

    // A giant page after a huge one would lie off its grid.
    EXPECT_EQ(plan({{0, 0, huge, 0, huge}, {huge, huge, giant, 0, giant}}).size(), 2U);
}

TEST(PlanRuns, makes_one_run_of_one_region_per_huge_page) {
    std::vector<Region> regions;
    for (std::uint64_t i = 0; i < MemoryMap::max_regions; ++i) {
        regions.push_back({0x1'0000'0000 + i * huge, 0x7f00'0000'0000 + i * huge, huge, 0, huge});
    }
    const auto runs = plan(regions);
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].count, MemoryMap::max_regions);
    EXPECT_EQ(runs[0].size, MemoryMap::max_regions * huge);
}

TEST(PlanRuns, lays_large_regions_so_that_the_kernel_can_use_huge_pages) {
    const auto from_the_start = plan({{0, 0, 4 * huge}});
    EXPECT_EQ(from_the_start[0].alignment, huge);
    EXPECT_EQ(from_the_start[0].phase, 0U);

    // A PC's memory above the hole at 640 KiB: address and file offset agree modulo the huge page.
    const auto above_the_hole = plan({{0xc0000, 0x7f00'000c'0000, 4 * huge, 0xc0000}});
    EXPECT_EQ(above_the_hole[0].alignment, huge);
    EXPECT_EQ(above_the_hole[0].phase, 0xc0000U);

    const auto inside_a_page = plan({{0, 0, 4 * huge, 0xc0010}});
    EXPECT_EQ(inside_a_page[0].phase, 0xc0000U) << "the mapping starts a lead earlier";

    const auto too_small = plan({{0, 0, huge - small}});
    EXPECT_EQ(too_small[0].alignment, small);
}

TEST(PlanRuns, does_not_wrap_for_the_largest_map_possible) {
    std::vector<Region> regions;
    for (std::uint64_t i = 0; i < MemoryMap::max_regions; ++i) {
        regions.push_back({i * max_region_bytes, i * max_region_bytes, max_region_bytes, 0, giant});
    }
    const auto runs = plan(regions);
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].size / max_region_bytes, MemoryMap::max_regions);
}

}  // namespace
}  // namespace sidecore::memory
