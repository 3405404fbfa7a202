// SPDX-License-Identifier: Apache-2.0
#include "storage/file_backend.hh"

#include <array>
#include <fcntl.h>
#include <sstream>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "storage/io_uring_queue.hh"
#include "storage/queue_user.hh"
#include "storage/segmented_buffer.hh"
#include "storage/temporary_file.hh"
#include "storage/thread_tools.hh"

namespace sidecore::storage::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// The log while it lives.
class CapturedLog {
public:
    CapturedLog() : before_(spdlog::default_logger()) {
        spdlog::set_default_logger(
            std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream_)));
    }
    ~CapturedLog() { spdlog::set_default_logger(before_); }
    std::string text() const { return stream_.str(); }

private:
    std::ostringstream stream_;
    std::shared_ptr<spdlog::logger> before_;
};

class FileBackendTest : public testing::Test {
protected:
    Result<std::unique_ptr<FileBackend>> open(const std::string& path, bool read_only = false, bool direct = false) {
        FileOptions options;
        options.path = path;
        options.read_only = read_only;
        options.direct = direct;
        return FileBackend::create(options);
    }

    void expect_refused(const std::string& path, const std::string& reason, bool read_only = false,
                        bool direct = false) {
        const auto backend = open(path, read_only, direct);
        ASSERT_FALSE(backend) << path;
        EXPECT_THAT(backend.error().message, AllOf(HasSubstr(path), HasSubstr(reason)));
    }

    static std::uint64_t allocated_bytes(const std::string& path) {
        struct stat status {};
        EXPECT_EQ(::stat(path.c_str(), &status), 0);
        return static_cast<std::uint64_t>(status.st_blocks) * 512;
    }

    const TemporaryDirectory directory_;
    const std::string path_ = make_file(directory_ / "disk", 1 << 20);
};

TEST_F(FileBackendTest, SaysWhatIsWrongWithAPath) {
    expect_refused(directory_ / "missing", "create the file first");
    EXPECT_EQ(open(directory_ / "missing").error().kind, ErrorKind::not_found);
    expect_refused(directory_.path(), "is a directory");
    ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
    expect_refused(directory_ / "fifo", "neither a regular file nor a block device");
    expect_refused("/dev/null", "neither a regular file nor a block device");
    expect_refused(make_file(directory_ / "empty", 0), "is empty; give it a size");
    expect_refused(make_file(directory_ / "tiny", 511), "less than one block");
    expect_refused("/proc/version", "direct = false", true, true);
}

TEST_F(FileBackendTest, SaysWhoMayNotReadOrWrite) {
    ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
    ASSERT_EQ(::chmod(path_.c_str(), 0), 0);
    run_as_nobody([&] {
        expect_refused(path_, "permission to read and write it");
        expect_refused(path_, "permission to read it", true);
    });
    ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
    run_as_nobody([&] {
        expect_refused(path_, "or make the disk read-only");
        EXPECT_TRUE(open(path_, true));
    });
}

TEST_F(FileBackendTest, LeavesOutWhatIsNotAWholeBlock) {
    const CapturedLog log;
    const auto backend = open(make_file(directory_ / "odd", 5000));
    ASSERT_TRUE(backend);
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 4608U);
    EXPECT_THAT(log.text(), HasSubstr("the last 392 bytes are left out"));
}

TEST_F(FileBackendTest, OneWriterOrManyReaders) {
    {
        const auto writer = open(path_);
        ASSERT_TRUE(writer);
        expect_refused(path_, "in use already");
        expect_refused(path_, "in use already", true);
        EXPECT_EQ(open(path_).error().kind, ErrorKind::already_exists);
    }
    const auto reader = open(path_, true);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_TRUE(open(path_, true));
    expect_refused(path_, "in use already");
}

TEST_F(FileBackendTest, TheLockGoesWithTheBackEnd) {
    for (int i = 0; i < 30; ++i) {
        const auto backend = open(path_);
        ASSERT_TRUE(backend) << backend.error().message;
        QueueUser user(**backend, 8);
        ASSERT_EQ(user.write(0, Bytes(4096), true), 0);
    }
}

