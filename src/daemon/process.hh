// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string_view>

#include "base/error.hh"
#include "base/fd.hh"

// What a program that serves devices has to arrange with its host, in its main.

namespace sidecore::daemon {

/// Waits for the order to stop: a signal, or request().
///
/// Thread: create() from main before other threads exist, so that they do not take the signals; wait() from one thread;
/// request() from any.
class StopSignal {
public:
    /// From now on `signals` no longer end the process.
    static Result<StopSignal> create(std::initializer_list<int> signals);

    /// Sleeps until one of the signals or request() comes. The signal's number, 0 for request().
    int wait();
    void request() noexcept { signal_eventfd(request_.get()); }

private:
    StopSignal(Fd signals, Fd request) noexcept : signals_(std::move(signals)), request_(std::move(request)) {}

    Fd signals_;
    Fd request_;
};

/// Settings that all programs share: as many file descriptors as the host allows, no death by SIGPIPE, none by a guest
/// that truncates its memory.
Result<void> set_up_process();

/// Tells systemd, if it has started us as Type=notify: "READY=1", "STOPPING=1". See sd_notify(3) for the protocol.
/// Failure is logged: nothing else depends on it.
void notify_service_manager(std::string_view state);

}  // namespace sidecore::daemon
