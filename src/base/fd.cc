// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hh"

#include <array>
#include <fcntl.h>
#include <string_view>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/format.hh"

namespace sidecore {

void Fd::reset() noexcept {
    if (fd_ >= 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

Result<Fd> Fd::duplicate() const {
    const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return failure_from_errno(fmt::format("duplicating file descriptor {}", fd_));
    }
    return Fd(copy);
}

Result<Fd> make_eventfd() {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return failure_from_errno("creating an eventfd");
    }
    return Fd(fd);
}

void signal_eventfd(int fd) noexcept {
    const std::uint64_t one = 1;
    // EAGAIN means that the count is at its maximum: whoever reads it is woken anyway. Any other failure
    // means that the peer closed or passed something unusable; it loses its own wake-ups only.
    [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}

bool drain_eventfd(int fd) noexcept {
    std::uint64_t count = 0;
    return ::read(fd, &count, sizeof count) == static_cast<ssize_t>(sizeof count);
}

bool is_eventfd(int fd) noexcept {
    std::array<char, 64> path{};
    std::array<char, 64> target{};
    *fmt::format_to_n(path.data(), path.size() - 1, "/proc/self/fd/{}", fd).out = '\0';
    const auto length = ::readlink(path.data(), target.data(), target.size());
    return length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) == "anon_inode:[eventfd]";
}

Result<void> set_nonblocking(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return failure_from_errno(fmt::format("making file descriptor {} non-blocking", fd));
    }
    return {};
}

}  // namespace sidecore
