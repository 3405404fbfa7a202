// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/socket.hh"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include "base/format.hh"

namespace sidecore::vhost_user {

namespace {

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& text = path.native();
    if (text.empty()) {
        return failure(ErrorKind::invalid_argument, "the path of a socket is empty");
    }
    // One byte stays for the terminating zero.
    if (text.size() >= sizeof(address.sun_path)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: {} bytes are too long for a socket's path, at most {}", text, text.size(),
                                   sizeof(address.sun_path) - 1));
    }
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

Result<Fd> make_socket() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failure_from_errno("creating a UNIX socket");
    }
    return Fd(fd);
}

/// 0 or an errno; EAGAIN where as many wait to be accepted as the listener wants. Connecting would wait for it then, where
/// nobody could stop us.
int try_connect(int fd, const sockaddr_un& address) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return errno;
    }
    while (::connect(fd, generic(address), sizeof(address)) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return ::fcntl(fd, F_SETFL, flags) < 0 ? errno : 0;
}

/// Makes room at `path`, if what is there is a socket on which nobody answers.
Result<void> remove_stale_socket(const std::filesystem::path& path, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) < 0) {
        if (errno == ENOENT) {
            return {};
        }
        return failure_from_errno(path.native());
    }
    if (!S_ISSOCK(status.st_mode)) {
        return failure(ErrorKind::already_exists, fmt::format("{}: exists and is not a socket", path.native()));
    }
    SIDECORE_TRY_ASSIGN(const Fd probe, make_socket());
    const int result = try_connect(probe.get(), address);
    if (result != ECONNREFUSED) {
        return failure(
            ErrorKind::already_exists,
            fmt::format("{}: another process listens there{}", path.native(),
                        result == 0 ? "" : fmt::format(" or may do so ({})", std::generic_category().message(result))));
    }
    if (::unlink(path.c_str()) < 0 && errno != ENOENT) {
        return failure_from_errno(fmt::format("{}: removing the socket left there", path.native()));
    }
    return {};
}

}  // namespace

Result<Fd> listen_unix(const std::filesystem::path& path, mode_t mode) {
    SIDECORE_TRY_ASSIGN(const sockaddr_un address, address_of(path));
    SIDECORE_TRY(remove_stale_socket(path, address));
    SIDECORE_TRY_ASSIGN(Fd listener, make_socket());
    // The mode before bind() is what the file starts with, less the umask; the one after gives back what that
    // took.
    if (::fchmod(listener.get(), mode) < 0) {
        return failure_from_errno(fmt::format("{}: setting the mode of the socket", path.native()));
    }
    if (::bind(listener.get(), generic(address), sizeof(address)) < 0) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return failure(ErrorKind::not_found,
                           fmt::format("{}: there is no such directory", path.parent_path().native()));
        }
        return failure_from_errno(fmt::format("{}: binding a socket", path.native()));
    }
    if (::chmod(path.c_str(), mode) < 0 || ::listen(listener.get(), SOMAXCONN) < 0) {
        auto error = failure_from_errno(fmt::format("{}: listening", path.native()));
        ::unlink(path.c_str());
        return error;
    }
    return listener;
}

Result<Fd> accept_unix(int listener) {
    for (;;) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            return Fd(fd);
        }
        if (errno == EINTR || errno == ECONNABORTED) {
            continue;
        }
        // What accept says on a listener after shutdown(2).
        if (errno == EINVAL) {
            return failure(ErrorKind::closed, "the listening socket was shut down");
        }
        return failure_from_errno("accepting a connection");
    }
}

Result<Fd> connect_unix(const std::filesystem::path& path) {
    SIDECORE_TRY_ASSIGN(const sockaddr_un address, address_of(path));
    SIDECORE_TRY_ASSIGN(Fd socket, make_socket());
    switch (const int result = try_connect(socket.get(), address)) {
        case 0:
            return socket;
        case ENOENT:
        case ECONNREFUSED:
            return failure(ErrorKind::not_found, fmt::format("{}: nobody listens there", path.native()));
        case EAGAIN:
            return failure(ErrorKind::not_found, fmt::format("{}: nobody accepts connections there", path.native()));
        default:
            return failure_from_errno(fmt::format("{}: connecting", path.native()), result);
    }
}

}  // namespace sidecore::vhost_user
