// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"

namespace sidecore::engine {

/// Commands on their way to a worker, in order of arrival.
///
/// Thread: post() from any thread; the rest from the one that owns the mailbox.
/// No lost wake-up: post() puts the command in, then makes wake_fd() readable (level-triggered); the owner
/// clears wake_fd() before it takes the commands, so a command that it does not see leaves the descriptor
/// readable. The other way round, a command may be taken before it is signalled: whoever finds wake_fd() readable clears it, or it
/// would stay so.
class Mailbox {
public:
    using Command = std::function<void()>;

    static Result<Mailbox> create();
    Mailbox(Mailbox&& other) noexcept : wake_(std::move(other.wake_)) {}
    Mailbox& operator=(Mailbox&&) = delete;
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;
    ~Mailbox() = default;

    void post(Command command);

    /// One load: whether there is something to take.
    bool pending() const noexcept { return pending_.load(std::memory_order_relaxed); }

    /// After wake_fd() was found readable: whatever it was signalled for is seen by pending() from now on.
    void clear() noexcept { drain_eventfd(wake_.get()); }

    /// Everything posted so far.
    std::vector<Command> take();

    int wake_fd() const noexcept { return wake_.get(); }

private:
    explicit Mailbox(Fd wake) noexcept : wake_(std::move(wake)) {}

    Fd wake_;
    std::atomic<bool> pending_{false};
    std::mutex mutex_;
    std::vector<Command> commands_;
};

}  // namespace sidecore::engine
