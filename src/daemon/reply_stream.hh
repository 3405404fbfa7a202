// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <sys/types.h>
#include <thread>

#include "base/error.hh"
#include "base/fd.hh"
#include "control/capture.hh"

struct MHD_Connection;

namespace sidecore::daemon {

class ReplyStreams;

/// A reply that goes on for as long as a capture does. While there is nothing to send its connection is suspended, and a thread of its own,
/// which sleeps, waits for more; then for a moment longer, so that packets travel together.
///
/// Thread: read() and destruction on the control server's thread; end() on any.
///
/// Invariants:
///  1. The capture is the control server's thread's while the connection is not suspended, and the waiting thread's while it is: whoever
///     changes that holds the mutex.
///  2. A suspended connection is resumed when there is something to read, when its client is gone, which libmicrohttpd does not see of a
///     suspended one, and by end(); after that it is not suspended again.
class ReplyStream {
public:
    /// From the first packet on so long is waited for more, unless they come so fast that there is no time for that.
    static constexpr std::chrono::milliseconds gather{20};

    static Result<std::unique_ptr<ReplyStream>> create(ReplyStreams& streams, MHD_Connection* connection,
                                                       std::unique_ptr<control::CaptureStream> capture);
    ~ReplyStream();
    ReplyStream(const ReplyStream&) = delete;
    ReplyStream& operator=(const ReplyStream&) = delete;

    /// As libmicrohttpd's content readers do: bytes written to `out`; 0: none now, the connection is suspended; or one of its end codes.
    ssize_t read(std::span<std::byte> out);

    /// Ends the reply as if the capture had come to its end.
    void end();

private:
    ReplyStream(ReplyStreams& streams, MHD_Connection* connection, std::unique_ptr<control::CaptureStream> capture,
                Fd client, Fd wake);

    void run();
    bool wait_until_suspended();
    bool wait_for_more();
    bool sleep(int timeout_ms);
    void resume();

    ReplyStreams& streams_;
    MHD_Connection* const connection_;
    const std::unique_ptr<control::CaptureStream> capture_;
    const Fd client_;  // the connection's socket
    const Fd wake_;    // for the thread: something below has changed

    std::mutex mutex_;
    bool suspended_ = false;
    bool ending_ = false;       // no more is to be sent
    bool client_gone_ = false;  // nobody to send it to

    std::atomic<bool> over_{false};  // the thread is to end
    std::thread thread_;
};

/// All that there are, so that they can be brought to their end.
///
/// Thread: any.
class ReplyStreams {
public:
    /// False: no more are to begin.
    bool add(ReplyStream& stream);
    void remove(ReplyStream& stream);

    /// Ends all, and waits until they are gone or `limit` is over: a client may be slow to read. No more begin.
    void end(std::chrono::milliseconds limit);

private:
    std::mutex mutex_;
    std::condition_variable gone_;
    std::set<ReplyStream*> streams_;
    bool ended_ = false;
};

}  // namespace sidecore::daemon
