// SPDX-License-Identifier: Apache-2.0
#include "memory/mapped_region.hh"

#include <array>
#include <fcntl.h>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/memory_files.hh"
#include "memory/placement.hh"

namespace sidecore::memory {
namespace {

using testing::HasSubstr;

TEST(Reservation, starts_where_asked_and_gives_the_rest_back) {
    const std::size_t alignment = std::size_t{64} << 20U;
    for (const std::size_t phase : {std::size_t{0}, page, alignment - page}) {
        const auto reservation = Reservation::create(3 * page, alignment, phase).value();
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(reservation->start()) % alignment, phase);
        EXPECT_EQ(reservation->size(), 3 * page);
        EXPECT_THAT(mapping_at(reservation->start()), HasSubstr("---p"));
        EXPECT_THAT(mapping_at(reservation->start() + 3 * page - 1), HasSubstr("---p"));
        EXPECT_EQ(mapping_at(reservation->start() - 1).find("---p"), std::string::npos) << "given back";
        EXPECT_EQ(mapping_at(reservation->start() + 3 * page).find("---p"), std::string::npos) << "given back";
    }
}

TEST(Reservation, says_why_it_cannot_be_made) {
    const auto refused = Reservation::create(std::size_t{1} << 52U, page);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().message, "reserving 0x10000000000000 bytes of address space: Cannot allocate memory");
}

TEST(MappedRegion, may_begin_anywhere_in_its_file) {
    const Fd file = make_file(4 * page);
    for (std::uint64_t i = 0; i < 4 * page; i += 64) {
        set_file_byte(file, i, static_cast<std::uint8_t>(i / 64));
    }
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{64}, page - 64, page, 2 * page + 128}) {
        const auto map = MemoryMap::create(table(region_of(file, 0x100, 0x200, page, offset))).value();
        const std::byte* const host = map->translate(GuestAddress{0x100}, page);
        ASSERT_NE(host, nullptr);
        for (std::uint64_t i = 0; i < page; i += 64) {
            ASSERT_EQ(peek(host + i), static_cast<std::uint8_t>((offset + i) / 64)) << offset << " " << i;
        }
        EXPECT_EQ(map->translate(GuestAddress{0x100}, page + 1), nullptr)
            << "the rest of its last page is no guest memory";
        EXPECT_EQ(map->translate(GuestAddress{0xff}, 2), nullptr);
    }
}

TEST(MappedRegion, may_have_any_size) {
    const Fd file = make_file(page + 1);
    set_file_byte(file, page, 0x77);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, page + 1))).value();
    EXPECT_EQ(peek(map->translate(GuestAddress{page}, 1)), 0x77);
    EXPECT_EQ(map->translate(GuestAddress{page + 1}, 1), nullptr);
}

TEST(MappedRegion, is_left_out_of_core_dumps) {
    const Fd file = make_file(page, "sidecore-test-core");
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, page))).value();
    std::ifstream smaps("/proc/self/smaps");
    bool ours = false;
    std::string flags;
    for (std::string line; std::getline(smaps, line);) {
        if (line.find("sidecore-test-core") != std::string::npos) {
            ours = true;
        } else if (ours && line.rfind("VmFlags:", 0) == 0) {
            flags = line + " ";
            break;
        }
    }
    EXPECT_THAT(flags, HasSubstr(" dd ")) << "not to be dumped";
    EXPECT_THAT(flags, HasSubstr(" sh ")) << "shared";
}

TEST(MappedRegion, goes_when_the_last_map_with_it_goes) {
    const Fd file = make_file(page, "sidecore-test-once");
    auto map = MemoryMap::create(table(region_of(file, 0, 0, page))).value();
    auto second = map;
    EXPECT_EQ(mappings_named("sidecore-test-once"), 1U);
    map.reset();
    EXPECT_EQ(mappings_named("sidecore-test-once"), 1U);
    second.reset();
    EXPECT_EQ(mappings_named("sidecore-test-once"), 0U);
}

