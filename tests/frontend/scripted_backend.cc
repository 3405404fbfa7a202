// SPDX-License-Identifier: Apache-2.0
#include "frontend/scripted_backend.hh"

#include <array>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

#include <gtest/gtest.h>

namespace sidecore::frontend::test {

namespace {

bool receive_bytes(int socket, void* out, std::size_t size, std::vector<Fd>* fds) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 16)> control{};
    iovec part{out, size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = ::recvmsg(socket, &message, MSG_WAITALL);
    for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
        for (std::size_t at = CMSG_LEN(0); at < one->cmsg_len; at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, reinterpret_cast<const char*>(one) + at, sizeof fd);
            if (fds != nullptr) {
                fds->emplace_back(fd);
            }
        }
    }
    return count == static_cast<ssize_t>(size);
}

}  // namespace

ScriptedBackend::ScriptedBackend(Script script) : script_(std::move(script)) {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    front_ = Fd(pair[0]);
    back_ = Fd(pair[1]);
    thread_ = std::thread([this] { serve(); });
}

ScriptedBackend::~ScriptedBackend() {
    finish();
}

const std::vector<ScriptedBackend::Received>& ScriptedBackend::finish() {
    if (thread_.joinable()) {
        ::shutdown(back_.get(), SHUT_RD);  // what was sent before is still read
        thread_.join();
    }
    return received_;
}

ScriptedBackend::Reply ScriptedBackend::reply_u64(std::uint32_t request, std::uint64_t value) {
    Reply reply{.request = request, .flags = 0x5, .payload = std::vector<std::byte>(8)};
    std::memcpy(reply.payload.data(), &value, 8);
    return reply;
}

void ScriptedBackend::serve() {
    for (;;) {
        std::array<std::uint32_t, 3> header{};
        Received message;
        if (!receive_bytes(back_.get(), header.data(), sizeof header, &message.fds)) {
            return;
        }
        message.request = header[0];
        message.flags = header[1];
        message.payload.resize(header[2]);
        if (header[2] != 0 && !receive_bytes(back_.get(), message.payload.data(), header[2], nullptr)) {
            return;
        }
        for (const Reply& reply : script_(message)) {
            std::array<std::uint32_t, 3> out{reply.request, reply.flags,
                                             static_cast<std::uint32_t>(reply.payload.size())};
            std::vector<std::byte> bytes(sizeof out + reply.payload.size());
            std::memcpy(bytes.data(), out.data(), sizeof out);
            if (!reply.payload.empty()) {
                std::memcpy(bytes.data() + sizeof out, reply.payload.data(), reply.payload.size());
            }
            static_cast<void>(::send(back_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
        }
        received_.push_back(std::move(message));
    }
}

}  // namespace sidecore::frontend::test
