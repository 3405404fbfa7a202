// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/stream_connection.hh"

namespace sidecore::network {

struct StreamOptions {
    std::string path{};  ///< of the UNIX socket

    /// True: makes the socket, and takes one peer after the other. False: connects, again and again.
    bool listen = false;

    std::uint32_t reconnect_ms = 1000;  ///< from one attempt to connect to the next, at least; 1 or more
};

/// Sees to it that there is a connection. A thread of its own connects and accepts, notices when the peer goes, and writes the rests of frames
/// when the socket has room again, so that nobody who sends or receives ever waits or has to come back.
///
/// Thread: current() and generation() from any.
class StreamLink {
public:
    static Result<std::unique_ptr<StreamLink>> create(const StreamOptions& options);
    StreamLink(const StreamLink&) = delete;
    StreamLink& operator=(const StreamLink&) = delete;
    ~StreamLink();

    /// Changes whenever current() does: one load to see whether what one has is the latest.
    std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }

    /// The connection, or null while there is none, and the generation of that.
    std::shared_ptr<StreamConnection> current(std::uint32_t& generation) noexcept;

    /// What to read from next: first the connection before this one, once, since its peer may have sent something before it went; then
    /// generation() is not yet that of what was returned. For the one receiver.
    std::shared_ptr<StreamConnection> next_to_read(std::uint32_t& generation) noexcept;

    /// The connection has left something unfinished.
    void wake() noexcept { signal_eventfd(wake_.get()); }

    /// Holds the connections' sockets, to be watched for input.
    int packet_epoll() const noexcept { return packet_epoll_.get(); }

    /// Holds them, switched off, for whoever waits for room.
    int room_epoll() const noexcept { return room_epoll_.get(); }

private:
    using Clock = std::chrono::steady_clock;

    StreamLink(StreamOptions options, std::string name) : options_(std::move(options)), name_(std::move(name)) {}
    Result<void> start();
    Result<Fd> make_listener() const;
    void run();
    void serve();
    int timeout_ms() const;
    void look_for_peer();
    void install(Fd socket);
    void replace(std::shared_ptr<StreamConnection> connection);

    const StreamOptions options_;
    const std::string name_;  // for the log
    Fd wake_;
    Fd packet_epoll_;
    Fd room_epoll_;
    Fd listener_;

    // The link's thread.
    Clock::time_point next_attempt_;
    int last_error_ = 0;  // of connecting, so that the log does not repeat it every second
    std::shared_ptr<StreamConnection> mine_;

    std::atomic<bool> stopping_{false};
    std::atomic<std::uint32_t> generation_{0};
    std::mutex mutex_;  // guards what follows
    std::shared_ptr<StreamConnection> current_;
    std::shared_ptr<StreamConnection> previous_;  // has ended, and may not have been read to its end

    std::thread thread_;
};

}  // namespace sidecore::network
