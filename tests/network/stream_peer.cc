// SPDX-License-Identifier: Apache-2.0
#include "network/stream_peer.hh"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/wait.hh"

namespace sidecore::network::test {

namespace {

constexpr int patience_ms = 20'000;

sockaddr_un socket_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() : path_("/tmp/sidecore-network-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
        ADD_FAILURE() << "no temporary directory in /tmp";
        std::abort();
    }
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Fd listen_on(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = socket_address(path);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << path;
    EXPECT_EQ(::listen(fd.get(), 4), 0);
    return fd;
}

StreamPeer StreamPeer::connect(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = socket_address(path);
    EXPECT_TRUE(eventually([&] {
        return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    })) << path;
    return StreamPeer(std::move(fd));
}

StreamPeer StreamPeer::accept(int listener) {
    pollfd entry{listener, POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, patience_ms), 1) << "nobody connects";
    return StreamPeer(Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)));
}

Bytes StreamPeer::take(int timeout_ms) {
    std::array<std::byte, 4> header{};
    if (!read(header, timeout_ms)) {
        return {};
    }
    std::size_t bytes = 0;
    for (const std::byte one : header) {
        bytes = bytes << 8U | std::to_integer<std::size_t>(one);
    }
    Bytes packet(bytes);
    return read(packet, patience_ms) ? packet : Bytes{};
}

void StreamPeer::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (written <= 0) {
            return;  // the other side has had enough
        }
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

Bytes StreamPeer::frame(const Bytes& packet) {
    Bytes out;
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
        out.push_back(static_cast<std::byte>(packet.size() >> shift));
    }
    out.insert(out.end(), packet.begin(), packet.end());
    return out;
}

bool StreamPeer::ends() {
    std::array<std::byte, 1> room{};
    while (read(room, patience_ms)) {
    }
    pollfd entry{fd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

bool StreamPeer::read(std::span<std::byte> room, int timeout_ms) {
    while (!room.empty()) {
        pollfd entry{fd_.get(), POLLIN, 0};
        if (::poll(&entry, 1, timeout_ms) != 1) {
            return false;
        }
        const ssize_t bytes = ::recv(fd_.get(), room.data(), room.size(), 0);
        if (bytes <= 0) {
            return false;
        }
        room = room.subspan(static_cast<std::size_t>(bytes));
    }
    return true;
}

}  // namespace sidecore::network::test
