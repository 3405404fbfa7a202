// SPDX-License-Identifier: Apache-2.0
#include "memory/fault_guard.hh"

#include <csignal>
#include <fstream>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/mapped_region.hh"
#include "memory/memory_files.hh"

namespace sidecore::memory {
namespace {

using testing::HasSubstr;

class FaultGuard : public testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(install_fault_guard().has_value()); }

    static void truncate(const Fd& file, std::uint64_t size) {
        ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    }
    static void fill(std::byte* from, std::uint64_t pages, std::uint8_t value) {
        for (std::uint64_t i = 0; i < pages; ++i) {
            poke(from + i * page, value);
        }
    }
};

TEST_F(FaultGuard, puts_zero_pages_where_a_file_was_truncated) {
    const Fd file = make_file(8 * page);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, 8 * page))).value();
    std::byte* const host = map->translate(GuestAddress{0}, 8 * page);
    fill(host, 8, 0xee);
    const std::uint64_t damages = damage_count();
    truncate(file, 3 * page);
    EXPECT_FALSE(map->damaged()) << "nobody has looked yet";
    EXPECT_EQ(damage_count(), damages);

    EXPECT_EQ(peek(host + 5 * page), 0);
    EXPECT_TRUE(map->damaged());
    EXPECT_EQ(damage_count(), damages + 1);
    for (std::uint64_t i = 5; i < 8; ++i) {
        EXPECT_EQ(peek(host + i * page), 0) << i;
    }
    EXPECT_EQ(damage_count(), damages + 1) << "one fault replaces the whole rest";
    EXPECT_EQ(peek(host + 4 * page), 0);
    EXPECT_EQ(damage_count(), damages + 2) << "pages before the first fault have one of their own";
    for (std::uint64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(peek(host + i * page), 0xee) << "still the file's";
    }
    poke(host, 0x11);
    EXPECT_EQ(file_byte(file, 0), 0x11);
}

TEST_F(FaultGuard, lets_writes_beyond_the_end_go_nowhere) {
    const Fd file = make_file(4 * page);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, 4 * page))).value();
    std::byte* const host = map->translate(GuestAddress{0}, 4 * page);
    truncate(file, page);
    poke(host + 2 * page, 0x42);
    EXPECT_TRUE(map->damaged());
    EXPECT_EQ(peek(host + 2 * page), 0x42) << "in this process";
    truncate(file, 4 * page);
    EXPECT_EQ(file_byte(file, 2 * page), 0) << "and not in the file, even if it grows again";
}

TEST_F(FaultGuard, marks_only_the_region_whose_file_it_was) {
    const Fd below = make_file(2 * page);
    const Fd middle = make_file(2 * page);
    const Fd above = make_file(2 * page);
    const auto map =
        MemoryMap::create(table(region_of(below, 0, 0, 2 * page), region_of(middle, 2 * page, 2 * page, 2 * page),
                                region_of(above, 4 * page, 4 * page, 2 * page)))
            .value();
    ASSERT_EQ(map->extent_count(), 1U) << "neighbours without a gap";
    std::byte* const host = map->translate(GuestAddress{0}, 6 * page);
    fill(host, 6, 0xaa);
    truncate(middle, 0);
    EXPECT_EQ(peek(host + 2 * page), 0);
    EXPECT_EQ(peek(host + 3 * page), 0);
    EXPECT_TRUE(map->damaged());
    EXPECT_EQ(peek(host + page), 0xaa);
    EXPECT_EQ(peek(host + 4 * page), 0xaa);
    poke(host + 2 * page - 1, 1);
    poke(host + 4 * page, 4);
    EXPECT_EQ(file_byte(below, 2 * page - 1), 1) << "still shared";
    EXPECT_EQ(file_byte(above, 0), 4) << "still shared";

    const auto rest = map->without_region({GuestAddress{2 * page}, 2 * page, UserAddress{2 * page}, 0}).value();
    EXPECT_FALSE(rest->damaged());
    EXPECT_TRUE(map->damaged());
}

TEST_F(FaultGuard, does_not_touch_another_guests_map) {
    const Fd one = make_file(2 * page);
    const Fd two = make_file(2 * page);
    const auto first = MemoryMap::create(table(region_of(one, 0, 0, 2 * page))).value();
    const auto second = MemoryMap::create(table(region_of(two, 0, 0, 2 * page))).value();
    poke(second->translate(GuestAddress{page}, 1), 9);
    truncate(one, 0);
    EXPECT_EQ(peek(first->translate(GuestAddress{0}, 1)), 0);
    EXPECT_TRUE(first->damaged());
    EXPECT_FALSE(second->damaged());
    EXPECT_EQ(peek(second->translate(GuestAddress{page}, 1)), 9);
}

TEST_F(FaultGuard, covers_the_bytes_around_a_region_that_starts_inside_a_page) {
    const Fd file = make_file(2 * page);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, page, page / 2))).value();
    std::byte* const host = map->translate(GuestAddress{0}, page);
    truncate(file, 0);
    EXPECT_EQ(peek(host), 0);
    EXPECT_EQ(peek(host + page - 1), 0);
    EXPECT_TRUE(map->damaged());
}

