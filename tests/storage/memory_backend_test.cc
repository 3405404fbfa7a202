// SPDX-License-Identifier: Apache-2.0
#include "storage/memory_backend.hh"

#include <algorithm>
#include <fstream>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "storage/queue_user.hh"
#include "storage/segmented_buffer.hh"
#include "storage/sparse_memory.hh"

namespace sidecore::storage::test {
namespace {

/// Of the one mapping that is so large; not of the process, since a sanitizer has memory of its own.
std::uint64_t resident_bytes(std::uint64_t mapping_bytes) {
    std::ifstream file("/proc/self/smaps");
    std::string word;
    std::uint64_t kib = 0;
    bool found = false;
    while (file >> word) {
        if (word == "Size:" && file >> kib) {
            found = kib * 1024 == mapping_bytes;
        } else if (word == "Rss:" && found && file >> kib) {
            return kib * 1024;
        }
    }
    ADD_FAILURE() << "no mapping of " << mapping_bytes << " bytes";
    return 0;
}

Bytes read_from(const SparseMemory& memory, std::uint64_t offset, std::uint64_t length) {
    Bytes bytes(length, std::byte{0xee});
    const iovec segment{bytes.data(), bytes.size()};
    memory.read(offset, length, {&segment, 1});
    return bytes;
}

void write_to(SparseMemory& memory, std::uint64_t offset, const Bytes& bytes) {
    const iovec segment{const_cast<std::byte*>(bytes.data()), bytes.size()};
    memory.write(offset, bytes.size(), {&segment, 1});
}

TEST(MemoryBackendTest, CostsOnlyWhatWasWrittenAndGivesItBack) {
    constexpr std::uint64_t capacity = std::uint64_t{17} << 30U;
    constexpr std::uint64_t written = 16 << 20;
    auto backend = MemoryBackend::create({capacity});
    ASSERT_TRUE(backend) << backend.error().message;
    QueueUser user(**backend, 1);
    const Bytes bytes(1 << 20, std::byte{1});
    for (std::uint64_t at = 0; at < written; at += bytes.size()) {
        ASSERT_EQ(user.write(capacity / 2 + at, bytes), 0);
    }
    EXPECT_GE(resident_bytes(capacity), written);
    EXPECT_LE(resident_bytes(capacity), 2 * written);
    EXPECT_EQ(user.run(BlockOperation::discard, capacity / 2, written), 0);
    EXPECT_LE(resident_bytes(capacity), written / 2) << "all but the edges of huge pages";
}

TEST(MemoryBackendTest, MoreThanTheAddressSpaceIsAnError) {
    const auto backend = MemoryBackend::create({std::uint64_t{1} << 60U});
    ASSERT_FALSE(backend);
    EXPECT_NE(backend.error().message.find("1 EiB"), std::string::npos) << backend.error().message;
}

TEST(MemoryBackendTest, AFailedResizeChangesNothing) {
    auto backend = MemoryBackend::create({1 << 20});
    ASSERT_TRUE(backend);
    EXPECT_FALSE((*backend)->resize(std::uint64_t{1} << 60U));
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 1U << 20U);
    EXPECT_FALSE((*backend)->resize(0)) << "nobody else can have resized it";
    EXPECT_TRUE((*backend)->resize(2 << 20));
}

TEST(SparseMemoryTest, RangesCrossFromOneExtentToTheNext) {
    auto memory = SparseMemory::create(512 * 9);
    ASSERT_TRUE(memory);
    Random random(1);
    Bytes model(512 * 9);
    // Each step outgrows what is reserved, so that there are many extents.
    for (std::uint64_t size = 512 * 9; size < 8 << 20; size = size * 2 + 512) {
        ASSERT_TRUE((*memory)->resize(size));
        model.resize(size);
        const Bytes bytes = random_bytes(random, size / 2);
        const std::uint64_t at = size / 4;
        write_to(**memory, at, bytes);
        std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(at));
        ASSERT_EQ(read_from(**memory, 0, size), model);
    }
    (*memory)->zero(512, model.size() - 1024);
    std::fill(model.begin() + 512, model.end() - 512, std::byte{0});
    EXPECT_EQ(read_from(**memory, 0, model.size()), model);
}

TEST(SparseMemoryTest, RandomSizesMatchAModel) {
    Random random(2);
    auto memory = SparseMemory::create(512);
    ASSERT_TRUE(memory);
    Bytes model(512);
    for (int round = 0; round < 600; ++round) {
        const std::uint64_t size = 512 * (1 + random() % (round < 300 ? 600 : 6000));
        ASSERT_TRUE((*memory)->resize(size));
        model.resize(size);
        const std::uint64_t at = random() % size;
        const Bytes bytes = random_bytes(random, random() % (size - at));
        write_to(**memory, at, bytes);
        std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(at));
        if (round % 20 == 0) {
            ASSERT_EQ(read_from(**memory, 0, size), model) << round;
        }
    }
}

TEST(SparseMemoryTest, AWriterThatComesLateLeavesNothingBehind) {
    auto memory = SparseMemory::create(1 << 20);
    ASSERT_TRUE(memory);
    ASSERT_TRUE((*memory)->resize(512 * 5));
    // It had seen the old size.
    write_to(**memory, 512 * 5, Bytes(100 * 1024, std::byte{1}));
    ASSERT_TRUE((*memory)->resize(1 << 20));
    EXPECT_EQ(read_from(**memory, 0, 1 << 20), Bytes(1 << 20));
}

TEST(SparseMemoryTest, ZeroesPagesAndPartsOfThem) {
    // Locked memory cannot be given back to the system; it must read as zeroes all the same.
    for (const bool locked : {false, true}) {
        ASSERT_EQ(locked ? ::mlockall(MCL_FUTURE) : 0, 0);
        auto memory = SparseMemory::create(512 * 1024);
        ASSERT_TRUE(memory);
        write_to(**memory, 0, Bytes(512 * 1024, std::byte{1}));
        (*memory)->zero(100, 512 * 1024 - 200);
        ::munlockall();
        Bytes expected(512 * 1024);
        std::fill_n(expected.begin(), 100, std::byte{1});
        std::fill_n(expected.end() - 100, 100, std::byte{1});
        EXPECT_EQ(read_from(**memory, 0, 512 * 1024), expected) << locked;
    }
}

}  // namespace
}  // namespace sidecore::storage::test
