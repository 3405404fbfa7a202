// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.hh"
#include "control/service.hh"
#include "daemon/reply_stream.hh"

struct MHD_Daemon;

namespace sidecore::daemon {

/// Serves the control API: HTTP and JSON on a UNIX socket, in one thread of its own, which also makes all the calls to
/// the service. Slow or broken clients hold up nobody; idle, the thread sleeps without a time-out. Captures are replies that go on, see
/// ReplyStream; the thread sends them between other requests.
///
/// Thread: create and destroy from one thread. The service outlives the server.
class ControlServer {
public:
    /// A body that is larger gets status 413.
    static constexpr std::size_t max_body_bytes = 64U << 10U;
    static constexpr unsigned max_connections = 64;
    /// A connection on which nothing happens for so long is closed.
    static constexpr unsigned connection_timeout_s = 30;
    /// In the end clients have so long to take what is left of their captures.
    static constexpr std::chrono::milliseconds farewell{1000};

    struct Options {
        std::string socket_path;
        std::uint32_t socket_permissions = 0600;
        std::string socket_group;  ///< empty: the process's own
    };

    /// Errors: as listen_unix; system.
    static Result<std::unique_ptr<ControlServer>> create(const Options& options, control::Service& service);

    /// Lets a request that is being answered finish and captures come to their end, then closes everything and removes the socket.
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    control::Service& service() noexcept { return service_; }
    ReplyStreams& streams() noexcept { return streams_; }

private:
    ControlServer(std::string socket_path, control::Service& service) noexcept;

    const std::string socket_path_;
    control::Service& service_;
    ReplyStreams streams_;
    MHD_Daemon* http_ = nullptr;
};

}  // namespace sidecore::daemon