TEST_F(FaultGuard, releases_a_damaged_region_like_any_other) {
    const Fd file = make_file(4 * page, "sidecore-test-damaged");
    auto map = MemoryMap::create(table(region_of(file, 0, 0, 4 * page))).value();
    std::byte* const host = map->translate(GuestAddress{0}, 1);
    truncate(file, page);
    EXPECT_EQ(peek(host + 3 * page), 0);
    EXPECT_TRUE(map->damaged());
    EXPECT_EQ(mappings_named("sidecore-test-damaged"), 1U);
    map.reset();
    EXPECT_EQ(mappings_named("sidecore-test-damaged"), 0U);
    EXPECT_EQ(mapping_at(host + 3 * page).find("rw-p"), std::string::npos) << "nor its zero pages";

    const Fd next = make_file(4 * page);
    const auto fresh = MemoryMap::create(table(region_of(next, 0, 0, 4 * page))).value();
    EXPECT_FALSE(fresh->damaged()) << "a new region does not inherit the mark";
}

TEST_F(FaultGuard, survives_the_loss_of_more_memory_than_the_host_has) {
    struct sysinfo host_memory {};
    ASSERT_EQ(::sysinfo(&host_memory), 0);
    const std::uint64_t all = (std::uint64_t{host_memory.totalram} + host_memory.totalswap) * host_memory.mem_unit;
    const std::uint64_t size = std::min(2 * all, std::uint64_t{1} << 39U) / page * page;
    const Fd file = make_file(size);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, size))).value();
    truncate(file, 0);
    const std::uint64_t damages = damage_count();
    EXPECT_EQ(peek(map->translate(GuestAddress{0}, 1)), 0);
    EXPECT_EQ(peek(map->translate(GuestAddress{size - 1}, 1)), 0);
    EXPECT_TRUE(map->damaged());
    // All of it at the first fault, unless the host promises no more memory than it has.
    int overcommit = 0;
    std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
    EXPECT_EQ(damage_count() - damages, overcommit == 2 ? 2U : 1U);
}

TEST_F(FaultGuard, serves_threads_that_fault_at_the_same_time) {
    constexpr std::uint64_t pages = 64;
    std::vector<Fd> files;
    std::vector<std::shared_ptr<const MemoryMap>> maps;
    for (int i = 0; i < 4; ++i) {
        files.push_back(make_file(pages * page));
        maps.push_back(MemoryMap::create(table(region_of(files.back(), 0, 0, pages * page))).value());
    }
    // The last of the maps stays whole.
    for (std::size_t i = 0; i < 3; ++i) {
        truncate(files[i], 0);
    }
    std::atomic<unsigned> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 3; ++t) {
        threads.emplace_back([&maps, &wrong, t] {
            for (std::uint64_t i = 0; i < pages; ++i) {
                for (const auto& map : maps) {
                    // Backwards, so that many pages fault; each thread from another place.
                    const std::uint64_t at = (pages - 1 - i + t * 7) % pages;
                    wrong += peek(map->translate(GuestAddress{at * page}, 1)) != 0 ? 1 : 0;
                }
            }
        });
    }
    // Meanwhile ranges come and go, as other guests' do.
    const Fd passing = make_file(page);
    for (int i = 0; i < 300; ++i) {
        const auto map = MemoryMap::create(table(region_of(passing, 0, 0, page))).value();
        wrong += map->damaged() ? 1 : 0;
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(maps[0]->damaged() && maps[1]->damaged() && maps[2]->damaged());
    EXPECT_FALSE(maps[3]->damaged());
}

TEST_F(FaultGuard, knows_more_ranges_than_one_chunk_holds) {
    std::vector<RegionFile> regions;
    std::vector<Fd> files;
    for (std::uint64_t i = 0; i < 300; ++i) {
        files.push_back(make_file(page));
        regions.push_back(region_of(files.back(), 2 * i * page, 2 * i * page, page));
    }
    const auto map = MemoryMap::create(std::move(regions)).value();
    truncate(files.back(), 0);
    EXPECT_EQ(peek(map->translate(GuestAddress{2 * 299 * page}, 1)), 0);
    EXPECT_TRUE(map->damaged());
}

TEST_F(FaultGuard, keeps_errno) {
    const Fd file = make_file(page);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, page))).value();
    truncate(file, 0);
    std::byte* const host = map->translate(GuestAddress{0}, 1);
    errno = E2BIG;
    const std::uint8_t value = peek(host);
    EXPECT_EQ(errno, E2BIG);
    EXPECT_EQ(value, 0);
    EXPECT_TRUE(map->damaged());
}

TEST_F(FaultGuard, leaves_other_faults_to_end_the_process) {
    const Fd file = make_file(page);
    void* const mapping = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, file.get(), 0);
    ASSERT_NE(mapping, MAP_FAILED);
    truncate(file, 0);
    EXPECT_EXIT(std::exit(peek(static_cast<std::byte*>(mapping))), testing::KilledBySignal(SIGBUS), "");
    ::munmap(mapping, page);
}

TEST_F(FaultGuard, leaves_a_signal_that_was_sent_to_end_the_process) {
    EXPECT_EXIT(
        {
            ::raise(SIGBUS);
            std::exit(0);
        },
        testing::KilledBySignal(SIGBUS), "");
}

TEST_F(FaultGuard, is_not_misled_by_a_sent_signal_that_looks_like_a_fault) {
    const Fd file = make_file(page);
    const auto map = MemoryMap::create(table(region_of(file, 0, 0, page))).value();
    siginfo_t info{};
    info.si_signo = SIGBUS;
    info.si_code = SI_QUEUE;
    info.si_addr = map->translate(GuestAddress{0}, 1);  // lies where a sender's numbers are
    EXPECT_EXIT(
        {
            ::syscall(SYS_rt_sigqueueinfo, ::getpid(), SIGBUS, &info);
            std::exit(0);
        },
        testing::KilledBySignal(SIGBUS), "");
    EXPECT_FALSE(map->damaged());
}

}  // namespace
}  // namespace sidecore::memory
