// SPDX-License-Identifier: Apache-2.0
// sidecore-blk as a process, against the specification's "Backend program conventions".

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/run_program.hh"
#include "daemon/guest.hh"
#include "daemon/scratch_folder.hh"
#include "vhost_user/socket.hh"

namespace sidecore::daemon {
namespace {

using test::Program;
using ::testing::HasSubstr;

constexpr std::uint64_t disk_bytes = 1U << 20U;
constexpr unsigned feature_read_only = 5;

class SidecoreBlk : public ::testing::Test {
protected:
    SidecoreBlk() {
        std::ofstream(file()).flush();
        std::filesystem::resize_file(file(), disk_bytes);
    }

    std::string file() const { return folder_ / "disk.img"; }
    std::string socket() const { return folder_ / "disk.sock"; }

    static Program::Ended run(std::vector<std::string> words) {
        words.insert(words.begin(), SIDECORE_BLK_PROGRAM);
        return Program(std::move(words)).wait();
    }

    /// Starts it and waits until it serves.
    void start(std::vector<std::string> words, int inherited = -1) {
        words.insert(words.begin(), SIDECORE_BLK_PROGRAM);
        program_ = std::make_unique<Program>(std::move(words), "", inherited);
        ASSERT_TRUE(program_->wait_for_error_output(" at ")) << program_->wait().err;
    }

    void expect_ends_on(int signal) {
        program_->send(signal);
        const auto ended = program_->wait();
        EXPECT_EQ(ended.status, 0) << ended.err;
        EXPECT_THAT(ended.err, HasSubstr("stopping"));
    }

    test::ScratchFolder folder_;
    std::unique_ptr<Program> program_;
};

TEST_F(SidecoreBlk, PrintsItsCapabilitiesWhateverElseIsSaid) {
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"--print-capabilities"},
          {"--fd=99", "--socket-path=/x", "--nonsense", "--print-capabilities", "--blk-file=/none"}}) {
        const auto ended = run(words);
        EXPECT_EQ(ended.status, 0) << ended.err;
        EXPECT_EQ(ended.out, "{\"type\":\"block\",\"features\":[\"read-only\",\"blk-file\"]}\n");
    }
}

TEST_F(SidecoreBlk, ServesAFileAtASocketUntilItIsTerminated) {
    start({"--socket-path=" + socket(), "--blk-file=" + file(), "--num-queues=2", "--serial=S1"});
    {
        auto driver = frontend::BlkDriver::start(socket(), test::small_driver(2)).value();
        test::expect_disk_works(driver.requests(1), 1);
        EXPECT_THAT(driver.get_id().value(), testing::StartsWith("S1"));
        EXPECT_EQ(driver.config().value().capacity, disk_bytes / 512);
    }
    auto driver = frontend::BlkDriver::start(socket(), test::small_driver()).value();
    test::expect_disk_works(driver.requests(), 2);
    expect_ends_on(SIGTERM);
    EXPECT_FALSE(std::filesystem::exists(socket()));

    // What was written is in the file.
    const std::vector<std::byte> expected = test::pattern(4096, 1);
    std::vector<char> found(expected.size());
    std::ifstream(file(), std::ios::binary).seekg(4096).read(found.data(), static_cast<std::streamsize>(found.size()));
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size()), 0);
}

TEST_F(SidecoreBlk, FinishesAcceptedRequestsWhenItIsTerminated) {
    start({"--socket-path=" + socket(), "--blk-file=" + file(), "--policy=always"});
    auto driver = frontend::BlkDriver::start(socket(), test::small_driver()).value();
    const std::vector<std::byte> data = test::pattern(4096, 3);
    // Accepted by the time that the first of them comes back, if not before.
    for (std::uint64_t i = 0; i < 4; ++i) {
        frontend::BlkRequest request;
        request.type = frontend::BlkType::write;
        request.sector = i * 8;
        request.out = data;
        ASSERT_TRUE(driver.requests().submit(request));
    }
    driver.queue().publish();
    std::size_t finished = driver.requests().collect().value().size();
    expect_ends_on(SIGTERM);
    while (driver.requests().in_flight() != 0) {
        const auto more = driver.requests().collect();
        ASSERT_TRUE(more) << more.error().message;
        finished += more->size();
    }
    EXPECT_EQ(finished, 4U);
}

