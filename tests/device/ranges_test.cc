// SPDX-License-Identifier: Apache-2.0
// Discard and write zeroes: their segments, flags and limits (VIRTIO 1.3, 5.2.6).
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using frontend::BlkRange;
using frontend::BlkStatus;
using frontend::BlkType;
using storage::BlockOperation;
using storage::FakeDisk;
using storage::SeenRequest;

constexpr std::uint64_t sectors = mebibyte / 512;
constexpr std::uint32_t unmap = frontend::blk_range_unmap;

BlkRange range(std::uint64_t sector, std::uint32_t count, std::uint32_t flags = 0) {
    return {sector, count, flags};
}

class Ranges : public testing::TestWithParam<BlkType> {
protected:
    bool discards() const { return GetParam() == BlkType::discard; }
    BlockOperation operation() const { return discards() ? BlockOperation::discard : BlockOperation::write_zeroes; }

    BlkStatus run(const std::vector<BlkRange>& ranges) {
        const auto finished = disk.ranges(GetParam(), ranges);
        EXPECT_EQ(finished.used_length, 1U);
        return finished.status;
    }

    /// Runs whatever bytes are there in the place of segments.
    BlkStatus run_bytes(std::size_t bytes) {
        const std::vector<std::byte> data(bytes);
        return disk.run({.type = GetParam(), .out = data}).status;
    }

    std::shared_ptr<FakeDisk> storage = FakeDisk::create(mebibyte);
    DrivenDisk disk{storage->open()};
};

INSTANTIATE_TEST_SUITE_P(Types, Ranges, testing::Values(BlkType::discard, BlkType::write_zeroes),
                         [](const auto& one) { return one.param == BlkType::discard ? "discard" : "write_zeroes"; });

TEST_P(Ranges, OneTo32SegmentsAreCarriedOut) {
    for (std::uint32_t count = 1; count <= BlkDevice::max_range_segments; ++count) {
        const std::size_t before = storage->seen().size();
        std::vector<BlkRange> ranges;
        for (std::uint32_t i = 0; i < count; ++i) {
            ranges.push_back(range(std::uint64_t{10} * i, i + 1));
        }
        ASSERT_EQ(run(ranges), BlkStatus::ok) << count;
        const auto seen = storage->seen();
        ASSERT_EQ(seen.size(), before + count);
        for (std::uint32_t i = 0; i < count; ++i) {
            EXPECT_EQ(seen[before + i].operation, operation());
            EXPECT_EQ(seen[before + i].offset_bytes, std::uint64_t{5120} * i);
            EXPECT_EQ(seen[before + i].length_bytes, std::uint64_t{512} * (i + 1));
        }
    }
}

TEST_P(Ranges, MoreThanWasOfferedIsRefusedAsAWhole) {
    EXPECT_EQ(run(std::vector<BlkRange>(BlkDevice::max_range_segments + 1, range(0, 1))), BlkStatus::io_error);
    EXPECT_EQ(run(std::vector<BlkRange>(1000, range(0, 1))), BlkStatus::io_error);
    EXPECT_TRUE(storage->seen().empty());
}

TEST_P(Ranges, LengthsThatAreNoSegmentsAreRefused) {
    for (const std::size_t bytes : {0U, 1U, 8U, 15U, 17U, 24U, 31U, 33U, 512U - 1U, 513U}) {
        EXPECT_EQ(run_bytes(bytes), BlkStatus::io_error) << bytes;
    }
    EXPECT_TRUE(storage->seen().empty());
    EXPECT_EQ(run_bytes(16), BlkStatus::ok);  // a segment of no sectors
}

TEST_P(Ranges, SegmentsOfNoSectorsAreSkipped) {
    EXPECT_EQ(run({range(5, 0)}), BlkStatus::ok);
    EXPECT_EQ(run({range(sectors, 0), range(0, 0)}), BlkStatus::ok);
    EXPECT_TRUE(storage->seen().empty());
    EXPECT_EQ(run({range(1, 0), range(2, 2), range(3, 0), range(8, 1), range(9, 0)}), BlkStatus::ok);
    const auto seen = storage->seen();
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen[0].offset_bytes, 2U * 512);
    EXPECT_EQ(seen[1].offset_bytes, 8U * 512);
}

TEST_P(Ranges, NothingIsDoneIfOneSegmentLeavesTheDisk) {
    for (const BlkRange& bad : {range(sectors - 1, 2), range(sectors, 1), range(sectors + 1, 0), range(UINT64_MAX, 1),
                                range(std::uint64_t{1} << 55U, 1), range(0, UINT32_MAX), range(UINT64_MAX - 4, 8)}) {
        EXPECT_EQ(run({range(0, 8), bad, range(16, 8)}), BlkStatus::io_error);
    }
    EXPECT_TRUE(storage->seen().empty());
}

