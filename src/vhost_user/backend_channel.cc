// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/backend_channel.hh"

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "vhost_user/descriptor_kind.hh"
#include "vhost_user/messages.hh"

namespace sidecore::vhost_user {

namespace {

/// A header is shorter than what sockets and pipes take or refuse as a whole, so it is never sent in part.
ssize_t send_at_once(int fd, const MessageHeader& header) {
    ssize_t sent = 0;
    do {
        sent = ::send(fd, &header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == ENOTSOCK) {
            sent = ::write(fd, &header, sizeof(header));
        }
    } while (sent < 0 && errno == EINTR);
    return sent;
}

}  // namespace

BackendChannel::BackendChannel(Fd fd, bool config_negotiated) noexcept
    : config_negotiated_(config_negotiated), fd_(std::move(fd)) {}

Result<std::shared_ptr<BackendChannel>> BackendChannel::create(Fd fd, bool config_negotiated) {
    switch (kind_of(fd.get())) {
        case DescriptorKind::socket:
            break;
        case DescriptorKind::pipe:
            SIDECORE_TRY(set_nonblocking(fd.get()));
            break;
        case DescriptorKind::eventfd:
        case DescriptorKind::other:
            return failure(ErrorKind::protocol_violation, "the descriptor is neither a socket nor a pipe");
    }
    return std::shared_ptr<BackendChannel>(new BackendChannel(std::move(fd), config_negotiated));
}

Result<void> BackendChannel::announce_config_change() {
    const std::lock_guard lock(mutex_);
    if (!fd_) {
        return failure(ErrorKind::closed, "the back-end channel is closed");
    }
    if (!config_negotiated_) {
        return failure(ErrorKind::unsupported, "the front-end did not negotiate CONFIG");
    }
    if (suspended_) {
        change_due_ = true;
        return {};
    }
    return send_config_change();
}

Result<void> BackendChannel::set_suspended(bool suspended) {
    const std::lock_guard lock(mutex_);
    suspended_ = suspended;
    if (suspended_ || !change_due_ || !fd_) {
        return {};
    }
    change_due_ = false;
    return send_config_change();
}

void BackendChannel::close() noexcept {
    const std::lock_guard lock(mutex_);
    fd_.reset();
}

Result<void> BackendChannel::send_config_change() {
    const ssize_t sent = send_at_once(fd_.get(), make_header(BackendRequest::config_change_msg, 0));
    if (sent == static_cast<ssize_t>(sizeof(MessageHeader))) {
        return {};
    }
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return failure(ErrorKind::timed_out, "the front-end does not read its back-end channel");
    }
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        fd_.reset();
        return failure(ErrorKind::closed, "the front-end closed its back-end channel");
    }
    return failure_from_errno("send on the back-end channel", sent < 0 ? errno : EIO);
}

}  // namespace sidecore::vhost_user
