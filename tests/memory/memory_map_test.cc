// SPDX-License-Identifier: Apache-2.0
#include "memory/memory_map.hh"

#include <array>
#include <fcntl.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/memory_files.hh"
#include "memory/placement.hh"

namespace sidecore::memory {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t everything = ~std::uint64_t{0};

std::string error_of(const Result<std::shared_ptr<const MemoryMap>>& result) {
    return result ? "no error" : result.error().message;
}

TEST(MemoryMap, of_one_region_translates_all_of_it_and_nothing_else) {
    const Fd file = make_file(4 * page);
    const auto map = MemoryMap::create(table(region_of(file, 0x10000, 0x7f0000, 4 * page))).value();

    std::byte* const host = map->translate(GuestAddress{0x10000}, 4 * page);
    ASSERT_NE(host, nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0x10000 + page}, 1), host + page);
    EXPECT_EQ(map->translate(UserAddress{0x7f0000 + page}, 3 * page), host + page);
    EXPECT_EQ(map->translate(GuestAddress{0x10000 + 4 * page - 1}, 1), host + 4 * page - 1);

    EXPECT_EQ(map->translate(GuestAddress{0x10000}, 4 * page + 1), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0x10000 + 4 * page - 1}, 2), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0x10000 + 4 * page}, 1), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0xffff}, 1), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0xffff}, 2), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0}, everything), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0x11000}, everything), nullptr) << "wraps to before its start";
    EXPECT_EQ(map->translate(GuestAddress{everything}, 2), nullptr);
    EXPECT_EQ(map->translate(UserAddress{0x10000}, 1), nullptr) << "a guest address is no user address";
}

TEST(MemoryMap, shows_the_files_bytes_and_writes_them) {
    const Fd file = make_file(2 * page);
    set_file_byte(file, page + 5, 0xa5);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, 2 * page))).value();
    EXPECT_EQ(peek(map->translate(GuestAddress{page + 5}, 1)), 0xa5);
    poke(map->translate(UserAddress{7}, 1), 0x5a);
    EXPECT_EQ(file_byte(file, 7), 0x5a);
}

TEST(MemoryMap, translates_ranges_of_zero_bytes_into_no_pieces) {
    const Fd file = make_file(page);
    const auto map = MemoryMap::create(table(region_of(file, 0x1000, 0, page))).value();
    std::array<iovec, 2> pieces{};
    EXPECT_EQ(map->translate(GuestAddress{0x1000}, 0, pieces), 0U);
    EXPECT_EQ(map->translate(GuestAddress{0x9000}, 0, pieces), 0U);
    EXPECT_EQ(map->translate(GuestAddress{0}, 0, pieces), 0U);
}

TEST(MemoryMap, splits_a_range_over_regions_that_do_not_lie_side_by_side) {
    const Fd below = make_file(2 * page);
    const Fd above = make_file(2 * page);
    // Neighbours for the guest, not in user addresses.
    const auto map = MemoryMap::create(
                         table(region_of(below, 0, 0x100000, 2 * page), region_of(above, 2 * page, 0x900000, 2 * page)))
                         .value();
    ASSERT_EQ(map->extent_count(), 2U);
    EXPECT_EQ(map->translate(GuestAddress{2 * page - 1}, 2), nullptr);
    EXPECT_TRUE(map->covers(GuestAddress{0}, 4 * page));
    EXPECT_FALSE(map->covers(GuestAddress{0}, 4 * page + 1));

    std::array<iovec, 2> pieces{};
    ASSERT_EQ(map->translate(GuestAddress{page}, 2 * page, pieces), 2U);
    EXPECT_EQ(pieces[0].iov_base, map->translate(GuestAddress{page}, page));
    EXPECT_EQ(pieces[0].iov_len, page);
    EXPECT_EQ(pieces[1].iov_base, map->translate(GuestAddress{2 * page}, page));
    EXPECT_EQ(pieces[1].iov_len, page);

    EXPECT_EQ(map->translate(GuestAddress{page}, 2 * page, std::span(pieces).first(1)), 0U) << "no room";
    EXPECT_EQ(map->translate(GuestAddress{page}, page, std::span<iovec>{}), 0U) << "no room at all";
    EXPECT_EQ(map->translate(GuestAddress{page}, 4 * page, pieces), 0U) << "the end is not mapped";
    EXPECT_EQ(map->translate(GuestAddress{page}, everything, pieces), 0U) << "wraps";
}