TEST_F(SidecoreBlk, EndsOnInterruptAndHangup) {
    for (const int signal : {SIGINT, SIGHUP}) {
        start({"--socket-path", socket(), "--blk-file", file()});
        expect_ends_on(signal);
    }
}

TEST_F(SidecoreBlk, TakesAConnectionAndEndsWithIt) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    Fd ours(pair[0]);
    Fd theirs(pair[1]);
    start({"--fd=3", "--blk-file=" + file()}, theirs.get());
    theirs.reset();
    {
        auto driver = frontend::BlkDriver::start(frontend::Client(std::move(ours)), test::small_driver()).value();
        test::expect_disk_works(driver.requests(), 1);
    }
    const auto ended = program_->wait();
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("the connection is over"));
}

TEST_F(SidecoreBlk, TakesAListeningSocket) {
    Fd listener = vhost_user::listen_unix(socket()).value();
    start({"--fd=3", "--blk-file=" + file()}, listener.get());
    listener.reset();
    for (unsigned i = 0; i < 2; ++i) {
        auto driver = frontend::BlkDriver::start(socket(), test::small_driver()).value();
        test::expect_disk_works(driver.requests(), i);
    }
    expect_ends_on(SIGTERM);
}

TEST_F(SidecoreBlk, ReadOnlyIsForTheDriverToo) {
    std::filesystem::permissions(file(), std::filesystem::perms::owner_read);
    start({"--socket-path=" + socket(), "--blk-file=" + file(), "--read-only"});
    auto driver = frontend::BlkDriver::start(socket(), test::small_driver()).value();
    EXPECT_TRUE(driver.client().has(feature_read_only));
    std::vector<std::byte> sector(512);
    EXPECT_TRUE(driver.read(0, sector));
    EXPECT_FALSE(driver.write(0, sector));
    expect_ends_on(SIGTERM);
}

TEST_F(SidecoreBlk, ServesMemoryAndNothing) {
    start({"--socket-path=" + socket(), "--memory-size=1MiB"});
    {
        auto driver = frontend::BlkDriver::start(socket(), test::small_driver()).value();
        test::expect_disk_works(driver.requests(), 1);
    }
    expect_ends_on(SIGTERM);
    start({"--socket-path=" + socket(), "--null-size=4K"});
    auto driver = frontend::BlkDriver::start(socket(), test::small_driver()).value();
    EXPECT_EQ(driver.config().value().capacity, 8U);
    expect_ends_on(SIGTERM);
}

TEST_F(SidecoreBlk, WhatCannotWorkFailsEarly) {
    const std::string at = "--socket-path=" + socket();
    const std::string what = "--blk-file=" + file();
    EXPECT_EQ(run({}).status, 2);
    EXPECT_EQ(run({at}).status, 2);
    EXPECT_EQ(run({what}).status, 2);
    EXPECT_EQ(run({at, what, "--fd=3"}).status, 2) << "incompatible";
    EXPECT_EQ(run({at, what, "--memory-size=1M"}).status, 2);
    EXPECT_EQ(run({at, "--memory-size=1X"}).status, 2);
    EXPECT_EQ(run({at, "--memory-size=1M", "--direct"}).status, 2);
    EXPECT_EQ(run({at, what, "--num-queues=0"}).status, 2);
    EXPECT_EQ(run({at, what, "--policy=magic"}).status, 2);
    EXPECT_EQ(run({at, what, "--log-level=loud"}).status, 2);
    EXPECT_EQ(run({at, what, "--fd=-1"}).status, 2);

    auto ended = run({at, "--blk-file=" + (folder_ / "none.img")});
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(ended.err, HasSubstr("none.img"));
    ended = run({"--fd=99", what});
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(ended.err, HasSubstr("file descriptor 99"));
    ended = run({"--fd=0", what});  // a pipe
    EXPECT_EQ(ended.status, 1);
    ended = run({"--socket-path=" + (folder_ / "no/folder/d.sock"), what});
    EXPECT_EQ(ended.status, 1);
    EXPECT_FALSE(std::filesystem::exists(socket()));
}

}  // namespace
}  // namespace sidecore::daemon
