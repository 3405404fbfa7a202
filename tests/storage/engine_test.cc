// SPDX-License-Identifier: Apache-2.0
// The engines of the file back-end: what only one of them has, and what is hard on both.
#include <fcntl.h>
#include <set>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/file_backend.hh"
#include "storage/io_uring_queue.hh"
#include "storage/queue_user.hh"
#include "storage/segmented_buffer.hh"
#include "storage/temporary_file.hh"
#include "storage/thread_pool_queue.hh"
#include "storage/thread_tools.hh"

namespace sidecore::storage::test {
namespace {

using testing::HasSubstr;

class EngineTest : public testing::Test {
protected:
    std::unique_ptr<FileBackend> open(FileEngine engine, bool direct = false, std::uint32_t threads = 4) {
        FileOptions options;
        options.path = path_;
        options.engine = engine;
        options.direct = direct;
        options.threads = threads;
        auto backend = FileBackend::create(options);
        EXPECT_TRUE(backend) << backend.error().message;
        return std::move(*backend);
    }

    const TemporaryDirectory directory_;
    const std::string path_ = make_file(directory_ / "disk", 64 << 20);
};

TEST_F(EngineTest, AHostThatForbidsIoUringGetsThreads) {
    run_without_system_calls({SYS_io_uring_setup}, [&] {
        const auto probe = probe_io_uring();
        ASSERT_FALSE(probe);
        EXPECT_EQ(probe.error().os_error, EPERM);

        FileOptions options;
        options.path = path_;
        options.engine = FileEngine::io_uring;
        const auto refused = FileBackend::create(options);
        ASSERT_FALSE(refused);
        EXPECT_THAT(refused.error().message, HasSubstr(path_));
        EXPECT_THAT(refused.error().message, HasSubstr("threads"));

        const auto backend = open(FileEngine::automatic);
        EXPECT_EQ(backend->engine(), FileEngine::threads);
        EXPECT_THAT(backend->description(), HasSubstr("4 threads, because io_uring is not available"));
        QueueUser user(*backend, 4);
        EXPECT_EQ(user.write(0, Bytes(4096, std::byte{1})), 0);
        Bytes found(4096);
        EXPECT_EQ(user.read(0, found), 0);
        EXPECT_EQ(found, Bytes(4096, std::byte{1}));
    });
}

TEST_F(EngineTest, AutoTakesWhatTheProbeSays) {
    const auto backend = open(FileEngine::automatic);
    EXPECT_EQ(backend->engine(), probe_io_uring() ? FileEngine::io_uring : FileEngine::threads);
}

TEST_F(EngineTest, MoreMisalignedRequestsThanBounceBuffers) {
    if (!has_direct_io(directory_.path())) {
        EXPECT_FALSE(FileBackend::create({.path = path_, .direct = true}));
        return;
    }
    const auto backend = open(FileEngine::automatic, true);
    QueueUser user(*backend, 40);
    Random random(1);
    constexpr std::size_t count = 40;
    constexpr std::size_t length = 200 * 1024;
    for (const BlockOperation operation : {BlockOperation::write, BlockOperation::read}) {
        Random contents(2);
        std::vector<Bytes> expected;
        std::vector<std::unique_ptr<SegmentedBuffer>> buffers;
        std::vector<BlockRequest> requests(count);
        std::vector<BlockRequest*> batch;
        for (std::size_t i = 0; i < count; ++i) {
            expected.push_back(random_bytes(contents, length));
            buffers.push_back(std::make_unique<SegmentedBuffer>(Layout::odd_pieces, length, random));
            buffers[i]->fill(operation == BlockOperation::write ? expected[i] : Bytes(length));
            requests[i].operation = operation;
            requests[i].offset_bytes = i * length;
            requests[i].length_bytes = length;
            requests[i].segments = buffers[i]->segments();
            batch.push_back(&requests[i]);
        }
        user.submit(batch);
        const auto done = user.wait(count);
        EXPECT_EQ(std::set<BlockRequest*>(done.begin(), done.end()).size(), count);
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(requests[i].result, 0);
            ASSERT_EQ(buffers[i]->gather(), expected[i]) << i;
            ASSERT_TRUE(buffers[i]->guards_intact());
        }
    }
}

TEST_F(EngineTest, ARingThatTakesNothingFailsItsRequests) {
    if (!probe_io_uring()) {
        EXPECT_FALSE(FileBackend::create({.path = path_, .engine = FileEngine::io_uring}));
        return;
    }
    const auto backend = open(FileEngine::io_uring);
    QueueUser user(*backend, 8);
    ASSERT_EQ(user.run(BlockOperation::flush), 0);
    // Something else in the place of the ring: every submission fails from now on.
    const Fd other(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ASSERT_EQ(::dup2(other.get(), user.queue().completion_fd()), user.queue().completion_fd());
    for (int round = 0; round < 3; ++round) {
        BlockRequest requests[8];
        std::vector<BlockRequest*> batch;
        for (BlockRequest& request : requests) {
            request.operation = BlockOperation::flush;
            batch.push_back(&request);
        }
        user.submit(batch);
        BlockRequest* done[9];
        ASSERT_EQ(user.queue().reap(done), 8U);
        for (const BlockRequest& request : requests) {
            EXPECT_LT(request.result, 0);
        }
        EXPECT_EQ(user.queue().reap(done), 0U);
    }
}

TEST_F(EngineTest, ThreadsComeAsTheyAreNeeded) {
    const auto backend = open(FileEngine::threads, false, 3);
    EXPECT_EQ(count_threads("sidecore-file"), 1U);
    QueueUser user(*backend, 64);
    std::vector<BlockRequest> requests(64);
    std::vector<BlockRequest*> batch;
    for (BlockRequest& request : requests) {
        request.operation = BlockOperation::flush;
        batch.push_back(&request);
    }
    for (int round = 0; round < 100; ++round) {
        user.submit(batch);
        user.wait(batch.size());
    }
    EXPECT_EQ(count_threads("sidecore-file"), 3U);
}

TEST_F(EngineTest, IdleThreadsSleep) {
    const auto backend = open(FileEngine::threads);
    QueueUser user(*backend, 8);
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(user.write(0, Bytes(4096)), 0);
    }
    // They may still be on their way to sleep.
    std::uint64_t before = 0;
    do {
        before = context_switches("sidecore-file");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    } while (context_switches("sidecore-file") != before);
    ASSERT_GT(before, 0U);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_EQ(context_switches("sidecore-file"), before);
}

TEST_F(EngineTest, ThreadsAreGoneWithTheBackEnd) {
    open(FileEngine::threads);
    EXPECT_EQ(count_threads("sidecore-file"), 0U);
}

}  // namespace
}  // namespace sidecore::storage::test