TEST(MemoryMap, joins_neighbours_of_one_table_into_one_extent) {
    const Fd below = make_file(2 * page);
    const Fd middle = make_file(page);
    const Fd above = make_file(3 * page);
    const auto map =
        MemoryMap::create(table(region_of(above, 3 * page, 0x103000, 3 * page), region_of(below, 0, 0x100000, 2 * page),
                                region_of(middle, 2 * page, 0x102000, page)))
            .value();
    EXPECT_EQ(map->region_count(), 3U);
    EXPECT_EQ(map->extent_count(), 1U);
    std::byte* const all = map->translate(GuestAddress{0}, 6 * page);
    ASSERT_NE(all, nullptr);
    EXPECT_EQ(map->translate(UserAddress{0x100000}, 6 * page), all);
    for (std::uint64_t i = 0; i < 6; ++i) {
        poke(all + i * page, static_cast<std::uint8_t>(i + 1));
    }
    EXPECT_EQ(file_byte(below, page), 2);
    EXPECT_EQ(file_byte(middle, 0), 3);
    EXPECT_EQ(file_byte(above, 2 * page), 6);

    std::array<iovec, 1> pieces{};
    EXPECT_EQ(map->translate(GuestAddress{page}, 4 * page, pieces), 1U);
}

TEST(MemoryMap, uses_one_file_for_several_regions) {
    const Fd file = make_file(4 * page);
    set_file_byte(file, 0, 1);
    set_file_byte(file, 3 * page, 4);
    const auto map =
        MemoryMap::create(table(region_of(file, 0, 0, page, 0), region_of(file, page, page, page, 3 * page))).value();
    EXPECT_EQ(map->extent_count(), 1U);
    EXPECT_EQ(peek(map->translate(GuestAddress{0}, 1)), 1);
    EXPECT_EQ(peek(map->translate(GuestAddress{page}, 1)), 4);
}

TEST(MemoryMap, translates_through_more_extents_than_any_buffer_has_pieces_for) {
    std::vector<RegionFile> regions;
    const Fd file = make_file(MemoryMap::max_regions * page);
    for (std::uint64_t i = 0; i < MemoryMap::max_regions; ++i) {
        // Neighbours in guest addresses, backwards in user addresses.
        regions.push_back(region_of(file, i * page, 0x40000000 - i * page, page, i * page));
        set_file_byte(file, i * page, static_cast<std::uint8_t>(i));
    }
    const auto map = MemoryMap::create(std::move(regions)).value();
    ASSERT_EQ(map->extent_count(), MemoryMap::max_regions);
    std::vector<iovec> pieces(MemoryMap::max_regions);
    ASSERT_EQ(map->translate(GuestAddress{0}, MemoryMap::max_regions * page, pieces), MemoryMap::max_regions);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        EXPECT_EQ(peek(static_cast<std::byte*>(pieces[i].iov_base)), static_cast<std::uint8_t>(i));
        EXPECT_EQ(map->translate(UserAddress{0x40000000 - i * page}, page),
                  static_cast<std::byte*>(pieces[i].iov_base));
    }
    pieces.pop_back();
    EXPECT_EQ(map->translate(GuestAddress{0}, MemoryMap::max_regions * page, pieces), 0U);
    EXPECT_TRUE(map->covers(GuestAddress{0}, MemoryMap::max_regions * page));
}

