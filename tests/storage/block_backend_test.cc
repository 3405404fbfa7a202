// SPDX-License-Identifier: Apache-2.0
// What every storage back-end promises, asked of all of them.
#include "storage/block_backend.hh"

#include <algorithm>
#include <atomic>
#include <bit>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "storage/kinds.hh"
#include "storage/queue_user.hh"
#include "storage/random_mix.hh"
#include "storage/segmented_buffer.hh"
#include "storage/thread_tools.hh"

namespace sidecore::storage::test {
namespace {

constexpr std::uint64_t capacity = 2 << 20;
constexpr std::uint64_t unaligned_end = ~std::uint64_t{511};

class BlockBackendTest : public testing::TestWithParam<Kind> {
protected:
    Disk open(std::uint64_t capacity_bytes = capacity, bool read_only = false) {
        return GetParam().open(capacity_bytes, read_only);
    }
    bool keeps_data() const { return GetParam().keeps_data; }
};

TEST_P(BlockBackendTest, GeometryMakesSense) {
    const Disk disk = open();
    const BlockGeometry geometry = disk.backend->geometry();
    EXPECT_EQ(geometry.capacity_bytes, capacity);
    for (const std::uint32_t block :
         {geometry.logical_block_bytes, geometry.physical_block_bytes, geometry.discard_granularity_bytes}) {
        EXPECT_TRUE(std::has_single_bit(block)) << block;
        EXPECT_GE(block, geometry.logical_block_bytes);
    }
    EXPECT_GE(geometry.logical_block_bytes, sector_bytes);
    EXPECT_FALSE(geometry.read_only);
    EXPECT_FALSE(disk.backend->kind().empty());
    EXPECT_NE(disk.backend->description().find("2 MiB"), std::string::npos) << disk.backend->description();
}

TEST_P(BlockBackendTest, ADepthOutOfRangeIsRefused) {
    const Disk disk = open();
    EXPECT_FALSE(disk.backend->open_queue(0));
    EXPECT_FALSE(disk.backend->open_queue(32769));
    for (const std::uint32_t depth : {1U, 3U, 32768U}) {
        QueueUser user(*disk.backend, depth);
        EXPECT_EQ(user.run(BlockOperation::flush), 0) << depth;
    }
}

TEST_P(BlockBackendTest, RandomMixMatchesAModel) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 24);
    const std::uint32_t block = disk.backend->geometry().logical_block_bytes;
    run_random_mix(user, 0, capacity, block, block == sector_bytes ? 60 : 15, 1, keeps_data());
}

TEST_P(BlockBackendTest, QueuesWorkSideBySide) {
    const Disk disk = open();
    const std::uint32_t block = disk.backend->geometry().logical_block_bytes;
    constexpr std::uint64_t queues = 3;
    constexpr std::uint64_t part = capacity / 4;
    std::vector<std::unique_ptr<QueueUser>> users;
    std::vector<std::thread> workers;
    for (std::uint64_t i = 0; i < queues; ++i) {
        users.push_back(std::make_unique<QueueUser>(*disk.backend, 24));
    }
    for (std::uint64_t i = 0; i < queues; ++i) {
        workers.emplace_back(
            [&, i] { run_random_mix(*users[i], i * part, (i + 1) * part, block, 25, 100 + i, keeps_data()); });
    }
    for (std::thread& worker : workers) {
        worker.join();
    }
}

TEST_P(BlockBackendTest, EverySegmentLayoutIsServed) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 4);
    Random random(7);
    for (const Layout layout : layouts) {
        for (const std::size_t length : std::initializer_list<std::size_t>{4096, 12288, 128 * 1024, 300 * 1024}) {
            const Bytes written = random_bytes(random, length);
            SegmentedBuffer source(layout, length, random);
            source.fill(written);
            BlockRequest request;
            request.operation = BlockOperation::write;
            request.offset_bytes = 8192;
            request.length_bytes = length;
            request.segments = source.segments();
            ASSERT_EQ(user.run(request), 0);
            ASSERT_EQ(source.gather(), written);

            SegmentedBuffer target(layout, length, random);
            request.operation = BlockOperation::read;
            request.segments = target.segments();
            ASSERT_EQ(user.run(request), 0);
            ASSERT_TRUE(target.guards_intact());
            if (keeps_data()) {
                ASSERT_EQ(target.gather(), written) << "layout " << static_cast<int>(layout) << ", " << length;
            }
        }
    }
}