TEST_F(FileBackendTest, AWarningTellsOfTheFallback) {
    const CapturedLog log;
    run_without_system_calls({425 /* io_uring_setup */}, [&] { EXPECT_TRUE(open(path_)); });
    EXPECT_THAT(log.text(), AllOf(HasSubstr("warning"), HasSubstr(path_), HasSubstr("io_uring is not available"),
                                  HasSubstr("16 threads")));
}

TEST_F(FileBackendTest, DescriptionIsForAPerson) {
    const auto backend = open(path_, true);
    ASSERT_TRUE(backend);
    EXPECT_THAT((*backend)->description(), AllOf(HasSubstr(path_ + ", 1 MiB, buffered, read-only")));
    EXPECT_EQ((*backend)->kind(), "file");
}

TEST_F(FileBackendTest, TakesOverASizeThatAnotherHasSet) {
    const auto backend = open(path_);
    ASSERT_TRUE(backend);
    ASSERT_EQ(::truncate(path_.c_str(), 3 << 20), 0);
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 1U << 20U) << "not by itself";
    ASSERT_TRUE((*backend)->resize(0));
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 3U << 20U);
    ASSERT_EQ(::truncate(path_.c_str(), 0), 0);
    const auto refused = (*backend)->resize(0);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("is empty"));
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 3U << 20U);
}

TEST_F(FileBackendTest, ResizeChangesTheFile) {
    const auto backend = open(path_);
    ASSERT_TRUE(backend);
    ASSERT_TRUE((*backend)->resize(2 << 20));
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_size, 2 << 20);
    ASSERT_TRUE((*backend)->resize(512));
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_size, 512);
}

TEST_F(FileBackendTest, AReadOnlyFileIsNotResized) {
    const auto backend = open(path_, true);
    ASSERT_TRUE(backend);
    const auto refused = (*backend)->resize(2 << 20);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr(path_), HasSubstr("read-only")));
    EXPECT_TRUE((*backend)->resize(0));
}

TEST_F(FileBackendTest, AFileCutShortBehindOurBackFailsReads) {
    for (const FileEngine engine : {FileEngine::automatic, FileEngine::threads}) {
        ASSERT_EQ(::truncate(path_.c_str(), 1 << 20), 0);
        const auto backend = FileBackend::create({.path = path_, .engine = engine});
        ASSERT_TRUE(backend);
        QueueUser user(**backend, 4);
        ASSERT_EQ(::truncate(path_.c_str(), 4096 + 100), 0);
        Bytes found(8192);
        EXPECT_EQ(user.read(0, found), -EIO) << "part of it is there";
        EXPECT_EQ(user.read(65536, found), -EIO);
        EXPECT_EQ(user.read(0, std::span(found).first(4096)), 0);
    }
}

TEST_F(FileBackendTest, DiscardGivesSpaceBackAndZeroesKeepIt) {
    for (const FileEngine engine : {FileEngine::automatic, FileEngine::threads}) {
        const auto backend = FileBackend::create({.path = path_, .engine = engine});
        ASSERT_TRUE(backend);
        QueueUser user(**backend, 4);
        const Bytes ones(1 << 20, std::byte{1});
        ASSERT_EQ(user.write(0, ones, true), 0);
        const std::uint64_t full = allocated_bytes(path_);
        ASSERT_GE(full, 1U << 20U);
        ASSERT_EQ(user.run(BlockOperation::write_zeroes, 0, 1 << 20), 0);
        ASSERT_EQ(user.run(BlockOperation::flush), 0);
        EXPECT_GE(allocated_bytes(path_), 1U << 20U);
        Bytes found(1 << 20, std::byte{1});
        ASSERT_EQ(user.read(0, found), 0);
        EXPECT_EQ(found, Bytes(1 << 20));
        for (const BlockOperation operation : {BlockOperation::discard, BlockOperation::write_zeroes_unmap}) {
            ASSERT_EQ(user.write(0, ones, true), 0);
            ASSERT_EQ(user.run(operation, 0, 1 << 20), 0);
            if ((*backend)->geometry().can_discard) {
                EXPECT_LT(allocated_bytes(path_), full / 2);
            }
        }
    }
}