TEST(MemoryMap, reaches_up_to_the_very_end_of_the_address_space) {
    const Fd file = make_file(page);
    const std::uint64_t last_page = everything - page + 1;
    const auto map = MemoryMap::create(table(region_of(file, last_page, last_page, page))).value();
    EXPECT_NE(map->translate(GuestAddress{last_page}, page), nullptr);
    EXPECT_NE(map->translate(UserAddress{everything}, 1), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{everything}, 2), nullptr);
    std::array<iovec, 4> pieces{};
    EXPECT_EQ(map->translate(GuestAddress{everything}, 2, pieces), 0U);
    EXPECT_FALSE(map->covers(GuestAddress{last_page}, page + 1));
}

TEST(MemoryMap, does_not_go_round_from_the_last_address_to_the_first) {
    const Fd top = make_file(page);
    const Fd bottom = make_file(page);
    const std::uint64_t last_page = everything - page + 1;
    const auto map =
        MemoryMap::create(table(region_of(top, last_page, last_page, page), region_of(bottom, 0, 0, page))).value();
    std::array<iovec, 4> pieces{};
    EXPECT_EQ(map->translate(GuestAddress{last_page}, 2 * page), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{last_page}, 2 * page, pieces), 0U);
    EXPECT_FALSE(map->covers(GuestAddress{last_page}, 2 * page));
    EXPECT_TRUE(map->covers(GuestAddress{last_page}, page));
}

TEST(MemoryMap, refuses_regions_that_go_beyond_two_to_the_64) {
    const Fd file = make_file(2 * page);
    const std::uint64_t last_page = everything - page + 1;
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(file, last_page, 0, page + 1)))), HasSubstr("beyond 2^64"));
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(file, 0, last_page, page + 1)))), HasSubstr("beyond 2^64"));
}

TEST(MemoryMap, refuses_empty_regions_and_empty_tables) {
    const Fd file = make_file(page);
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(file, 0x5000, 0, 0)))),
                HasSubstr("guest address 0x5000 has size 0"));
    EXPECT_THAT(error_of(MemoryMap::create({})), HasSubstr("at least one region"));
}

TEST(MemoryMap, refuses_more_regions_than_there_are_slots) {
    const Fd file = make_file(page);
    std::vector<RegionFile> regions;
    for (std::uint64_t i = 0; i <= MemoryMap::max_regions; ++i) {
        regions.push_back(region_of(file, i * page, i * page, page));
    }
    EXPECT_EQ(error_of(MemoryMap::create(std::move(regions))), "510 memory regions, at most 509 are possible");
}

TEST(MemoryMap, refuses_overlaps_in_either_space) {
    const Fd file = make_file(4 * page);
    const auto with = [&](std::uint64_t guest, std::uint64_t user, std::uint64_t size) {
        return error_of(
            MemoryMap::create(table(region_of(file, 0x10000, 0x80000, 4 * page), region_of(file, guest, user, size))));
    };
    EXPECT_THAT(with(0x10000, 0x20000, page), HasSubstr("overlap in guest addresses: 0x10000+0x1000 and "));
    EXPECT_THAT(with(0x13fff, 0x20000, page), HasSubstr("overlap in guest addresses"));
    EXPECT_THAT(with(0xf001, 0x20000, page), HasSubstr("overlap in guest addresses"));
    EXPECT_THAT(with(0x11000, 0x20000, 1), HasSubstr("overlap in guest addresses"));
    EXPECT_THAT(with(0x20000, 0x80000, page), HasSubstr("overlap in user addresses"));
    EXPECT_THAT(with(0x20000, 0x83fff, 1), HasSubstr("overlap in user addresses"));
    EXPECT_THAT(with(0x20000, 0x7f001, page), HasSubstr("overlap in user addresses"));
    EXPECT_EQ(with(0x14000, 0x84000, page), "no error") << "touching is not overlapping";
    EXPECT_EQ(with(0xf000, 0x7f000, page), "no error");
}