TEST_P(BlockBackendTest, MoreSegmentsThanTheKernelTakes) {
    const Disk disk = open();
    const std::size_t block = disk.backend->geometry().logical_block_bytes;
    QueueUser user(*disk.backend, 1);
    Random random(8);
    // Both aligned as direct I/O wants, and not.
    for (const std::size_t piece : {block, std::size_t{131}}) {
        const std::size_t length = std::min<std::size_t>(2500 * piece, capacity) / block * block;
        const Bytes written = random_bytes(random, length);
        Bytes source(length + 4096);
        std::byte* start = source.data() + (4096 - reinterpret_cast<std::uintptr_t>(source.data()) % 4096);
        std::copy(written.begin(), written.end(), start);
        std::vector<iovec> segments;
        for (std::size_t at = 0; at < length; at += piece) {
            segments.push_back({start + at, std::min(piece, length - at)});
        }
        if (block == 512) {
            ASSERT_GT(segments.size(), 2U * 1024U);
        }
        BlockRequest request;
        request.operation = BlockOperation::write;
        request.length_bytes = length;
        request.segments = segments;
        ASSERT_EQ(user.run(request), 0);
        Bytes found(length);
        ASSERT_EQ(user.read(0, found), 0);
        if (keeps_data()) {
            ASSERT_EQ(found, written);
        }
    }
}

TEST_P(BlockBackendTest, EveryRequestOfAFullQueueComesBackOnce) {
    const Disk disk = open();
    constexpr std::uint32_t depth = 3000;  // more than an io_uring takes in one go
    QueueUser user(*disk.backend, depth);
    std::vector<BlockRequest> requests(depth);
    Bytes memory(4096);
    std::vector<iovec> segments(depth, iovec{memory.data(), memory.size()});
    std::vector<BlockRequest*> batch;
    for (std::size_t i = 0; i < depth; ++i) {
        requests[i].offset_bytes = i % (capacity / 4096) * 4096;
        requests[i].length_bytes = 4096;
        requests[i].segments = {&segments[i], 1};
        requests[i].result = 1;
        batch.push_back(&requests[i]);
    }
    for (int round = 0; round < 3; ++round) {
        for (iovec& segment : segments) {
            segment = {memory.data(), memory.size()};
        }
        user.submit(batch);
        const auto done = user.wait(depth);
        EXPECT_EQ(std::set<BlockRequest*>(done.begin(), done.end()).size(), depth);
        EXPECT_TRUE(std::all_of(done.begin(), done.end(), [](const BlockRequest* one) { return one->result == 0; }));
        BlockRequest* more[1];
        EXPECT_EQ(user.queue().reap(more), 0U);
    }
}

TEST_P(BlockBackendTest, ReapTakesNoMoreThanThereIsRoomFor) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 8);
    std::vector<BlockRequest> requests(8);
    std::vector<BlockRequest*> batch;
    for (BlockRequest& request : requests) {
        request.operation = BlockOperation::flush;
        batch.push_back(&request);
    }
    user.submit(batch);
    EXPECT_EQ(user.queue().reap({}), 0U);
    std::vector<BlockRequest*> done;
    for (int i = 0; i < 8; ++i) {
        done.push_back(user.wait(1, 1).front());
    }
    EXPECT_EQ(std::set<BlockRequest*>(done.begin(), done.end()).size(), 8U);
}

