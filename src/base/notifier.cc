// SPDX-License-Identifier: Apache-2.0
#include "base/notifier.hh"

#include <array>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.hh"

namespace sidecore {

namespace {

/// Taken out of a pipe or socket by one empty_notifier().
constexpr std::size_t empty_bytes = 65536;

// What an eventfd would be written. A pipe refers to it in place until it is read, so it is never changed.
constexpr std::uint64_t one = 1;

/// Swallows what is spliced into it.
int null_device() noexcept {
    static const Fd device(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    return device.get();
}

}  // namespace

NotifierKind notifier_kind(int fd) noexcept {
    if (is_eventfd(fd)) {
        return NotifierKind::eventfd;
    }
    int type = 0;
    socklen_t length = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 ? NotifierKind::socket : NotifierKind::pipe;
}

void signal_notifier(int fd, NotifierKind kind) noexcept {
    // Failures mean that it is full, or that the peer closed it and loses its own wake-ups only.
    switch (kind) {
        case NotifierKind::eventfd:
            signal_eventfd(fd);
            return;
        case NotifierKind::pipe: {
            const iovec part{const_cast<std::uint64_t*>(&one), sizeof one};
            [[maybe_unused]] const auto written = ::vmsplice(fd, &part, 1, SPLICE_F_NONBLOCK);
            return;
        }
        case NotifierKind::socket: {
            [[maybe_unused]] const auto sent = ::send(fd, &one, sizeof one, MSG_DONTWAIT | MSG_NOSIGNAL);
            return;
        }
    }
}

void empty_notifier(int fd, NotifierKind kind) noexcept {
    if (kind == NotifierKind::socket) {
        std::array<char, 4096> sink;
        for (std::size_t taken = 0; taken < empty_bytes; taken += sink.size()) {
            if (::recv(fd, sink.data(), sink.size(), MSG_DONTWAIT) <= 0) {
                return;
            }
        }
    } else if (kind == NotifierKind::pipe) {
        // Not vmsplice: it would write to a FIFO that is open in both directions.
        [[maybe_unused]] const auto taken =
            ::splice(fd, nullptr, null_device(), nullptr, empty_bytes, SPLICE_F_NONBLOCK);
    }
}

}  // namespace sidecore
