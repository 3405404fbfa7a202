// SPDX-License-Identifier: Apache-2.0
#include "base/notifier.hh"

#include <array>
#include <cstdint>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"

namespace sidecore {
namespace {

/// A pipe or a pair of sockets, blocking, as a front-end makes them that does not think of us.
struct Ends {
    Fd reading;
    Fd writing;
};

Ends make_pipe() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    return {Fd(fds[0]), Fd(fds[1])};
}

Ends make_sockets() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    return {Fd(fds[0]), Fd(fds[1])};
}

bool readable(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

int bytes_in(int fd) {
    int count = -1;
    EXPECT_EQ(::ioctl(fd, FIONREAD, &count), 0);
    return count;
}

TEST(Notifier, KindsAreToldApart) {
    const auto event = make_eventfd().value();
    const auto pipe = make_pipe();
    const auto sockets = make_sockets();
    EXPECT_EQ(notifier_kind(event.get()), NotifierKind::eventfd);
    EXPECT_EQ(notifier_kind(pipe.reading.get()), NotifierKind::pipe);
    EXPECT_EQ(notifier_kind(pipe.writing.get()), NotifierKind::pipe);
    EXPECT_EQ(notifier_kind(sockets.writing.get()), NotifierKind::socket);
}

TEST(Notifier, ASignalIsWhatAnEventfdWouldBeWritten) {
    for (const Ends& ends : {make_pipe(), make_sockets()}) {
        const NotifierKind kind = notifier_kind(ends.writing.get());
        EXPECT_FALSE(readable(ends.reading.get()));
        signal_notifier(ends.writing.get(), kind);
        EXPECT_TRUE(readable(ends.reading.get()));
        std::uint64_t value = 0;
        ASSERT_EQ(::read(ends.reading.get(), &value, sizeof value), static_cast<ssize_t>(sizeof value));
        EXPECT_EQ(value, 1U);
    }
    const auto event = make_eventfd().value();
    signal_notifier(event.get(), NotifierKind::eventfd);
    EXPECT_TRUE(drain_eventfd(event.get()));
}

TEST(Notifier, AFullOneThatWouldBlockIsNotWaitedFor) {
    for (const Ends& ends : {make_pipe(), make_sockets()}) {
        const NotifierKind kind = notifier_kind(ends.writing.get());
        for (int i = 0; i < 100'000; ++i) {  // more than either holds
            signal_notifier(ends.writing.get(), kind);
        }
        EXPECT_TRUE(readable(ends.reading.get()));
        EXPECT_LT(bytes_in(ends.reading.get()), 100'000 * 8);
    }
}

TEST(Notifier, AReaderThatIsGoneDoesNoHarm) {
    Ends ends = make_sockets();
    ends.reading.reset();
    signal_notifier(ends.writing.get(), NotifierKind::socket);  // no SIGPIPE, which would end this program
    int error = 0;
    socklen_t size = sizeof error;
    EXPECT_EQ(::getsockopt(ends.writing.get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
    EXPECT_EQ(::send(ends.writing.get(), &error, sizeof error, MSG_NOSIGNAL), -1);
}

TEST(Notifier, EmptyingNeverWaitsAndIsBounded) {
    for (const Ends& ends : {make_pipe(), make_sockets()}) {
        const NotifierKind kind = notifier_kind(ends.reading.get());
        empty_notifier(ends.reading.get(), kind);  // nothing there, on a descriptor that blocks
        const std::vector<char> bytes(30'000);
        ASSERT_EQ(::write(ends.writing.get(), bytes.data(), bytes.size()), 30'000);
        empty_notifier(ends.reading.get(), kind);
        EXPECT_EQ(bytes_in(ends.reading.get()), 0);
    }
    const auto large = make_pipe();
    ASSERT_GE(::fcntl(large.writing.get(), F_SETPIPE_SZ, 262'144), 262'144);
    const std::vector<char> bytes(200'000);
    ASSERT_EQ(::write(large.writing.get(), bytes.data(), bytes.size()), 200'000);
    empty_notifier(large.reading.get(), NotifierKind::pipe);
    EXPECT_EQ(bytes_in(large.reading.get()), 200'000 - 65'536);
}

TEST(Notifier, AnEventfdKeepsItsCount) {
    const auto event = make_eventfd().value();
    signal_notifier(event.get(), NotifierKind::eventfd);
    empty_notifier(event.get(), NotifierKind::eventfd);
    EXPECT_TRUE(readable(event.get()));
}

TEST(Notifier, EmptyingWritesNothingToAFifoThatIsOpenBothWays) {
    std::array<int, 2> fds{};
    ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    const Fd reading(fds[0]);
    const Fd writing(fds[1]);
    const Fd both(::open(("/proc/self/fd/" + std::to_string(reading.get())).c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(both);
    const std::uint64_t kick = 1;
    ASSERT_EQ(::write(writing.get(), &kick, sizeof kick), 8);
    empty_notifier(both.get(), NotifierKind::pipe);
    empty_notifier(both.get(), NotifierKind::pipe);
    EXPECT_EQ(bytes_in(reading.get()), 0);
}

}  // namespace
}  // namespace sidecore