TEST_P(BlockBackendTest, CompletionsWakeASleeper) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 4);
    if (user.queue().completion_fd() < 0) {
        // Then everything is finished when submit() returns.
        BlockRequest flush;
        flush.operation = BlockOperation::flush;
        user.submit(flush);
        BlockRequest* done[2];
        ASSERT_EQ(user.queue().reap(done), 1U);
        ASSERT_EQ(done[0], &flush);
        return;
    }
    Bytes memory(4096);
    Random random(9);
    const bool in_memory = disk.backend->description().find("in memory") != std::string::npos;
    for (int round = 0; round < 300; ++round) {
        ASSERT_FALSE(user.readable()) << "nothing in flight";
        iovec segment{memory.data(), memory.size()};
        BlockRequest request;
        static constexpr BlockOperation operations[] = {BlockOperation::read, BlockOperation::write,
                                                        BlockOperation::flush, BlockOperation::write_zeroes};
        request.operation = operations[random() % std::size(operations)];
        request.offset_bytes = random() % (capacity / 4096) * 4096;
        request.length_bytes = 4096;
        request.segments = {&segment, 1};
        if (round % 5 == 0) {
            request.offset_bytes = capacity;  // refused: that must wake too
        }
        const int expected = request.operation != BlockOperation::flush && round % 5 == 0 ? -EIO : 0;
        user.submit(request);
        const bool transfer = request.operation == BlockOperation::read || request.operation == BlockOperation::write;
        if (!transfer || expected != 0 || !in_memory) {  // else it is finished when submit() returns
            ASSERT_TRUE(user.readable(20'000));
            ASSERT_TRUE(user.readable()) << "not level-triggered";
        }
        ASSERT_EQ(user.wait(1).front(), &request);
        ASSERT_EQ(request.result, expected);
        BlockRequest* more[1];
        ASSERT_EQ(user.queue().reap(more), 0U);
    }
}

TEST_P(BlockBackendTest, WhatIsLeftAfterAReapWakesAgain) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 3);
    if (user.queue().completion_fd() < 0) {
        EXPECT_EQ(user.queue().completion_fd(), -1);
        return;
    }
    BlockRequest requests[3];
    for (BlockRequest& request : requests) {
        request.operation = BlockOperation::flush;
        user.submit(request);
    }
    for (int left = 3; left != 0; --left) {
        ASSERT_TRUE(user.readable(20'000)) << left;
        ASSERT_EQ(user.wait(1, 1).size(), 1U);
    }
    EXPECT_FALSE(user.readable());
}

TEST_P(BlockBackendTest, ReapingNothingMakesNoSystemCall) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 8);
    ASSERT_EQ(user.run(BlockOperation::flush), 0);
    const int fd = user.queue().completion_fd();
    EXPECT_EQ(count_io_system_calls(fd,
                                    [&] {
                                        BlockRequest* done[8];
                                        for (int i = 0; i < 100; ++i) {
                                            ASSERT_EQ(user.queue().reap(done), 0U);
                                        }
                                    }),
              0);
    EXPECT_EQ(count_io_system_calls(100, [] { signal_eventfd(100); }), 1) << "the measure works";
}

TEST_P(BlockBackendTest, AQueueMovesToAnotherThreadWithRequestsInFlight) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 64);
    Random random(10);
    for (int round = 0; round < 20; ++round) {
        const Bytes written = random_bytes(random, 64 * 16384);
        std::vector<BlockRequest> requests(64);
        std::vector<iovec> segments(64);
        std::vector<BlockRequest*> batch;
        for (std::size_t i = 0; i < 64; ++i) {
            segments[i] = {const_cast<std::byte*>(written.data()) + i * 16384, 16384};
            requests[i].operation = BlockOperation::write;
            requests[i].durable = i % 8 == 0;
            requests[i].offset_bytes = i * 16384;
            requests[i].length_bytes = 16384;
            requests[i].segments = {&segments[i], 1};
            batch.push_back(&requests[i]);
        }
        // The submitting thread ends at once, with most of the writes not done.
        std::thread([&] { user.submit(batch); }).join();
        user.wait(batch.size());
        for (const BlockRequest& request : requests) {
            ASSERT_EQ(request.result, 0);
        }
        Bytes found(written.size());
        ASSERT_EQ(user.read(0, found), 0);
        if (keeps_data()) {
            ASSERT_EQ(found, written);
        }
    }
}

TEST_P(BlockBackendTest, RequestsBeyondTheEndFail) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 4);
    const std::uint64_t block = disk.backend->geometry().logical_block_bytes;
    Bytes memory(2 * block);
    EXPECT_EQ(user.read(capacity, memory), -EIO);
    EXPECT_EQ(user.read(capacity - block, memory), -EIO);
    EXPECT_EQ(user.write(capacity - block, memory), -EIO);
    EXPECT_EQ(user.read(unaligned_end & ~(block - 1), memory), -EIO);
    for (const BlockOperation operation :
         {BlockOperation::discard, BlockOperation::write_zeroes, BlockOperation::write_zeroes_unmap}) {
        EXPECT_EQ(user.run(operation, capacity - block, 2 * block), -EIO);
        EXPECT_EQ(user.run(operation, block, std::uint64_t{0} - block), -EIO) << "the sum wraps around";
    }
    EXPECT_EQ(user.read(capacity - 2 * block, memory), 0);
}