TEST(MemoryMap, refuses_files_that_are_too_short) {
    const Fd file = make_file(2 * page);
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(file, 0, 0, 2 * page + 1)))),
                HasSubstr("its file is only 0x2000 bytes long"));
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(file, 0, 0, page, page + 1)))),
                HasSubstr("its file is only 0x2000 bytes long"));
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(file, 0, 0, page, everything - page + 1)))),
                HasSubstr("add up to more than 2^64"));
    EXPECT_EQ(error_of(MemoryMap::create(table(region_of(file, 0, 0, page, page)))), "no error");
}

TEST(MemoryMap, refuses_files_that_may_not_be_written) {
    const Fd file = make_file(page);
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    const Fd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(read_only.valid());
    const auto refused = MemoryMap::create(table(region_of(read_only, 0, 0, page)));
    EXPECT_THAT(error_of(refused), HasSubstr("mapping it: Permission denied"));
    EXPECT_EQ(refused.error().os_error, EACCES);
}

TEST(MemoryMap, refuses_what_is_no_memory_file) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd read_end(ends[0]);
    const Fd write_end(ends[1]);
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(write_end, 0, 0, page)))), HasSubstr("mapping it"));

    const Fd none;
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(none, 0, 0, page)))),
                HasSubstr("examining its file: Bad file descriptor"));
}

TEST(MemoryMap, refuses_sizes_whose_sum_wraps_and_leaves_other_memory_alone) {
    // Regions that fill the whole address space add up to 2^64, which is 0. A reservation of that size would
    // not hold the first of them.
    const std::uint64_t quarter = std::uint64_t{1} << 62U;
    const Fd large = make_file(quarter);
    std::vector<RegionFile> regions;
    const std::uint64_t first = std::uint64_t{2} << 20U;
    regions.push_back(region_of(large, 0, 0, first));
    std::uint64_t start = first;
    for (const std::uint64_t size : {quarter - first, quarter, quarter, quarter}) {
        regions.push_back(region_of(large, start, start, size));
        start += size;
    }
    ASSERT_EQ(start, 0U) << "the regions end with the address space";
    const std::size_t before = mappings_named("sidecore-test");
    EXPECT_THAT(error_of(MemoryMap::create(std::move(regions))), HasSubstr("larger than any machine's memory"));
    EXPECT_EQ(mappings_named("sidecore-test"), before);
}

TEST(MemoryMap, refuses_a_region_too_large_for_this_process_with_the_systems_words) {
    const Fd large = make_file(max_region_bytes);
    EXPECT_THAT(error_of(MemoryMap::create(table(region_of(large, 0, 0, max_region_bytes)))),
                HasSubstr("bytes of address space: Cannot allocate memory"));
}

TEST(MemoryMap, with_a_region_more) {
    const Fd file = make_file(4 * page);
    const auto one = MemoryMap::create(table(region_of(file, 0, 0x100000, page))).value();
    const auto two = one->with_region(region_of(file, page, 0x200000, page, page)).value();
    EXPECT_EQ(one->region_count(), 1U);
    EXPECT_EQ(one->translate(GuestAddress{page}, 1), nullptr) << "a map does not change";
    EXPECT_EQ(two->region_count(), 2U);
    EXPECT_EQ(two->translate(GuestAddress{0}, page), one->translate(GuestAddress{0}, page)) << "shared";
    EXPECT_NE(two->translate(GuestAddress{page}, page), nullptr);

    EXPECT_THAT(error_of(two->with_region(region_of(file, 0x800, 0x900000, page))),
                HasSubstr("overlap in guest addresses"));
    EXPECT_THAT(error_of(two->with_region(region_of(file, 0x900000, 0x100800, page))),
                HasSubstr("overlap in user addresses"));
    EXPECT_THAT(error_of(two->with_region(region_of(file, 0x900000, 0x900000, 0))), HasSubstr("has size 0"));
    EXPECT_THAT(error_of(two->with_region(region_of(file, 0x900000, 0x900000, 5 * page))),
                HasSubstr("its file is only"));
}