TEST(MappedRegion, stays_at_its_place_while_the_map_around_it_changes) {
    const Fd first = make_file(page, "sidecore-test-first");
    const Fd second = make_file(page, "sidecore-test-second");
    const Fd third = make_file(page, "sidecore-test-third");
    const RegionDescription second_region{GuestAddress{page}, page, UserAddress{page}, 0};

    auto old_map = MemoryMap::create(table(region_of(first, 0, 0, page), region_of(second, page, page, page))).value();
    std::byte* const first_host = old_map->translate(GuestAddress{0}, page);
    std::byte* const second_host = old_map->translate(GuestAddress{page}, page);
    ASSERT_EQ(second_host, first_host + page);

    auto without = old_map->without_region(second_region).value();
    auto with_third = without->with_region(region_of(third, page, page, page)).value();
    without.reset();
    EXPECT_EQ(with_third->translate(GuestAddress{0}, page), first_host);
    EXPECT_NE(with_third->translate(GuestAddress{page}, page), second_host)
        << "an old map still shows the second region there";
    poke(second_host, 2);
    EXPECT_EQ(file_byte(second, 0), 2);

    old_map.reset();
    EXPECT_EQ(mappings_named("sidecore-test-second"), 0U) << "its memory is gone";
    EXPECT_EQ(mappings_named("sidecore-test-first"), 1U) << "its neighbour's is not";
    EXPECT_THAT(mapping_at(second_host), HasSubstr("---p")) << "the place stays taken";
    poke(first_host, 1);
    EXPECT_EQ(file_byte(first, 0), 1);
    poke(with_third->translate(GuestAddress{page}, 1), 3);
    EXPECT_EQ(file_byte(third, 0), 3);

    with_third.reset();
    EXPECT_EQ(mappings_named("sidecore-test-"), 0U);
    EXPECT_EQ(mapping_at(second_host).find("---p"), std::string::npos) << "and the place is free";
}

TEST(MappedRegion, leaves_nothing_behind_when_a_later_one_cannot_be_mapped) {
    const Fd good = make_file(page, "sidecore-test-good");
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd read_end(ends[0]);
    const Fd write_end(ends[1]);
    const auto refused = MemoryMap::create(table(region_of(good, 0, 0, page), region_of(good, page, page, page),
                                                 region_of(read_end, 2 * page, 2 * page, page)));
    EXPECT_FALSE(refused.has_value());
    EXPECT_EQ(mappings_named("sidecore-test-good"), 0U);
}

TEST(MappedRegion, may_be_used_by_many_threads_while_maps_change) {
    const Fd file = make_file(8 * page);
    std::vector<RegionFile> regions;
    for (std::uint64_t i = 0; i < 4; ++i) {
        regions.push_back(region_of(file, i * page, i * page, page, i * page));
    }
    const auto map = MemoryMap::create(std::move(regions)).value();
    std::atomic<bool> wrong{false};
    std::vector<std::thread> readers;
    for (int t = 0; t < 2; ++t) {
        readers.emplace_back([map, &wrong] {
            for (std::uint64_t i = 0; i < 20'000; ++i) {
                std::byte* const host = map->translate(GuestAddress{i % 4 * page}, page);
                wrong = wrong || host == nullptr || peek(host) != 0;
            }
        });
    }
    // Changes make new maps; the readers' stays what it is.
    auto changing = map;
    for (std::uint64_t i = 0; i < 500; ++i) {
        changing = changing->with_region(region_of(file, 8 * page, 8 * page, page, 5 * page)).value();
        changing = changing->without_region({GuestAddress{8 * page}, page, UserAddress{8 * page}, 0}).value();
    }
    for (std::thread& reader : readers) {
        reader.join();
    }
    EXPECT_FALSE(wrong);
}

}  // namespace
}  // namespace sidecore::memory