TEST_P(BlockBackendTest, PartsOfBlocksAreRefused) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 4);
    const std::uint64_t block = disk.backend->geometry().logical_block_bytes;
    Bytes memory(block);
    EXPECT_EQ(user.read(block / 2, memory), -EINVAL);
    EXPECT_EQ(user.write(1, memory), -EINVAL);
    EXPECT_EQ(user.read(0, std::span(memory).first(block - 1)), -EINVAL);
    EXPECT_EQ(user.run(BlockOperation::write_zeroes, 0, block + 1), -EINVAL);
    EXPECT_EQ(user.run(BlockOperation::discard, 1, block), -EINVAL);
}

TEST_P(BlockBackendTest, EmptyRangesSucceed) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 4);
    for (const BlockOperation operation : {BlockOperation::read, BlockOperation::write, BlockOperation::discard,
                                           BlockOperation::write_zeroes, BlockOperation::write_zeroes_unmap}) {
        EXPECT_EQ(user.run(operation, 0, 0), 0);
        EXPECT_EQ(user.run(operation, capacity, 0), 0);
    }
}

TEST_P(BlockBackendTest, AReadOnlyDiskChangesNothing) {
    const Disk disk = open(capacity, true);
    EXPECT_TRUE(disk.backend->geometry().read_only);
    EXPECT_FALSE(disk.backend->geometry().can_discard);
    EXPECT_FALSE(disk.backend->geometry().can_write_zeroes);
    QueueUser user(*disk.backend, 4);
    Bytes memory(4096, std::byte{1});
    EXPECT_EQ(user.write(0, memory), -EROFS);
    EXPECT_EQ(user.run(BlockOperation::discard, 0, 4096), -EROFS);
    EXPECT_EQ(user.run(BlockOperation::write_zeroes, 0, 4096), -EROFS);
    EXPECT_EQ(user.run(BlockOperation::write_zeroes_unmap, 0, 4096), -EROFS);
    EXPECT_EQ(user.run(BlockOperation::flush), 0);
    EXPECT_EQ(user.read(0, memory), 0);
    if (keeps_data()) {
        EXPECT_EQ(memory, Bytes(4096));
    }
}

TEST_P(BlockBackendTest, ResizeGrowsAndShrinks) {
    Disk disk = open();
    if (!GetParam().can_resize) {
        EXPECT_FALSE(disk.backend->resize(2 * capacity));
        EXPECT_TRUE(disk.backend->resize(capacity)) << "its own size";
        return;
    }
    QueueUser user(*disk.backend, 4);
    const Bytes ones(4096, std::byte{1});
    Bytes found(4096);

    ASSERT_TRUE(disk.backend->resize(3 * capacity));
    EXPECT_EQ(disk.backend->geometry().capacity_bytes, 3 * capacity);
    EXPECT_EQ(user.write(3 * capacity - 4096, ones), 0);
    EXPECT_EQ(user.write(4096, ones), 0);

    ASSERT_TRUE(disk.backend->resize(capacity / 2 + 512 * 3));
    EXPECT_EQ(user.read(3 * capacity - 4096, found), -EIO);
    EXPECT_EQ(user.read(4096, found), 0);
    if (keeps_data()) {
        EXPECT_EQ(found, ones);
    }

    ASSERT_TRUE(disk.backend->resize(3 * capacity));
    EXPECT_EQ(user.read(3 * capacity - 4096, found), 0);
    if (keeps_data()) {
        EXPECT_EQ(found, Bytes(4096)) << "what was cut off does not come back";
    }
    EXPECT_FALSE(disk.backend->resize(capacity + 100));
    EXPECT_FALSE(disk.backend->resize(std::uint64_t{1} << 63U));
    EXPECT_EQ(disk.backend->geometry().capacity_bytes, 3 * capacity);
}

TEST_P(BlockBackendTest, ResizeUnderLoad) {
    Disk disk = open();
    if (!GetParam().can_resize) {
        EXPECT_TRUE(disk.backend->resize(capacity));
        return;
    }
    QueueUser user(*disk.backend, 16);
    std::atomic<bool> stop{false};
    std::thread worker([&] {
        // The lower half must not notice; the upper comes and goes.
        Bytes lower(4096);
        Bytes upper(4096);
        for (std::uint64_t round = 0; !stop.load(); ++round) {
            const std::uint64_t at = round % (capacity / 8192) * 4096;
            std::fill(lower.begin(), lower.end(), static_cast<std::byte>(round));
            ASSERT_EQ(user.write(at, lower), 0);
            const int result = user.write(capacity + at, lower);
            ASSERT_TRUE(result == 0 || result == -EIO) << result;
            const int read_result = user.read(capacity + at, upper);
            ASSERT_TRUE(read_result == 0 || read_result == -EIO) << read_result;
            ASSERT_EQ(user.read(at, upper), 0);
            if (keeps_data()) {
                ASSERT_EQ(upper, lower);
            }
        }
    });
    for (int i = 0; i < 300; ++i) {
        EXPECT_TRUE(disk.backend->resize((1 + static_cast<std::uint64_t>(i) % 4) * capacity));
    }
    stop = true;
    worker.join();
}

