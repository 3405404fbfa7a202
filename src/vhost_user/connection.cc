// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/connection.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <vector>

#include "base/format.hh"

namespace sidecore::vhost_user {

namespace {

/// Room for the descriptors of one message, aligned as the CMSG_ macros want it.
struct ControlBuffer {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * limits::fds)> bytes;
};

/// For a socket that came to us in non-blocking mode (an inherited --fd may).
Result<void> wait_for(int fd, short events) {
    pollfd entry{fd, events, 0};
    while (::poll(&entry, 1, -1) < 0) {
        if (errno != EINTR) {
            return failure_from_errno("poll on the vhost-user socket");
        }
    }
    return {};
}

/// Owns every descriptor that the kernel has put into this process, before anything can go wrong.
void take_fds(msghdr& message, std::vector<Fd>& fds) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
            fds.emplace_back(fd);
        }
    }
}

/// One recvmsg: how many bytes came, 0 at the end of the stream.
Result<std::size_t> receive_some(int socket, std::span<std::byte> out, std::vector<Fd>& fds) {
    for (;;) {
        ControlBuffer control;
        iovec part{out.data(), out.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.bytes.data();
        message.msg_controllen = control.bytes.size();
        const ssize_t count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                SIDECORE_TRY(wait_for(socket, POLLIN));
                continue;
            }
            // A UNIX socket whose peer closed with our reply unread is "reset": the peer went away all the
            // same.
            if (errno == ECONNRESET) {
                return 0;
            }
            return failure_from_errno("receive on the vhost-user socket");
        }
        take_fds(message, fds);
        if ((message.msg_flags & MSG_CTRUNC) != 0) {
            return failure(ErrorKind::protocol_violation,
                           fmt::format("descriptors of a message were lost: more than {} came with it, or this "
                                       "process has no room for more (see its limit of open files)",
                                       limits::fds));
        }
        return static_cast<std::size_t>(count);
    }
}

/// Fills `out`; returns how many bytes came before the stream ended.
Result<std::size_t> receive_all(int socket, std::span<std::byte> out, std::vector<Fd>& fds) {
    std::size_t done = 0;
    while (done < out.size()) {
        SIDECORE_TRY_ASSIGN(const std::size_t count, receive_some(socket, out.subspan(done), fds));
        if (count == 0) {
            break;
        }
        done += count;
    }
    return done;
}

void advance(std::span<iovec>& parts, std::size_t count) {
    while (!parts.empty() && count >= parts.front().iov_len) {
        count -= parts.front().iov_len;
        parts = parts.subspan(1);
    }
    if (!parts.empty()) {
        parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + count;
        parts.front().iov_len -= count;
    }
}

}  // namespace

Result<Message> Connection::receive() {
    Message message;
    const std::span<std::byte> header_bytes = std::as_writable_bytes(std::span(&message.header, 1));
    SIDECORE_TRY_ASSIGN(const std::size_t header_size, receive_all(socket_.get(), header_bytes, message.fds));
    if (header_size == 0) {
        return failure(ErrorKind::closed, "the peer closed the connection");
    }
    if (header_size < header_bytes.size()) {
        return failure(
            ErrorKind::protocol_violation,
            fmt::format("the stream ended after {} of the {} bytes of a header", header_size, header_bytes.size()));
    }
    const MessageHeader& header = message.header;
    if ((header.flags & header_flags::version_mask) != header_flags::version) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{}: flags {:#x} name version {}, expected {}", describe_request(header.request),
                                   header.flags, header.flags & header_flags::version_mask, header_flags::version));
    }
    if (header.size > limits::payload_size) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{}: a payload of {} bytes, expected at most {}", describe_request(header.request),
                                   header.size, limits::payload_size));
    }
    if (message.fds.size() > limits::fds) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{}: {} descriptors, expected at most {}", describe_request(header.request),
                                   message.fds.size(), limits::fds));
    }
    if (header.size == 0) {
        return message;
    }
    message.payload.resize(header.size);
    std::vector<Fd> late_fds;
    SIDECORE_TRY_ASSIGN(const std::size_t payload_size, receive_all(socket_.get(), message.payload, late_fds));
    if (payload_size < message.payload.size()) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{}: the stream ended after {} of the {} bytes of its payload",
                                   describe_request(header.request), payload_size, message.payload.size()));
    }
    // Communication: "file descriptors will only be received in the first recvmsg operation for a message
    // header".
    if (!late_fds.empty()) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{}: descriptors came with the payload, expected with the header",
                                   describe_request(header.request)));
    }
    return message;
}

Result<void> Connection::send(const MessageHeader& header, std::span<const std::byte> payload,
                              std::span<const int> fds) {
    if (fds.size() > limits::fds) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} descriptors for one message, at most {} can go", fds.size(), limits::fds));
    }
    MessageHeader header_copy = header;
    // sendmsg only reads, but its interface is older than const.
    std::array<iovec, 2> buffers{iovec{&header_copy, sizeof(header_copy)},
                                 iovec{const_cast<std::byte*>(payload.data()), payload.size()}};
    std::span<iovec> parts(buffers.data(), payload.empty() ? 1 : 2);
    ControlBuffer control;
    bool fds_sent = fds.empty();
    while (!parts.empty()) {
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        if (!fds_sent) {
            message.msg_control = control.bytes.data();
            message.msg_controllen = CMSG_SPACE(fds.size_bytes());
            std::memset(control.bytes.data(), 0, control.bytes.size());
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(fds.size_bytes());
            std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
        }
        const ssize_t count = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                SIDECORE_TRY(wait_for(socket_.get(), POLLOUT));
                continue;
            }
            if (errno == EPIPE || errno == ECONNRESET) {
                return failure(ErrorKind::closed, "the peer closed the connection");
            }
            return failure_from_errno("send on the vhost-user socket");
        }
        fds_sent = true;
        advance(parts, static_cast<std::size_t>(count));
    }
    return {};
}

void Connection::interrupt() noexcept {
    ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace sidecore::vhost_user
