// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/socket.hh"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::vhost_user {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SocketTest : public ::testing::Test {
protected:
    SocketTest() {
        std::string name = (fs::temp_directory_path() / "sidecore-socket-XXXXXX").native();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        directory = name;
        path = directory / "vhost.sock";
    }
    ~SocketTest() override { fs::remove_all(directory); }

    template <typename T>
    static void expect_failure(const Result<T>& result, ErrorKind kind, const std::string& text) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().kind, kind) << result.error().message;
        EXPECT_THAT(result.error().message, HasSubstr(text));
    }

    mode_t mode_of_socket() const {
        struct stat status {};
        EXPECT_EQ(::lstat(path.c_str(), &status), 0);
        EXPECT_TRUE(S_ISSOCK(status.st_mode));
        return status.st_mode & 07777U;
    }

    fs::path directory;
    fs::path path;
};

TEST_F(SocketTest, ConnectsThroughAPath) {
    const auto listener = listen_unix(path);
    ASSERT_TRUE(listener);
    const auto here = connect_unix(path);
    ASSERT_TRUE(here);
    const auto there = accept_unix(listener->get());
    ASSERT_TRUE(there);
    for (const Fd* fd : {&*listener, &*here, &*there}) {
        EXPECT_EQ(::fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
    }
    ASSERT_EQ(::write(here->get(), "x", 1), 1);
    char byte = 0;
    ASSERT_EQ(::read(there->get(), &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
}

TEST_F(SocketTest, HasTheModeThatWasAskedFor) {
    const mode_t before = ::umask(027);
    const auto listener = listen_unix(path, 0660);
    ASSERT_TRUE(listener);
    EXPECT_EQ(mode_of_socket(), mode_t{0660});
    fs::remove(path);
    const auto default_mode = listen_unix(path);
    ::umask(before);
    ASSERT_TRUE(default_mode);
    EXPECT_EQ(mode_of_socket(), mode_t{0600});
}

TEST_F(SocketTest, ReplacesASocketThatNobodyServes) {
    ASSERT_TRUE(listen_unix(path));  // closed at once, left there
    const auto listener = listen_unix(path);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_TRUE(connect_unix(path));
}

TEST_F(SocketTest, LeavesASocketThatSomebodyServes) {
    const auto listener = listen_unix(path);
    ASSERT_TRUE(listener);
    expect_failure(listen_unix(path), ErrorKind::already_exists, "vhost.sock: another process listens there");
    EXPECT_TRUE(connect_unix(path));
}

TEST_F(SocketTest, LeavesWhatIsNoSocket) {
    std::ofstream(path) << "precious";
    expect_failure(listen_unix(path), ErrorKind::already_exists, "vhost.sock: exists and is not a socket");
    EXPECT_EQ(fs::file_size(path), 8U);
    fs::remove(path);
    fs::create_symlink(directory / "elsewhere", path);
    expect_failure(listen_unix(path), ErrorKind::already_exists, "is not a socket");
    EXPECT_TRUE(fs::is_symlink(path));
}

TEST_F(SocketTest, SaysWhenTheDirectoryIsMissing) {
    expect_failure(listen_unix(directory / "none" / "vhost.sock"), ErrorKind::not_found,
                   "none: there is no such directory");
}

TEST_F(SocketTest, SaysWhenThePathIsImpossible) {
    // 107 bytes are the most that fit.
    const std::string longest(107 - directory.native().size() - 1, 'x');
    EXPECT_TRUE(listen_unix(directory / longest));
    expect_failure(listen_unix(directory / (longest + "x")), ErrorKind::invalid_argument,
                   "108 bytes are too long for a socket's path, at most 107");
    expect_failure(connect_unix(directory / (longest + "x")), ErrorKind::invalid_argument, "too long");
    expect_failure(listen_unix(""), ErrorKind::invalid_argument, "empty");
}

TEST_F(SocketTest, SaysWhenNobodyListens) {
    expect_failure(connect_unix(path), ErrorKind::not_found, "vhost.sock: nobody listens there");
    ASSERT_TRUE(listen_unix(path));
    expect_failure(connect_unix(path), ErrorKind::not_found, "vhost.sock: nobody listens there");
    std::ofstream(directory / "file") << "x";
    expect_failure(connect_unix(directory / "file"), ErrorKind::not_found, "file: nobody listens there");
}

TEST_F(SocketTest, StopsAcceptingWhenItIsShutDown) {
    const auto listener = listen_unix(path);
    ASSERT_TRUE(listener);
    std::thread waiter(
        [&] { expect_failure(accept_unix(listener->get()), ErrorKind::closed, "the listening socket was shut down"); });
    ::shutdown(listener->get(), SHUT_RDWR);
    waiter.join();
}

}  // namespace
}  // namespace sidecore::vhost_user
