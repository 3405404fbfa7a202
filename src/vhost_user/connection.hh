// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/error.hh"
#include "base/fd.hh"
#include "vhost_user/messages.hh"

namespace sidecore::vhost_user {

/// Whole vhost-user messages over a connected UNIX stream socket; knows their frame, not their meaning.
/// Either side of a connection uses it, and it may be a session's socket or a back-end request channel.
///
/// Thread: one receives and one sends at a time (they may be two); interrupt() from any thread. A peer that
/// stalls in the middle of a message blocks only the thread that waits for the rest. After any error other
/// than from send() with a wrong argument the stream is out of step: close it.
class Connection {
public:
    /// Takes a connected socket; blocking or not makes no difference.
    explicit Connection(Fd socket) noexcept : socket_(std::move(socket)) {}

    /// Waits for one whole message.
    /// Errors: closed (end of the stream between two messages, reset by the peer, or interrupt());
    /// protocol_violation (the stream ends within a message, a version other than 1, a payload above
    /// limits::payload_size, more than limits::fds descriptors, or descriptors behind the header's bytes);
    /// system. Descriptors that came with a message that is in error are closed.
    Result<Message> receive();

    /// Sends a header, its payload and descriptors, which go with the first byte ("Communication") and stay
    /// the caller's. `header.size` goes out as it is, so that tests can send a wrong one. Errors: closed (the
    /// peer is gone); invalid_argument (more descriptors than limits::fds); system.
    Result<void> send(const MessageHeader& header, std::span<const std::byte> payload = {},
                      std::span<const int> fds = {});

    /// Ends the stream in both directions: receive() and send() in other threads return ErrorKind::closed.
    void interrupt() noexcept;

    int fd() const noexcept { return socket_.get(); }

private:
    Fd socket_;
};

}  // namespace sidecore::vhost_user
