// SPDX-License-Identifier: Apache-2.0
#include "daemon/process.hh"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <string>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "memory/fault_guard.hh"

namespace sidecore::daemon {

namespace {

Result<void> send_datagram(std::string_view path, std::string_view message) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path || (path.front() != '/' && path.front() != '@')) {
        return failure(ErrorKind::invalid_argument, fmt::format("\"{}\" is no socket's address", path));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path.front() == '@') {
        address.sun_path[0] = '\0';  // the abstract name space, see unix(7)
    }
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    if (!socket || ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL,
                            reinterpret_cast<const sockaddr*>(&address), length) < 0) {
        return failure_from_errno(fmt::format("sending to {}", path));
    }
    return {};
}

}  // namespace

Result<StopSignal> StopSignal::create(std::initializer_list<int> signals) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : signals) {
        ::sigaddset(&set, signal);
    }
    if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
        return failure_from_errno("blocking signals", error);
    }
    Fd arrived(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!arrived) {
        return failure_from_errno("creating a signalfd");
    }
    SIDECORE_TRY_ASSIGN(Fd request, make_eventfd());
    return StopSignal(std::move(arrived), std::move(request));
}

int StopSignal::wait() {
    std::array<pollfd, 2> waiting{{{signals_.get(), POLLIN, 0}, {request_.get(), POLLIN, 0}}};
    while (true) {
        signalfd_siginfo signal{};
        if (::read(signals_.get(), &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
            return static_cast<int>(signal.ssi_signo);
        }
        if (drain_eventfd(request_.get())) {
            return 0;
        }
        ::poll(waiting.data(), waiting.size(), -1);
    }
}

Result<void> set_up_process() {
    ::signal(SIGPIPE, SIG_IGN);
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    return memory::install_fault_guard();
}

void notify_service_manager(std::string_view state) {
    const char* path = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): nobody sets variables
    if (path == nullptr || *path == '\0') {
        return;
    }
    if (auto sent = send_datagram(path, state); !sent) {
        spdlog::warn("telling the service manager \"{}\": {}", state, sent.error().message);
    }
}

}  // namespace sidecore::daemon