/// Requests are cancelled right after they were submitted, when they may be anywhere; and once more when they may be done.
TEST_P(BlockBackendTest, CancelledRequestsComeBackOnce) {
    const Disk disk = open();
    constexpr std::size_t depth = 128;
    QueueUser user(*disk.backend, depth);
    const std::uint64_t block = disk.backend->geometry().logical_block_bytes;
    Bytes memory(depth * block + 1);
    for (unsigned round = 0; round < 4; ++round) {
        std::vector<BlockRequest> requests(depth);
        std::vector<iovec> segments(depth);
        std::vector<BlockRequest*> batch;
        for (std::size_t i = 0; i < depth; ++i) {
            // In every second round at odd addresses, so that direct I/O makes them wait for bounce buffers.
            segments[i] = {memory.data() + round % 2 + i * block, block};
            requests[i].offset_bytes = i * block;
            requests[i].length_bytes = block;
            requests[i].segments = {&segments[i], 1};
            // Few of the last: a loop device takes long for them.
            requests[i].operation = i % 16 == 15 ? BlockOperation::write_zeroes_unmap
                                    : i % 2 == 0 ? BlockOperation::read
                                                 : BlockOperation::write;
            batch.push_back(&requests[i]);
        }
        user.queue().submit(batch);
        for (std::size_t i = 1; i < depth; i += 2) {
            user.queue().cancel(requests[depth - i]);
            user.queue().cancel(requests[depth - i]);
        }
        std::set<BlockRequest*> back;
        for (BlockRequest* request : user.wait(depth)) {
            EXPECT_TRUE(back.insert(request).second);
            const bool cancelled = (request - requests.data()) % 2 == 1;
            EXPECT_TRUE(request->result == 0 || (cancelled && request->result == -ECANCELED)) << request->result;
        }
        BlockRequest* more[1];
        EXPECT_EQ(user.queue().reap(more), 0U);
    }
    EXPECT_EQ(user.run(BlockOperation::flush), 0) << "the queue is as good as before";
}

TEST_P(BlockBackendTest, HolesAreToldWhereTheyAreKnown) {
    const Disk disk = open();
    QueueUser user(*disk.backend, 4);
    constexpr std::uint64_t piece = 256U << 10U;
    const Bytes ones(piece, std::byte{1});
    EXPECT_EQ(user.write(2 * piece, ones), 0);
    EXPECT_EQ(user.run(BlockOperation::flush), 0);
    const auto allocated_bytes = [&](std::uint64_t from, std::uint64_t to) {
        std::uint64_t sum = 0;
        for (std::uint64_t at = from; at < to;) {
            const AllocatedRun run = disk.backend->allocated_run(at);
            EXPECT_NE(run.length_bytes, 0U);
            const std::uint64_t length = std::min(run.length_bytes, to - at);
            sum += run.allocated ? length : 0;
            at += length;
        }
        return sum;
    };
    EXPECT_EQ(allocated_bytes(2 * piece, 3 * piece), piece) << "what has been written is no hole";
    const std::uint64_t elsewhere = allocated_bytes(4 * piece, capacity);
    EXPECT_TRUE(elsewhere == 0 || elsewhere == capacity - 4 * piece) << "known, or not at all: " << elsewhere;
    if (elsewhere == 0 && disk.backend->geometry().can_discard) {
        EXPECT_EQ(user.run(BlockOperation::write_zeroes_unmap, 2 * piece, piece), 0);
        EXPECT_EQ(allocated_bytes(2 * piece, 3 * piece), 0U);
    }
    const bool tells = GetParam().name == "memory" || GetParam().name.starts_with("tmpfs");
    EXPECT_TRUE(!tells || elsewhere == 0);
}

INSTANTIATE_TEST_SUITE_P(All, BlockBackendTest, testing::ValuesIn(all_kinds()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace sidecore::storage::test
