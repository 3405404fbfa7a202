// SPDX-License-Identifier: Apache-2.0
#include "frontend/guest_memory_file.hh"

#include <array>
#include <cstring>
#include <sys/mman.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

namespace sidecore::frontend {
namespace {

using memory::GuestAddress;
using memory::UserAddress;

constexpr std::uint64_t page = 4096;

/// What another process finds `offset` bytes into the file.
std::byte byte_in_file(int file, std::uint64_t offset) {
    const std::uint64_t start = offset / page * page;
    void* const mapped = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, file, static_cast<off_t>(start));
    EXPECT_NE(mapped, MAP_FAILED);
    const std::byte found = static_cast<const std::byte*>(mapped)[offset - start];
    ::munmap(mapped, page);
    return found;
}

TEST(GuestMemoryFile, OneRegionHoldsWhatWasAskedFor) {
    const auto memory = GuestMemoryFile::create(100'000, GuestAddress{0x4000'0000});
    ASSERT_TRUE(memory) << memory.error().message;
    ASSERT_EQ(memory->regions().size(), 1U);
    const GuestMemoryFile::Region& region = memory->regions()[0];
    EXPECT_EQ(region.guest_address.value, 0x4000'0000U);
    EXPECT_EQ(region.size, 102'400U) << "rounded up to pages";
    EXPECT_EQ(region.user_address.value, reinterpret_cast<std::uintptr_t>(region.host));
    EXPECT_EQ(region.mmap_offset, 0U);

    EXPECT_EQ(memory->host({0x4000'0000}, 102'400), region.host);
    EXPECT_EQ(memory->host({0x4000'0010}, 102'400), nullptr) << "16 bytes beyond the end";
    EXPECT_EQ(memory->host({0x3fff'ffff}, 1), nullptr);
    EXPECT_EQ(memory->host({0x4000'0000 + 102'400}, 0), nullptr);
    EXPECT_EQ(memory->user({0x4000'1234}).value, region.user_address.value + 0x1234);
}

TEST(GuestMemoryFile, RegionsLieInTheFileAsPlanned) {
    const std::array plan{
        RegionPlan{.guest_address = {0x1000}, .size = 2 * page, .user_address = {}, .file_gap = page},
        RegionPlan{.guest_address = {0x3000}, .size = page, .user_address = UserAddress{0xbeef000}, .file_gap = 0},
        RegionPlan{.guest_address = {0x1'0000'0000}, .size = page, .user_address = {}, .file_gap = 3 * page},
    };
    const auto memory = GuestMemoryFile::create(plan);
    ASSERT_TRUE(memory) << memory.error().message;
    const auto regions = memory->regions();
    ASSERT_EQ(regions.size(), 3U);
    EXPECT_EQ(regions[0].mmap_offset, page);
    EXPECT_EQ(regions[1].mmap_offset, 3 * page);
    EXPECT_EQ(regions[2].mmap_offset, 7 * page);
    EXPECT_EQ(regions[0].file, regions[2].file);
    EXPECT_EQ(memory->user({0x3010}).value, 0xbeef010U);
    EXPECT_EQ(memory->user({0x4000}).value, 0U) << "no memory there";

    *memory->host({0x1'0000'0005}, 1) = std::byte{77};
    EXPECT_EQ(byte_in_file(regions[2].file, 7 * page + 5), std::byte{77});

    // 0x1000 to 0x4000 is memory in two regions: no pointer goes across, copies do.
    EXPECT_EQ(memory->host({0x2fff}, 2), nullptr);
    const std::array written{std::byte{1}, std::byte{2}, std::byte{3}};
    ASSERT_TRUE(memory->write({0x2ffe}, written));
    EXPECT_EQ(byte_in_file(regions[0].file, 3 * page - 1), std::byte{2});
    EXPECT_EQ(byte_in_file(regions[1].file, 3 * page), std::byte{3});
    std::array<std::byte, 3> found{};
    ASSERT_TRUE(memory->read({0x2ffe}, found));
    EXPECT_EQ(found, written);
    EXPECT_FALSE(memory->read({0x3ffe}, found)) << "the last byte is no memory";
}

TEST(GuestMemoryFile, EachRegionMayHaveItsOwnFile) {
    const std::array plan{
        RegionPlan{.guest_address = {0}, .size = page, .user_address = {}, .file_gap = 0},
        RegionPlan{.guest_address = {page}, .size = page, .user_address = {}, .file_gap = page},
    };
    auto memory = GuestMemoryFile::create(plan, GuestMemoryFile::Files::per_region);
    ASSERT_TRUE(memory) << memory.error().message;
    EXPECT_NE(memory->regions()[0].file, memory->regions()[1].file);
    EXPECT_EQ(memory->regions()[1].mmap_offset, page);
    *memory->host({page + 9}, 1) = std::byte{9};
    EXPECT_EQ(byte_in_file(memory->regions()[1].file, page + 9), std::byte{9});

    ASSERT_TRUE(memory->truncate_file(0, 100));
    struct stat status {};
    ASSERT_EQ(::fstat(memory->regions()[0].file, &status), 0);
    EXPECT_EQ(status.st_size, 100);
}

TEST(GuestMemoryFile, AllocatesAlignedPiecesUntilThereIsNoRoom) {
    const std::array plan{
        RegionPlan{.guest_address = {0x8000}, .size = 2 * page, .user_address = {}, .file_gap = 0},
        RegionPlan{.guest_address = {0x80000}, .size = page, .user_address = {}, .file_gap = 0},
    };
    auto memory = GuestMemoryFile::create(plan);
    ASSERT_TRUE(memory) << memory.error().message;
    const auto first = memory->allocate(10, 2);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->address.value, 0x8000U);
    EXPECT_EQ(first->bytes().size(), 10U);
    const auto second = memory->allocate(page, page);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->address.value, 0x9000U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second->host) % page, 0U);
    EXPECT_EQ(second->host, memory->host({0x9000}, page));

    const auto mark = memory->mark();
    const auto third = memory->allocate(page, 16);
    ASSERT_TRUE(third);
    EXPECT_EQ(third->address.value, 0x80000U) << "the first region is full";
    EXPECT_FALSE(memory->allocate(1, 1)) << "all regions are full";
    memory->rewind(mark);
    EXPECT_FALSE(memory->allocate(1, 1, 0)) << "the named region is full";
    const auto again = memory->allocate(page, 16, 1);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->address.value, 0x80000U);
}

TEST(GuestMemoryFile, PartsOfPagesAreRefused) {
    for (const auto& [size, gap] : {std::pair{0U, 0U}, std::pair{100U, 0U}, std::pair{4096U, 7U}}) {
        const RegionPlan plan{.guest_address = {0}, .size = size, .user_address = {}, .file_gap = gap};
        const auto memory = GuestMemoryFile::create(std::span(&plan, 1));
        ASSERT_FALSE(memory) << size << " behind " << gap;
        EXPECT_EQ(memory.error().kind, ErrorKind::invalid_argument);
    }
}

}  // namespace
}  // namespace sidecore::frontend