TEST_F(FileBackendTest, DataReachesTheFile) {
    const auto backend = open(path_);
    ASSERT_TRUE(backend);
    QueueUser user(**backend, 4);
    Random random(3);
    const Bytes bytes = random_bytes(random, 8192);
    ASSERT_EQ(user.write(4096, bytes), 0);
    const Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    Bytes found(8192);
    ASSERT_EQ(::pread(file.get(), found.data(), found.size(), 4096), 8192);
    EXPECT_EQ(found, bytes);
}

/// Whether the memory of a tmpfs may be swapped out here.
bool has_swap() {
    struct sysinfo host {};
    EXPECT_EQ(::sysinfo(&host), 0);
    return host.totalswap != 0;
}

TEST_F(FileBackendTest, WhatIsInMemoryIsReadAndWrittenAtOnceUnlessItIsLong) {
    constexpr std::uint64_t most = 1 << 20;
    const TemporaryDirectory memory("/dev/shm");
    const auto backend = open(make_file(memory / "disk", 64 * most)).value();
    const bool expected = probe_io_uring() && !has_swap();
    ASSERT_THAT(backend->description(),
                expected ? testing::Matcher<std::string>(HasSubstr("in memory")) : Not(HasSubstr("in memory")));
    if (!expected) {
        return;
    }
    QueueUser user(*backend, 4);
    const auto done_at_once = [&](BlockOperation operation, std::uint64_t bytes) {
        std::vector<std::byte> data(bytes);
        std::array<iovec, 1> segments{{{data.data(), data.size()}}};
        BlockRequest request{.operation = operation, .length_bytes = bytes, .segments = segments};
        user.submit(request);
        std::array<BlockRequest*, 1> completed{};
        const bool at_once = user.queue().reap(completed) == 1;
        if (!at_once) {
            user.wait(1);
        }
        EXPECT_EQ(request.result, 0);
        return at_once;
    };
    EXPECT_TRUE(done_at_once(BlockOperation::read, 512));
    EXPECT_TRUE(done_at_once(BlockOperation::write, most));
    bool at_once = true;
    for (int i = 0; i < 10 && at_once; ++i) {  // the kernel's threads take some 20 ms, unless this one is slower still
        at_once = done_at_once(BlockOperation::write, 64 * most) && done_at_once(BlockOperation::read, 64 * most);
    }
    EXPECT_FALSE(at_once);
}

TEST_F(FileBackendTest, WhatMayHaveToWaitIsNotDoneAtOnce) {
    EXPECT_THAT(open(make_file(directory_ / "elsewhere", 1 << 20)).value()->description(), Not(HasSubstr("in memory")));
}

TEST_F(FileBackendTest, ABlockDeviceIsUsedAsItIs) {
    auto device = LoopDevice::attach(path_, 4096);
    if (!device) {
        expect_refused("/dev/loop-control", "");
        return;
    }
    const auto backend = open(device->path());
    ASSERT_TRUE(backend) << backend.error().message;
    EXPECT_EQ((*backend)->geometry().logical_block_bytes, 4096U);
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 1U << 20U);
    expect_refused(device->path(), "the host uses this device");
    const auto refused = (*backend)->resize(2 << 20);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("change its size on the host"));
    ASSERT_EQ(::truncate(path_.c_str(), 2 << 20), 0);
    device->take_new_size();
    ASSERT_TRUE((*backend)->resize(0));
    EXPECT_EQ((*backend)->geometry().capacity_bytes, 2U << 20U);
}

}  // namespace
}  // namespace sidecore::storage::test