TEST_P(Ranges, UnknownFlagsAreUnsupported) {
    for (unsigned bit = 1; bit < 32; ++bit) {
        EXPECT_EQ(run({range(0, 1, 1U << bit)}), BlkStatus::unsupported) << bit;
        EXPECT_EQ(run({range(0, 1), range(8, 1, 1U << bit)}), BlkStatus::unsupported) << bit;
    }
    // Also where something else is wrong as well.
    EXPECT_EQ(run({range(sectors, 8), range(8, 1, 2)}), BlkStatus::unsupported);
    EXPECT_TRUE(storage->seen().empty());
}

TEST_P(Ranges, UnmapIsForWriteZeroesOnly) {
    EXPECT_EQ(run({range(0, 1), range(8, 1, unmap), range(16, 1)}),
              discards() ? BlkStatus::unsupported : BlkStatus::ok);
    const auto seen = storage->seen();
    if (discards()) {
        EXPECT_TRUE(seen.empty());
        return;
    }
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0].operation, BlockOperation::write_zeroes);
    EXPECT_EQ(seen[1].operation, BlockOperation::write_zeroes_unmap);
    EXPECT_EQ(seen[2].operation, BlockOperation::write_zeroes);
}

TEST_P(Ranges, AFailureInTheMiddleEndsTheRequest) {
    storage->add_fault({.action = storage::FaultAction::fail, .error = EIO, .skip = 2, .times = 1});
    EXPECT_EQ(run({range(0, 1), range(8, 1), range(16, 1), range(24, 1)}), BlkStatus::io_error);
    EXPECT_EQ(storage->seen().size(), 3U);
    EXPECT_EQ(run({range(0, 1), range(8, 1)}), BlkStatus::ok);
}

TEST_P(Ranges, TheGuestCannotChangeThemOnceTheyAreTaken) {
    storage->add_fault({.action = storage::FaultAction::hold});
    const std::vector<BlkRange> ranges{range(0, 1), range(8, 1)};
    disk.offer({.type = GetParam(), .out = std::as_bytes(std::span(ranges))});
    disk.work();
    ASSERT_EQ(storage->held().size(), 1U);
    // The buffer behind the header, as the driver's side has laid it out.
    const frontend::Descriptor data = disk.driver().ring().read_descriptor(1);
    std::byte* const place = disk.memory().host({data.address}, data.length);
    ASSERT_NE(place, nullptr);
    std::fill_n(place, std::size_t{data.length}, std::byte{0xff});
    storage->release_all();
    disk.work();
    const auto held = storage->held();
    ASSERT_EQ(held.size(), 1U);
    EXPECT_EQ(held.front().offset_bytes, 8U * 512);
    storage->release_all();
    disk.work();
    EXPECT_EQ(disk.queue().in_flight(), 0U);
}

TEST_P(Ranges, ManyRequestsOfManySegmentsShareTheBatches) {
    std::vector<BlkRange> ranges;
    for (std::uint32_t i = 0; i < 32; ++i) {
        ranges.push_back(range(std::uint64_t{2} * i, 1));
    }
    DrivenDisk busy(storage->open(), {.requests = {.slots = 60, .bytes_per_slot = 8192}});
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(busy.requests().submit({.type = GetParam(), .out = std::as_bytes(std::span(ranges))}));
    }
    busy.driver().publish();
    busy.work();
    std::size_t finished = 0;
    while (finished < 60) {
        for (const auto& one : must(busy.requests().collect())) {
            EXPECT_EQ(one.status, BlkStatus::ok);
            ++finished;
        }
    }
    EXPECT_EQ(storage->seen().size(), 60U * 32U);
    EXPECT_LE(storage->batch_count(), 3U * 32U);  // a batch of requests and two halves, 32 segments deep
}

TEST(RangesNotOffered, AreUnsupported) {
    storage::BlockGeometry geometry;
    geometry.capacity_bytes = mebibyte;
    const auto storage = FakeDisk::create(geometry);
    DrivenDisk disk(storage->open());
    const std::vector<BlkRange> ranges{range(0, 8)};
    EXPECT_EQ(disk.ranges(BlkType::discard, ranges).status, BlkStatus::unsupported);
    EXPECT_EQ(disk.ranges(BlkType::write_zeroes, ranges).status, BlkStatus::unsupported);
    EXPECT_TRUE(storage->seen().empty());
}

}  // namespace
}  // namespace sidecore::device
