// SPDX-License-Identifier: Apache-2.0
#include "daemon/reply_stream.hh"

#include <array>
#include <microhttpd.h>
#include <poll.h>
#include <utility>

#include "base/thread.hh"

namespace sidecore::daemon {

using control::CaptureStream;

Result<std::unique_ptr<ReplyStream>> ReplyStream::create(ReplyStreams& streams, MHD_Connection* connection,
                                                         std::unique_ptr<CaptureStream> capture) {
    const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == nullptr) {
        return failure(ErrorKind::system, "the connection has no socket");
    }
    Fd borrowed(info->connect_fd);
    auto client = borrowed.duplicate();  // of our own: libmicrohttpd may close its before we are gone
    borrowed.release();
    if (!client) {
        return tl::unexpected(std::move(client).error());
    }
    SIDECORE_TRY_ASSIGN(Fd wake, make_eventfd());
    std::unique_ptr<ReplyStream> stream(
        new ReplyStream(streams, connection, std::move(capture), std::move(*client), std::move(wake)));
    SIDECORE_TRY_ASSIGN(stream->thread_, start_thread("capture", [itself = stream.get()] { itself->run(); }));
    if (!streams.add(*stream)) {
        return failure(ErrorKind::closed, "the daemon is stopping");
    }
    return stream;
}

ReplyStream::ReplyStream(ReplyStreams& streams, MHD_Connection* connection, std::unique_ptr<CaptureStream> capture,
                         Fd client, Fd wake)
    : streams_(streams),
      connection_(connection),
      capture_(std::move(capture)),
      client_(std::move(client)),
      wake_(std::move(wake)) {}

ReplyStream::~ReplyStream() {
    streams_.remove(*this);
    over_ = true;
    signal_eventfd(wake_.get());
    if (thread_.joinable()) {
        thread_.join();
    }
}

ssize_t ReplyStream::read(std::span<std::byte> out) {
    const std::lock_guard lock(mutex_);
    if (client_gone_) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (ending_) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    const CaptureStream::Piece piece = capture_->read(out);
    if (piece.bytes != 0) {
        return static_cast<ssize_t>(piece.bytes);
    }
    if (piece.ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    suspended_ = true;
    MHD_suspend_connection(connection_);
    signal_eventfd(wake_.get());
    return 0;
}

void ReplyStream::end() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    if (std::exchange(suspended_, false)) {
        MHD_resume_connection(connection_);
    }
    signal_eventfd(wake_.get());
}

// ---- the thread ----

void ReplyStream::run() {
    while (wait_until_suspended() && wait_for_more()) {
        resume();
    }
}

/// False here and below: the thread is to end.
bool ReplyStream::wait_until_suspended() {
    while (true) {
        drain_eventfd(wake_.get());
        {
            const std::lock_guard lock(mutex_);
            if (suspended_) {
                return true;
            }
        }
        if (over_) {
            return false;
        }
        pollfd waiting{wake_.get(), POLLIN, 0};
        ::poll(&waiting, 1, -1);
    }
}

/// True also if the client is gone, which is for read() to say.
bool ReplyStream::wait_for_more() {
    while (capture_->arm(CaptureStream::Amount::something)) {
        if (!sleep(-1)) {
            return !over_;
        }
    }
    const auto until = std::chrono::steady_clock::now() + gather;
    while (capture_->arm(CaptureStream::Amount::much)) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
        if (left <= 0 || !sleep(static_cast<int>(left))) {
            break;
        }
    }
    return !over_;
}

/// False: there is no more to wait for.
bool ReplyStream::sleep(int timeout_ms) {
    // That the client is gone is told without being asked for: POLLHUP. One that has only closed its sending side still listens.
    std::array<pollfd, 3> waiting{{{capture_->ready_fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}, {client_.get(), 0, 0}}};
    ::poll(waiting.data(), waiting.size(), timeout_ms);
    drain_eventfd(capture_->ready_fd());
    drain_eventfd(wake_.get());
    const std::lock_guard lock(mutex_);
    client_gone_ = client_gone_ || waiting[2].revents != 0;
    return !over_ && !ending_ && !client_gone_;
}

void ReplyStream::resume() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(suspended_, false)) {
        MHD_resume_connection(connection_);
    }
}

// ---- all of them ----

bool ReplyStreams::add(ReplyStream& stream) {
    const std::lock_guard lock(mutex_);
    if (!ended_) {
        streams_.insert(&stream);
    }
    return !ended_;
}

void ReplyStreams::remove(ReplyStream& stream) {
    const std::lock_guard lock(mutex_);
    streams_.erase(&stream);
    gone_.notify_all();
}

void ReplyStreams::end(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    ended_ = true;
    for (ReplyStream* stream : streams_) {
        stream->end();
    }
    gone_.wait_for(lock, limit, [this] { return streams_.empty(); });
}

}  // namespace sidecore::daemon
