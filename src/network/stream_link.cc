// SPDX-License-Identifier: Apache-2.0
#include "network/stream_link.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "base/thread.hh"

namespace sidecore::network {

namespace {

/// As large as the host allows up to this: many frames for one system call.
constexpr int socket_buffer_bytes = 1 << 20;

sockaddr_un address_of(const std::string& path) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

Fd new_socket() noexcept {
    return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// 0 or errno. Does not wait: a listener whose queue is full counts as an error (EAGAIN).
int connect_to(int socket, const sockaddr_un& address) noexcept {
    return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

Result<Fd> new_epoll() {
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        return failure_from_errno("creating an epoll");
    }
    return epoll;
}

}  // namespace

Result<std::unique_ptr<StreamLink>> StreamLink::create(const StreamOptions& options) {
    if (options.path.empty() || options.path.size() >= sizeof(sockaddr_un::sun_path)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("the path of a socket has 1 to {} bytes, not {}: \"{}\"",
                                   sizeof(sockaddr_un::sun_path) - 1, options.path.size(), options.path));
    }
    if (options.reconnect_ms == 0) {
        return failure(ErrorKind::out_of_range, "the time between attempts to connect cannot be 0");
    }
    std::unique_ptr<StreamLink> link(new StreamLink(options, fmt::format("stream {}", options.path)));
    SIDECORE_TRY(link->start());
    return link;
}

Result<void> StreamLink::start() {
    SIDECORE_TRY_ASSIGN(wake_, make_eventfd());
    SIDECORE_TRY_ASSIGN(packet_epoll_, new_epoll());
    SIDECORE_TRY_ASSIGN(room_epoll_, new_epoll());
    if (options_.listen) {
        SIDECORE_TRY_ASSIGN(listener_, make_listener());
    } else {
        next_attempt_ = Clock::now();
        look_for_peer();  // so that it is there at once if the peer is
    }
    auto thread = start_thread("sidecore-link", [this] { run(); });
    if (!thread) {
        return tl::unexpected(std::move(thread).error().within(name_));
    }
    thread_ = std::move(*thread);
    return {};
}

StreamLink::~StreamLink() {
    if (thread_.joinable()) {
        stopping_.store(true, std::memory_order_release);
        wake();
        thread_.join();
    }
    if (mine_ != nullptr) {
        mine_->end();
    }
    if (listener_) {
        ::unlink(options_.path.c_str());
    }
}

Result<Fd> StreamLink::make_listener() const {
    Fd listener = new_socket();
    const sockaddr_un address = address_of(options_.path);
    const auto bind = [&] {
        return ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    };
    bool bound = listener.valid() && bind();
    if (!bound && errno == EADDRINUSE) {
        struct stat found {};
        if (::lstat(options_.path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) {
            return failure(ErrorKind::already_exists, fmt::format("{} is there, and is no socket", options_.path));
        }
        const Fd probe = new_socket();
        if (connect_to(probe.get(), address) != ECONNREFUSED) {
            return failure(ErrorKind::already_exists, fmt::format("{} is in use by another process", options_.path));
        }
        ::unlink(options_.path.c_str());  // left behind by one that is gone
        bound = bind();
    }
    if (!bound || ::listen(listener.get(), 1) != 0) {
        return failure_from_errno(fmt::format("listening on {}", options_.path));
    }
    return listener;
}

std::shared_ptr<StreamConnection> StreamLink::current(std::uint32_t& generation) noexcept {
    const std::lock_guard lock(mutex_);
    generation = generation_.load(std::memory_order_relaxed);
    return current_;
}

std::shared_ptr<StreamConnection> StreamLink::next_to_read(std::uint32_t& generation) noexcept {
    const std::lock_guard lock(mutex_);
    if (previous_ != nullptr) {
        return std::move(previous_);
    }
    generation = generation_.load(std::memory_order_relaxed);
    return current_;
}

void StreamLink::run() {
    while (!stopping_.load(std::memory_order_acquire)) {
        serve();
    }
}

/// Waits for one thing to happen, and does what is to be done then.
void StreamLink::serve() {
    std::array<pollfd, 2> entries{{{wake_.get(), POLLIN, 0}, {-1, 0, 0}}};
    pollfd& peer = entries[1];
    if (mine_ != nullptr) {
        const int room = mine_->unfinished() ? POLLOUT : 0;
        peer = {mine_->fd(), static_cast<short>(POLLRDHUP | room), 0};
    } else if (listener_ && Clock::now() >= next_attempt_) {
        peer = {listener_.get(), POLLIN, 0};
    }
    if (::poll(entries.data(), entries.size(), timeout_ms()) < 0) {
        return;
    }
    if (entries[0].revents != 0) {
        drain_eventfd(wake_.get());
    }
    if (mine_ == nullptr) {
        if (!listener_ || peer.revents != 0) {
            look_for_peer();
        }
    } else if (mine_->ended() || (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
        mine_->end();
        spdlog::info("{}: the connection has ended", name_);
        replace(nullptr);
    } else if ((peer.revents & POLLOUT) != 0) {
        mine_->flush();
    }
}

/// Until the next attempt; without end where there is none to make.
int StreamLink::timeout_ms() const {
    if (mine_ != nullptr || (listener_ && Clock::now() >= next_attempt_)) {
        return -1;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_attempt_ - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, options_.reconnect_ms));
}

void StreamLink::look_for_peer() {
    if (listener_) {
        Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (socket) {
            install(std::move(socket));
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            // Out of descriptors, most likely: the peer still waits then, and poll() would say so at once.
            spdlog::warn("{}: cannot accept a connection: {}", name_, std::generic_category().message(errno));
            next_attempt_ = Clock::now() + std::chrono::milliseconds(options_.reconnect_ms);
        }
        return;
    }
    if (Clock::now() < next_attempt_) {
        return;
    }
    next_attempt_ = Clock::now() + std::chrono::milliseconds(options_.reconnect_ms);
    Fd socket = new_socket();
    const int os_error = socket ? connect_to(socket.get(), address_of(options_.path)) : errno;
    if (os_error == 0) {
        install(std::move(socket));
    } else if (os_error != last_error_) {
        spdlog::warn("{}: cannot connect yet, trying again: {}", name_, std::generic_category().message(os_error));
    }
    last_error_ = os_error;
}

void StreamLink::install(Fd socket) {
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &socket_buffer_bytes, sizeof socket_buffer_bytes);
    auto connection = std::make_shared<StreamConnection>(std::move(socket), name_);
    spdlog::info("{}: connected", name_);
    const int fd = connection->fd();
    replace(std::move(connection));
    // After the change, so that whoever these wake finds the new connection. A closed socket leaves an epoll by itself.
    epoll_event packets{};
    packets.events = EPOLLIN;
    ::epoll_ctl(packet_epoll_.get(), EPOLL_CTL_ADD, fd, &packets);
    epoll_event room{};
    room.events = EPOLLONESHOT;
    ::epoll_ctl(room_epoll_.get(), EPOLL_CTL_ADD, fd, &room);
}

void StreamLink::replace(std::shared_ptr<StreamConnection> connection) {
    mine_ = connection;
    const std::lock_guard lock(mutex_);
    if (current_ != nullptr) {
        previous_ = std::move(current_);
    }
    current_ = std::move(connection);
    generation_.store(generation_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

}  // namespace sidecore::network