TEST(MemoryMap, takes_no_region_more_than_it_has_slots) {
    const Fd file = make_file(page);
    std::vector<RegionFile> regions;
    for (std::uint64_t i = 0; i < MemoryMap::max_regions; ++i) {
        regions.push_back(region_of(file, 2 * i * page, 2 * i * page, page));
    }
    const auto full = MemoryMap::create(std::move(regions)).value();
    EXPECT_EQ(error_of(full->with_region(region_of(file, page, page, page))),
              "510 memory regions, at most 509 are possible");
    const auto less = full->without_region({GuestAddress{0}, page, UserAddress{0}, 0}).value();
    EXPECT_EQ(error_of(less->with_region(region_of(file, page, page, page))), "no error");
}

TEST(MemoryMap, without_a_region) {
    const Fd file = make_file(3 * page);
    const auto three = MemoryMap::create(table(region_of(file, 0, 0, page), region_of(file, page, page, page),
                                               region_of(file, 2 * page, 2 * page, page)))
                           .value();
    ASSERT_EQ(three->extent_count(), 1U);
    const auto two = three->without_region({GuestAddress{page}, page, UserAddress{page}, 0}).value();
    EXPECT_EQ(two->region_count(), 2U);
    EXPECT_EQ(two->extent_count(), 2U) << "what was one extent has a hole now";
    EXPECT_EQ(two->translate(GuestAddress{page}, 1), nullptr);
    EXPECT_EQ(two->translate(UserAddress{page}, 1), nullptr);
    EXPECT_EQ(two->translate(GuestAddress{0}, 2 * page), nullptr);
    EXPECT_EQ(two->translate(GuestAddress{2 * page}, page), three->translate(GuestAddress{2 * page}, page));

    const std::array<RegionDescription, 3> unknown{{
        {GuestAddress{0}, page, UserAddress{page}, 0},
        {GuestAddress{page}, page, UserAddress{page}, 0},
        {GuestAddress{0}, 2 * page, UserAddress{0}, 0},
    }};
    for (const auto& region : unknown) {
        const auto refused = two->without_region(region);
        ASSERT_FALSE(refused.has_value());
        EXPECT_EQ(refused.error().kind, ErrorKind::not_found);
        EXPECT_THAT(refused.error().message, HasSubstr("there is no memory region at guest address"));
    }
}

TEST(MemoryMap, without_its_last_region_translates_nothing) {
    const Fd file = make_file(page);
    const auto one = MemoryMap::create(table(region_of(file, 0, 0, page))).value();
    const auto none = one->without_region({GuestAddress{0}, page, UserAddress{0}, 0}).value();
    std::array<iovec, 1> pieces{};
    EXPECT_EQ(none->region_count(), 0U);
    EXPECT_EQ(none->translate(GuestAddress{0}, 1), nullptr);
    EXPECT_EQ(none->translate(UserAddress{0}, 1), nullptr);
    EXPECT_EQ(none->translate(GuestAddress{0}, 1, pieces), 0U);
    EXPECT_FALSE(none->covers(GuestAddress{0}, 1));
    EXPECT_FALSE(none->damaged());
    const auto again = none->with_region(region_of(file, 0, 0, page)).value();
    EXPECT_NE(again->translate(GuestAddress{0}, page), nullptr);
}

TEST(MemoryMap, lists_its_regions_by_guest_address) {
    const Fd file = make_file(4 * page);
    const auto map = MemoryMap::create(table(region_of(file, 0x9000, 0x1000, page, page),
                                             region_of(file, 0x1000, 0x9000, 2 * page, 2 * page)))
                         .value();
    const std::vector<RegionDescription> expected{{GuestAddress{0x1000}, 2 * page, UserAddress{0x9000}, 2 * page},
                                                  {GuestAddress{0x9000}, page, UserAddress{0x1000}, page}};
    EXPECT_EQ(map->regions(), expected);
}

}  // namespace
}  // namespace sidecore::memory
