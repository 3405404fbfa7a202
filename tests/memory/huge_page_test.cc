// SPDX-License-Identifier: Apache-2.0
// Files with huge pages. The arithmetic is tested in placement_test.cc; here are the mappings themselves. No
// huge page needs to be free: mapping takes none, and touching one that is not there is a truncated file's case.
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/fault_guard.hh"
#include "memory/memory_files.hh"
#include "memory/placement.hh"

namespace sidecore::memory {
namespace {

constexpr std::uint64_t huge = transparent_huge_page_bytes;
constexpr const char* pool_file = "/proc/sys/vm/nr_hugepages";

std::uint64_t address_of(const std::byte* host) {
    return reinterpret_cast<std::uintptr_t>(host);
}

/// A file of 2 MiB pages; where the kernel was built without them an ordinary one, since large regions of such
/// get the same grid.
struct HugeFile {
    explicit HugeFile(std::uint64_t size)
        : file(::memfd_create("sidecore-test-huge",
                              MFD_CLOEXEC | MFD_HUGETLB | (21U << static_cast<unsigned>(MAP_HUGE_SHIFT)))) {
        if (!file.valid()) {
            file = make_file(0, "sidecore-test-huge");
        }
        EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    }
    Fd file;
};

/// Huge pages for the time of a test, where this process may ask for them; the host's setting comes back after.
class HugePagePool {
public:
    explicit HugePagePool(unsigned pages) {
        std::ifstream(pool_file) >> before_;
        std::ofstream(pool_file) << before_ + pages << std::flush;
        unsigned now = 0;
        std::ifstream(pool_file) >> now;
        enough_ = now >= before_ + pages;
    }
    ~HugePagePool() { std::ofstream(pool_file) << before_ << std::flush; }
    HugePagePool(const HugePagePool&) = delete;
    HugePagePool& operator=(const HugePagePool&) = delete;

    bool enough() const { return enough_; }

private:
    unsigned before_ = 0;
    bool enough_ = false;
};

TEST(HugePages, are_mapped_on_their_own_grid) {
    const HugeFile used(4 * huge);
    const auto map =
        MemoryMap::create(table(region_of(used.file, 0, 0, huge, 2 * huge), region_of(used.file, huge, huge, huge, 0),
                                region_of(used.file, 8 * huge, 8 * huge, huge, huge)))
            .value();
    EXPECT_EQ(map->extent_count(), 2U);
    EXPECT_EQ(address_of(map->translate(GuestAddress{0}, 2 * huge)) % huge, 0U);
    EXPECT_EQ(address_of(map->translate(GuestAddress{8 * huge}, huge)) % huge, 0U);
}

TEST(HugePages, may_be_described_from_the_middle_of_one) {
    const HugeFile used(2 * huge);
    const std::uint64_t offset = 3 * page;
    const auto map = MemoryMap::create(table(region_of(used.file, 0x1000, 0x1000, huge, offset))).value();
    EXPECT_EQ(address_of(map->translate(GuestAddress{0x1000}, huge)) % huge, offset);
    EXPECT_EQ(map->translate(GuestAddress{0x1000}, huge + 1), nullptr);
    EXPECT_EQ(map->translate(GuestAddress{0xfff}, 1), nullptr);
}

TEST(HugePages, are_unmapped_whole) {
    const HugeFile used(2 * huge);
    const std::string name = "sidecore-test-huge";
    auto map = MemoryMap::create(table(region_of(used.file, 0, 0, huge, 3 * page))).value();
    EXPECT_EQ(mappings_named(name), 1U);
    map.reset();
    EXPECT_EQ(mappings_named(name), 0U);
}

TEST(HugePages, that_are_there_hold_the_files_bytes_and_those_that_are_not_cost_only_their_region) {
    ASSERT_TRUE(install_fault_guard().has_value());
    const HugePagePool pool(3);
    const HugeFile used(2 * huge);
    const Fd beside = make_file(page);
    const auto map = MemoryMap::create(table(region_of(used.file, 0, 0, huge + page, 5 * page),
                                             region_of(beside, 8 * huge, 8 * huge, page)))
                         .value();
    std::byte* const first = map->translate(GuestAddress{0}, huge + page);
    poke(first, 1);
    poke(first + huge, 2);
    EXPECT_EQ(peek(first), 1);
    EXPECT_EQ(peek(first + huge), 2);
    poke(map->translate(GuestAddress{8 * huge}, 1), 3);
    EXPECT_EQ(file_byte(beside, 0), 3);
    const bool backed = !map->damaged();
    if (pool.enough()) {
        EXPECT_TRUE(backed);
    }
    if (backed) {
        const auto other_view = MemoryMap::create(table(region_of(used.file, 0, 0, 2 * huge))).value();
        EXPECT_EQ(peek(other_view->translate(GuestAddress{5 * page}, 1)), 1);
        EXPECT_EQ(peek(other_view->translate(GuestAddress{5 * page + huge}, 1)), 2);
    }

    // Truncated to its first huge page: the second is replaced as a whole.
    ASSERT_EQ(::ftruncate(used.file.get(), huge), 0);
    EXPECT_EQ(peek(first + huge), backed ? 0 : 2);
    EXPECT_TRUE(map->damaged());
    EXPECT_EQ(peek(first), 1);
    EXPECT_EQ(file_byte(beside, 0), 3);
}

TEST(HugePages, are_within_the_kernels_reach_for_large_regions_of_ordinary_files) {
    const Fd file = make_file(16 * huge);
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{0xc0000}, huge + 5 * page}) {
        const auto map = MemoryMap::create(table(region_of(file, 0, 0, 8 * huge, offset))).value();
        EXPECT_EQ((address_of(map->translate(GuestAddress{0}, 8 * huge)) - offset) % huge, 0U) << offset;
    }
}

}  // namespace
}  // namespace sidecore::memory
