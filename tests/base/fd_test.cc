// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hh"

#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <limits>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>

namespace sidecore {
namespace {

static_assert(!std::is_copy_constructible_v<Fd> && !std::is_copy_assignable_v<Fd>);
static_assert(std::is_nothrow_move_constructible_v<Fd> && std::is_nothrow_move_assignable_v<Fd>);

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

Fd open_something() {
    return Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

struct Pipe {
    Fd read_end;
    Fd write_end;
};

Pipe make_pipe() {
    std::array<int, 2> ends{-1, -1};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

TEST(Fd, IsEmptyByDefault) {
    Fd fd;
    EXPECT_FALSE(fd);
    EXPECT_EQ(fd.get(), -1);
    fd.reset();
    EXPECT_FALSE(fd.valid());
}

TEST(Fd, ClosesWhatItOwns) {
    int number = -1;
    {
        const Fd fd = open_something();
        ASSERT_TRUE(fd);
        number = fd.get();
        EXPECT_TRUE(is_open(number));
    }
    EXPECT_FALSE(is_open(number));
}

TEST(Fd, MovingLeavesTheSourceEmpty) {
    Fd source = open_something();
    const int number = source.get();
    Fd target = std::move(source);
    EXPECT_EQ(source.get(), -1);  // NOLINT(bugprone-use-after-move): the moved-from state is what is tested
    EXPECT_EQ(target.get(), number);
    EXPECT_TRUE(is_open(number));
}

TEST(Fd, MoveAssignmentClosesWhatTheTargetHad) {
    Fd source = open_something();
    Fd target = open_something();
    const int kept = source.get();
    const int closed = target.get();
    target = std::move(source);
    EXPECT_EQ(target.get(), kept);
    EXPECT_TRUE(is_open(kept));
    EXPECT_FALSE(is_open(closed));
}

TEST(Fd, MoveAssignmentToItselfKeepsTheDescriptor) {
    Fd fd = open_something();
    Fd& same = fd;
    fd = std::move(same);
    EXPECT_TRUE(is_open(fd.get()));
}

TEST(Fd, ReleaseGivesTheDescriptorUp) {
    int number = -1;
    {
        Fd fd = open_something();
        number = fd.release();
        EXPECT_FALSE(fd);
    }
    const Fd again(number);
    EXPECT_TRUE(is_open(number));
}

TEST(Fd, DuplicateIsTheSameFileAndCloseOnExec) {
    Pipe pipe = make_pipe();
    Result<Fd> copy = pipe.write_end.duplicate();
    ASSERT_TRUE(copy) << copy.error().message;
    EXPECT_NE(copy->get(), pipe.write_end.get());
    EXPECT_EQ(::fcntl(copy->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

    pipe.write_end.reset();
    const char sent = 'x';
    ASSERT_EQ(::write(copy->get(), &sent, 1), 1);
    char received = 0;
    ASSERT_EQ(::read(pipe.read_end.get(), &received, 1), 1);
    EXPECT_EQ(received, sent);
}

TEST(Fd, DuplicatingNothingFails) {
    const Result<Fd> copy = Fd().duplicate();
    ASSERT_FALSE(copy);
    EXPECT_EQ(copy.error().os_error, EBADF);
}

TEST(Eventfd, IsNonBlockingCloseOnExecAndZero) {
    const Result<Fd> event = make_eventfd();
    ASSERT_TRUE(event) << event.error().message;
    EXPECT_EQ(::fcntl(event->get(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EXPECT_EQ(::fcntl(event->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_FALSE(drain_eventfd(event->get()));
}

TEST(Eventfd, DrainTakesAllSignalsAtOnce) {
    const Result<Fd> event = make_eventfd();
    ASSERT_TRUE(event);
    signal_eventfd(event->get());
    signal_eventfd(event->get());
    signal_eventfd(event->get());
    std::uint64_t count = 0;
    const Result<Fd> copy = event->duplicate();
    ASSERT_TRUE(copy);
    ASSERT_EQ(::read(copy->get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
    EXPECT_EQ(count, 3U);

    signal_eventfd(event->get());
    signal_eventfd(event->get());
    EXPECT_TRUE(drain_eventfd(event->get()));
    EXPECT_FALSE(drain_eventfd(event->get()));
}

TEST(Eventfd, SignallingAFullCounterReturnsAndStaysSignalled) {
    const Result<Fd> event = make_eventfd();
    ASSERT_TRUE(event);
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - 1;
    ASSERT_EQ(::write(event->get(), &most, sizeof most), static_cast<ssize_t>(sizeof most));
    signal_eventfd(event->get());
    EXPECT_TRUE(drain_eventfd(event->get()));
}

TEST(Eventfd, SignalsFromManyThreadsAddUp) {
    constexpr int threads = 4;
    constexpr int signals_each = 1'000;
    const Result<Fd> event = make_eventfd();
    ASSERT_TRUE(event);
    {
        std::array<std::jthread, threads> senders;
        for (std::jthread& sender : senders) {
            sender = std::jthread([fd = event->get()] {
                for (int i = 0; i < signals_each; ++i) {
                    signal_eventfd(fd);
                }
            });
        }
    }
    std::uint64_t count = 0;
    ASSERT_EQ(::read(event->get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
    EXPECT_EQ(count, std::uint64_t{threads} * signals_each);
}

TEST(Eventfd, SignallingSomethingUnusableIsHarmless) {
    signal_eventfd(-1);
    EXPECT_FALSE(drain_eventfd(-1));
}

TEST(Eventfd, IsToldApartFromOtherDescriptors) {
    const Result<Fd> event = make_eventfd();
    ASSERT_TRUE(event);
    EXPECT_TRUE(is_eventfd(event->get()));
    const Pipe pipe = make_pipe();
    EXPECT_FALSE(is_eventfd(pipe.read_end.get()));
    EXPECT_FALSE(is_eventfd(open_something().get()));
    EXPECT_FALSE(is_eventfd(-1));
}

TEST(Nonblocking, MakesAnEmptyPipeReturnAtOnce) {
    const Pipe pipe = make_pipe();
    const Result<void> done = set_nonblocking(pipe.read_end.get());
    ASSERT_TRUE(done) << done.error().message;
    char byte = 0;
    errno = 0;
    EXPECT_EQ(::read(pipe.read_end.get(), &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST(Nonblocking, KeepsTheOtherFlags) {
    const Pipe pipe = make_pipe();
    ASSERT_EQ(::fcntl(pipe.read_end.get(), F_SETFL, O_ASYNC), 0);
    ASSERT_TRUE(set_nonblocking(pipe.read_end.get()));
    const int flags = ::fcntl(pipe.read_end.get(), F_GETFL);
    EXPECT_EQ(flags & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
}

TEST(Nonblocking, FailsOnAClosedDescriptor) {
    const Result<void> done = set_nonblocking(-1);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().os_error, EBADF);
}

}  // namespace
}  // namespace sidecore
