// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>

#include "base/error.hh"
#include "base/fd.hh"

namespace sidecore::vhost_user {

/// The way from back-end to front-end that SET_BACKEND_REQ_FD opens ("Back-end communication").
///
/// Thread: every function may be called from any thread; none ever waits for the front-end.
///
/// A reply is never asked for, even with REPLY_ACK. QEMU handles these messages in its main loop, which may
/// itself be waiting for the session to answer: waiting for each other would be for ever, and there is
/// nothing that we would do differently for a refusal.
///
/// Messages are due only while the device runs ("Suspended device state": with all vrings stopped a device
/// must not send any). What is announced before is sent when the first vring starts; QEMU would ignore it
/// earlier anyway.
class BackendChannel {
public:
    /// `fd` is a socket or the write end of a pipe, else protocol_violation. The channel starts suspended.
    /// `config_negotiated`: whether CONFIG is, without which there is nothing to announce.
    static Result<std::shared_ptr<BackendChannel>> create(Fd fd, bool config_negotiated);

    /// Sends CONFIG_CHANGE_MSG, or remembers to do so. Errors: closed (the session or the front-end is gone);
    /// unsupported (CONFIG was not negotiated); timed_out (the front-end does not read and the channel is
    /// full); system. The process must ignore SIGPIPE if front-ends may pass a pipe.
    Result<void> announce_config_change();

    /// For the session. While suspended, announcements are kept; one is sent for all of them when it ends.
    /// Errors: those of announce_config_change().
    Result<void> set_suspended(bool suspended);
    /// For the session: from now on all is ErrorKind::closed. Closes the descriptor.
    void close() noexcept;

private:
    BackendChannel(Fd fd, bool config_negotiated) noexcept;
    Result<void> send_config_change();  // with mutex_ held

    const bool config_negotiated_;
    std::mutex mutex_;
    Fd fd_;
    bool suspended_ = true;
    bool change_due_ = false;
};

}  // namespace sidecore::vhost_user
