// SPDX-License-Identifier: Apache-2.0
#include "storage/file_operation.hh"

#include <algorithm>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <linux/falloc.h>

#include <gtest/gtest.h>

#include "storage/segmented_buffer.hh"

namespace sidecore::storage::test {
namespace {

using Kind = FileStep::Kind;

class FileOperationTest : public testing::Test {
protected:
    FileOperationTest() { traits_.capacity_bytes = 64 << 20; }

    /// Segments of `piece` bytes at addresses that nobody touches.
    void make_request(BlockOperation operation, std::uint64_t length, std::size_t piece = 4096) {
        request_.operation = operation;
        request_.offset_bytes = 1 << 20;
        request_.length_bytes = length;
        memory_.resize(length + 4096);
        auto* start = memory_.data() + (4096 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 4096);
        for (std::size_t at = 0; at < length; at += piece) {
            segments_.push_back({start + at, std::min<std::size_t>(piece, length - at)});
        }
        request_.segments = segments_;
    }

    FileStep start() {
        operation_.start(request_, traits_);
        return operation_.next();
    }

    static std::uint64_t length_of(const FileStep& step) {
        std::uint64_t sum = 0;
        for (const iovec& segment : step.segments) {
            sum += segment.iov_len;
        }
        return sum;
    }

    FileTraits traits_;
    BlockRequest request_;
    FileOperation operation_;
    Bytes memory_;
    std::vector<iovec> segments_;
};

TEST_F(FileOperationTest, AWholeTransferIsOneStep) {
    make_request(BlockOperation::read, 8192);
    const FileStep step = start();
    EXPECT_EQ(step.kind, Kind::read);
    EXPECT_EQ(step.offset_bytes, 1U << 20U);
    EXPECT_EQ(step.segments.size(), 2U);
    EXPECT_EQ(step.flags, 0);
    EXPECT_FALSE(step.again);
    EXPECT_TRUE(operation_.complete(8192));
    EXPECT_EQ(request_.result, 0);
    EXPECT_TRUE(operation_.finished());
}

TEST_F(FileOperationTest, ShortTransfersAreCarriedOn) {
    make_request(BlockOperation::write, 12288);
    const auto* begin = static_cast<std::byte*>(segments_[0].iov_base);
    start();
    EXPECT_FALSE(operation_.complete(5000));
    FileStep step = operation_.next();
    EXPECT_EQ(step.kind, Kind::write);
    EXPECT_EQ(step.offset_bytes, (1U << 20U) + 5000);
    ASSERT_EQ(step.segments.size(), 2U);
    EXPECT_EQ(step.segments[0].iov_base, begin + 5000);
    EXPECT_EQ(length_of(step), 7288U);
    EXPECT_FALSE(operation_.complete(1));
    EXPECT_EQ(length_of(operation_.next()), 7287U);
    EXPECT_TRUE(operation_.complete(7287));
    EXPECT_EQ(request_.result, 0);
}

TEST_F(FileOperationTest, TheEndOfTheFileIsAnError) {
    make_request(BlockOperation::read, 8192);
    start();
    EXPECT_FALSE(operation_.complete(4096));
    operation_.next();
    EXPECT_TRUE(operation_.complete(0));
    EXPECT_EQ(request_.result, -EIO);
}

TEST_F(FileOperationTest, LongListsTakeSeveralSteps) {
    make_request(BlockOperation::read, 2500 * 512, 512);
    std::vector<std::size_t> sizes;
    FileStep step = start();
    while (true) {
        sizes.push_back(step.segments.size());
        if (operation_.complete(static_cast<std::int64_t>(length_of(step)))) {
            break;
        }
        step = operation_.next();
    }
    EXPECT_EQ(sizes, (std::vector<std::size_t>{1024, 1024, 452}));
    EXPECT_EQ(request_.result, 0);
}

TEST_F(FileOperationTest, DurableWritesSaySo) {
    make_request(BlockOperation::write, 4096);
    request_.durable = true;
    EXPECT_EQ(start().flags, RWF_DSYNC);
}

TEST_F(FileOperationTest, ErrorsEndTheRequest) {
    make_request(BlockOperation::write, 8192);
    start();
    EXPECT_FALSE(operation_.complete(4096));
    operation_.next();
    EXPECT_TRUE(operation_.complete(-ENOSPC));
    EXPECT_EQ(request_.result, -ENOSPC);
}

TEST_F(FileOperationTest, WhatMayPassIsTriedAgain) {
    for (const int error : {EAGAIN, EINTR, ECANCELED}) {
        make_request(BlockOperation::read, 4096);
        EXPECT_FALSE(start().again);
        EXPECT_FALSE(operation_.complete(-error));
        const FileStep again = operation_.next();
        EXPECT_TRUE(again.again);
        EXPECT_EQ(again.offset_bytes, 1U << 20U);
        EXPECT_TRUE(operation_.complete(4096));
        EXPECT_EQ(request_.result, 0);
        segments_.clear();
    }
}

TEST_F(FileOperationTest, TryingAgainHasAnEnd) {
    make_request(BlockOperation::read, 8192);
    start();
    for (std::uint32_t i = 1; i < FileOperation::attempts_max; ++i) {
        ASSERT_FALSE(operation_.complete(-EAGAIN)) << i;
    }
    EXPECT_FALSE(operation_.complete(4096)) << "progress starts the count afresh";
    for (std::uint32_t i = 1; i < FileOperation::attempts_max; ++i) {
        ASSERT_FALSE(operation_.complete(-EAGAIN)) << i;
    }
    EXPECT_TRUE(operation_.complete(-EAGAIN));
    EXPECT_EQ(request_.result, -EAGAIN);
}

TEST_F(FileOperationTest, FlushSyncs) {
    request_.operation = BlockOperation::flush;
    EXPECT_EQ(start().kind, Kind::sync);
    EXPECT_TRUE(operation_.complete(-EIO));
    EXPECT_EQ(request_.result, -EIO);
    traits_.read_only = true;
    EXPECT_EQ(start().kind, Kind::nothing);
    EXPECT_TRUE(operation_.complete(0));
    EXPECT_EQ(request_.result, 0);
}

TEST_F(FileOperationTest, RefusedRequestsHaveNoSteps) {
    make_request(BlockOperation::write, 4096);
    request_.offset_bytes = 64 << 20;
    EXPECT_EQ(start().kind, Kind::nothing);
    EXPECT_TRUE(operation_.finished());
    EXPECT_TRUE(operation_.complete(0));
    EXPECT_EQ(request_.result, -EIO);
}

TEST_F(FileOperationTest, DirectIoTakesAlignedMemoryAsItIs) {
    traits_.direct = true;
    traits_.logical_block_bytes = 512;
    traits_.memory_alignment_bytes = 4;
    make_request(BlockOperation::read, 8192);
    auto& base = segments_[1].iov_base;
    base = static_cast<std::byte*>(base) + 4;
    operation_.start(request_, traits_);
    EXPECT_FALSE(operation_.needs_bounce());
    base = static_cast<std::byte*>(base) + 2;
    operation_.start(request_, traits_);
    EXPECT_TRUE(operation_.needs_bounce()) << "address";
    base = static_cast<std::byte*>(base) - 6;
    segments_[0].iov_len = 256;
    operation_.start(request_, traits_);
    EXPECT_TRUE(operation_.needs_bounce()) << "length";
    traits_.direct = false;
    operation_.start(request_, traits_);
    EXPECT_FALSE(operation_.needs_bounce()) << "buffered";
}

TEST_F(FileOperationTest, DirectIoCarriesOnAtABlock) {
    traits_.direct = true;
    traits_.logical_block_bytes = 4096;
    traits_.memory_alignment_bytes = 512;
    make_request(BlockOperation::read, 16384);
    start();
    EXPECT_FALSE(operation_.complete(4096 + 512));
    EXPECT_EQ(operation_.next().offset_bytes, (1U << 20U) + 4096);
    EXPECT_TRUE(operation_.complete(512)) << "only at the end of the file";
    EXPECT_EQ(request_.result, -EIO);
}

class BounceTest : public FileOperationTest, public testing::WithParamInterface<BlockOperation> {};

TEST_P(BounceTest, MovesPieceByPieceThroughTheBuffer) {
    Random random(1);
    traits_.direct = true;
    traits_.memory_alignment_bytes = 512;
    constexpr std::uint64_t length = 300 * 1024;
    const bool write = GetParam() == BlockOperation::write;
    const Bytes data = random_bytes(random, length);
    SegmentedBuffer memory(Layout::odd_pieces, length, random);
    memory.fill(write ? data : Bytes(length));
    request_.operation = GetParam();
    request_.length_bytes = length;
    request_.segments = memory.segments();

    alignas(4096) static std::array<std::byte, FileOperation::bounce_bytes> bounce;
    operation_.start(request_, traits_);
    ASSERT_TRUE(operation_.needs_bounce());
    operation_.use_bounce(bounce.data());
    Bytes file = write ? Bytes(length) : data;
    bool done = false;
    for (int steps = 0; !done; ++steps) {
        ASSERT_LT(steps, 20);
        const FileStep step = operation_.next();
        ASSERT_EQ(step.kind, write ? Kind::write : Kind::read);
        ASSERT_EQ(step.segments.size(), 1U);
        ASSERT_EQ(step.segments[0].iov_base, bounce.data());
        ASSERT_EQ(step.offset_bytes % 512, 0U);
        // Every second transfer is short, by an odd number of bytes.
        const std::uint64_t moved = steps % 2 == 0 ? step.segments[0].iov_len : step.segments[0].iov_len / 2 + 1;
        std::byte* at = file.data() + step.offset_bytes;
        std::memcpy(write ? at : bounce.data(), write ? bounce.data() : at, moved);
        done = operation_.complete(static_cast<std::int64_t>(moved));
    }
    EXPECT_EQ(request_.result, 0);
    EXPECT_EQ(file, data);
    EXPECT_EQ(memory.gather(), data);
    EXPECT_TRUE(memory.guards_intact());
}

INSTANTIATE_TEST_SUITE_P(Both, BounceTest, testing::Values(BlockOperation::read, BlockOperation::write));

TEST_F(FileOperationTest, DiscardPunchesAHole) {
    make_request(BlockOperation::discard, 1 << 20);
    const FileStep step = start();
    EXPECT_EQ(step.kind, Kind::fallocate);
    EXPECT_EQ(step.flags, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    EXPECT_EQ(step.offset_bytes, 1U << 20U);
    EXPECT_EQ(step.length_bytes, 1U << 20U);
    EXPECT_TRUE(operation_.complete(0));
    EXPECT_EQ(request_.result, 0);
}

TEST_F(FileOperationTest, ADiscardThatTheFileSystemRefusesDoesNothing) {
    make_request(BlockOperation::discard, 1 << 20);
    start();
    EXPECT_TRUE(operation_.complete(-EOPNOTSUPP));
    EXPECT_EQ(request_.result, 0);
    EXPECT_FALSE(traits_.can_punch);
    EXPECT_EQ(start().kind, Kind::nothing) << "and is not asked again";
    EXPECT_EQ(request_.result, 0);
}

TEST_F(FileOperationTest, ADiscardCanFail) {
    make_request(BlockOperation::discard, 1 << 20);
    start();
    EXPECT_TRUE(operation_.complete(-EIO));
    EXPECT_EQ(request_.result, -EIO);
    EXPECT_TRUE(traits_.can_punch);
}

TEST_F(FileOperationTest, ZeroesKeepTheirSpaceUnlessTheyMayNot) {
    make_request(BlockOperation::write_zeroes, 1 << 20);
    EXPECT_EQ(start().flags, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    request_.operation = BlockOperation::write_zeroes_unmap;
    EXPECT_EQ(start().flags, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

TEST_F(FileOperationTest, ZeroesAreWrittenWhereNothingElseWorks) {
    constexpr std::uint64_t length = (5 << 19) + 3 * 512;  // 2.5 MiB and a bit
    make_request(BlockOperation::write_zeroes_unmap, length);
    EXPECT_EQ(start().flags, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    EXPECT_FALSE(operation_.complete(-EOPNOTSUPP));
    EXPECT_EQ(operation_.next().flags, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    EXPECT_FALSE(operation_.complete(-EOPNOTSUPP));
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (bool done = false; !done;) {
        const FileStep step = operation_.next();
        ASSERT_EQ(step.kind, Kind::write);
        for (const iovec& segment : step.segments) {
            const auto* bytes = static_cast<const std::byte*>(segment.iov_base);
            ASSERT_TRUE(std::all_of(bytes, bytes + segment.iov_len, [](std::byte b) { return b == std::byte{0}; }));
        }
        ranges.emplace_back(step.offset_bytes, length_of(step));
        done = operation_.complete(static_cast<std::int64_t>(length_of(step)));
    }
    EXPECT_EQ(request_.result, 0);
    std::uint64_t end = 1 << 20;
    for (const auto& [offset, bytes] : ranges) {
        EXPECT_EQ(offset, end);
        EXPECT_LE(bytes, FileOperation::zero_step_bytes);
        end += bytes;
    }
    EXPECT_EQ(end, (1U << 20U) + length);
    EXPECT_FALSE(traits_.can_punch);
    EXPECT_FALSE(traits_.can_zero_range);
    EXPECT_EQ(start().kind, Kind::write) << "what was refused is not tried again";
}

TEST_F(FileOperationTest, ARangeThatIsTooFineForTheDeviceIsOnlyThatOnce) {
    make_request(BlockOperation::write_zeroes, 512);
    start();
    EXPECT_FALSE(operation_.complete(-EINVAL));
    EXPECT_EQ(operation_.next().kind, Kind::write);
    EXPECT_TRUE(operation_.complete(512));
    EXPECT_EQ(request_.result, 0);
    EXPECT_EQ(start().kind, Kind::fallocate);
}

TEST_F(FileOperationTest, DurableZeroesAreSynced) {
    make_request(BlockOperation::write_zeroes, 4096);
    request_.durable = true;
    start();
    EXPECT_FALSE(operation_.complete(0));
    EXPECT_EQ(operation_.next().kind, Kind::sync);
    EXPECT_TRUE(operation_.complete(0));
    EXPECT_EQ(request_.result, 0);

    traits_.can_zero_range = false;
    const FileStep step = start();
    EXPECT_EQ(step.kind, Kind::write);
    EXPECT_EQ(step.flags, RWF_DSYNC);
}

/// Runs operations on bytes in memory with results as unkind as a kernel's may be.
TEST_F(FileOperationTest, SurvivesAnyMixtureOfResults) {
    alignas(4096) static std::array<std::byte, FileOperation::bounce_bytes> bounce;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        Random random(seed);
        Bytes file = random_bytes(random, 256 * 1024);
        const Bytes before = file;
        FileTraits traits;
        traits.capacity_bytes = file.size();
        traits.direct = random() % 2 == 0;
        traits.memory_alignment_bytes = traits.direct ? 512 : 1;
        BlockRequest request;
        static constexpr BlockOperation operations[] = {BlockOperation::read, BlockOperation::write,
                                                        BlockOperation::write_zeroes};
        request.operation = operations[random() % std::size(operations)];
        request.offset_bytes = random() % 256 * 512;
        request.length_bytes = (1 + random() % 256) * 512;
        SegmentedBuffer memory(layouts[random() % std::size(layouts)], request.length_bytes, random);
        const Bytes written = random_bytes(random, request.length_bytes);
        memory.fill(written);
        request.segments = memory.segments();

        FileOperation operation;
        operation.start(request, traits);
        if (operation.needs_bounce()) {
            operation.use_bounce(bounce.data());
        }
        std::int64_t result = 0;
        do {
            const FileStep step = operation.next();
            ASSERT_LE(step.segments.size(), FileOperation::segments_max);
            if (step.kind == Kind::fallocate) {
                result = -EOPNOTSUPP;
                continue;
            }
            if (random() % 3 == 0) {
                result = random() % 2 == 0 ? -EINTR : -EAGAIN;
                continue;
            }
            std::uint64_t budget = length_of(step);
            if (budget > 512 && random() % 2 == 0) {
                budget = 512 + random() % (budget - 512);
            }
            result = static_cast<std::int64_t>(budget);
            std::byte* at = file.data() + step.offset_bytes;
            for (const iovec& segment : step.segments) {
                const std::uint64_t part = std::min<std::uint64_t>(segment.iov_len, budget);
                std::memcpy(step.kind == Kind::read ? segment.iov_base : at,
                            step.kind == Kind::read ? at : segment.iov_base, part);
                at += part;
                budget -= part;
            }
        } while (!operation.complete(result));

        ASSERT_EQ(request.result, 0) << seed;
        ASSERT_TRUE(memory.guards_intact()) << seed;
        Bytes expected = before;
        const auto place = expected.begin() + static_cast<std::ptrdiff_t>(request.offset_bytes);
        if (request.operation == BlockOperation::read) {
            ASSERT_TRUE(std::ranges::equal(memory.gather(), std::span(place, request.length_bytes))) << seed;
        } else if (request.operation == BlockOperation::write) {
            std::copy(written.begin(), written.end(), place);
        } else {
            std::fill_n(place, request.length_bytes, std::byte{0});
        }
        ASSERT_EQ(file, expected) << seed;
    }
}

TEST_F(FileOperationTest, ACancelledStepIsNotTriedAgain) {
    for (const int interruption : {-ECANCELED, -EINTR, -EAGAIN}) {
        segments_.clear();
        make_request(BlockOperation::write, 8192);
        start();
        EXPECT_FALSE(operation_.complete(interruption)) << "nobody has cancelled it";
        operation_.next();
        operation_.cancel();
        EXPECT_TRUE(operation_.complete(interruption));
        EXPECT_EQ(request_.result, -ECANCELED);
    }
    segments_.clear();
    make_request(BlockOperation::write, 8192);
    start();
    EXPECT_FALSE(operation_.complete(-ECANCELED)) << "the next request of the operation is another matter";
}

TEST_F(FileOperationTest, ACancelledRequestEndsWithItsStepAndKeepsTheResultOfTheLastOne) {
    make_request(BlockOperation::write, 8192);
    start();
    operation_.cancel();
    EXPECT_TRUE(operation_.complete(4096));
    EXPECT_EQ(request_.result, -ECANCELED) << "a half has not been written";

    segments_.clear();
    make_request(BlockOperation::write, 8192);
    start();
    operation_.cancel();
    EXPECT_TRUE(operation_.complete(8192));
    EXPECT_EQ(request_.result, 0);

    start();
    operation_.cancel();
    EXPECT_TRUE(operation_.complete(-ENOSPC));
    EXPECT_EQ(request_.result, -ENOSPC);
}

}  // namespace
}  // namespace sidecore::storage::test
