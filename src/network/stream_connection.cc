// SPDX-License-Identifier: Apache-2.0
#include "network/stream_connection.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

namespace sidecore::network {

namespace {

/// Reads in one look for a frame, before the caller is told to come back: a peer that sends byte by byte keeps nobody.
constexpr int reads_at_once_max = 16;

bool goes_as_it_is(const Packet& packet) noexcept {
    return packet.bytes >= min_packet_bytes && packet.bytes <= max_packet_bytes && !packet.info.needs_checksum() &&
           !packet.info.segmented();
}

/// Bytes written, 0 if there is no room, -1 if the connection is of no use any more.
ssize_t write_some(int fd, iovec* pieces, std::size_t count) noexcept {
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    const ssize_t written = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written >= 0) {
        return written;
    }
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
}

}  // namespace

StreamConnection::StreamConnection(Fd socket, std::string name)
    : socket_(std::move(socket)),
      name_(std::move(name)),
      rest_(std::make_unique<std::byte[]>(header_bytes + max_packet_bytes)),
      read_(std::make_unique<std::byte[]>(read_bytes)) {}

void StreamConnection::end() noexcept {
    if (!ended_.exchange(true, std::memory_order_acq_rel)) {
        ::shutdown(socket_.get(), SHUT_RDWR);
    }
}

std::size_t StreamConnection::send(std::span<const Packet> packets, std::uint64_t& dropped) noexcept {
    const std::lock_guard lock(write_mutex_);
    std::size_t done = 0;
    while (done < packets.size()) {
        if (ended()) {
            dropped += packets.size() - done;
            return packets.size();
        }
        if (!flush_locked()) {
            if (ended()) {
                continue;
            }
            return done;
        }
        if (!goes_as_it_is(packets[done])) {
            ++dropped;
            ++done;
            continue;
        }
        const std::size_t written = write_batch(packets.subspan(done));
        if (written == 0 && !ended()) {
            return done;
        }
        done += written;
    }
    return done;
}

/// Writes as many packets as go into one system call; how many it is done with. 0: there is no room, or the connection has ended.
std::size_t StreamConnection::write_batch(std::span<const Packet> packets) noexcept {
    if (packets.front().data.size() >= pieces_per_write) {
        return write_alone(packets.front()) ? 1 : 0;
    }
    std::size_t count = 0;
    std::size_t pieces = 0;
    for (; count < std::min(packets.size(), packets_per_write); ++count) {
        const Packet& packet = packets[count];
        if (!goes_as_it_is(packet) || pieces + 1 + packet.data.size() > pieces_per_write) {
            break;
        }
        lengths_[count] = htonl(packet.bytes);
        pieces_[pieces++] = {&lengths_[count], header_bytes};
        std::copy(packet.data.begin(), packet.data.end(), pieces_.begin() + static_cast<std::ptrdiff_t>(pieces));
        pieces += packet.data.size();
    }
    const ssize_t written = write_some(socket_.get(), pieces_.data(), pieces);
    if (written < 0) {
        end();
        return 0;
    }
    auto left = static_cast<std::size_t>(written);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t frame = header_bytes + packets[i].bytes;
        if (left < frame) {
            if (left == 0) {
                return i;
            }
            keep_rest(packets[i], left);
            return i + 1;
        }
        left -= frame;
    }
    return count;
}

/// One with more pieces than a system call takes: copied together first.
bool StreamConnection::write_alone(const Packet& packet) noexcept {
    keep_rest(packet, 0);
    flush_locked();
    return true;
}

/// What flush() has to write yet of a packet of whose frame so much has been written. Its memory is not looked at any more after that.
void StreamConnection::keep_rest(const Packet& packet, std::size_t written) noexcept {
    const std::uint32_t length = htonl(packet.bytes);
    std::memcpy(rest_.get(), &length, header_bytes);
    std::size_t at = header_bytes;
    for (const iovec& piece : packet.data) {
        const std::size_t bytes = std::min<std::size_t>(piece.iov_len, header_bytes + packet.bytes - at);
        std::memcpy(rest_.get() + at, piece.iov_base, bytes);
        at += bytes;
    }
    rest_begin_ = written;
    rest_end_ = at;
    set_unfinished(true);
}

bool StreamConnection::flush() noexcept {
    const std::lock_guard lock(write_mutex_);
    return flush_locked();
}

bool StreamConnection::flush_locked() noexcept {
    while (rest_begin_ != rest_end_) {
        iovec piece{rest_.get() + rest_begin_, rest_end_ - rest_begin_};
        const ssize_t written = write_some(socket_.get(), &piece, 1);
        if (written < 0) {
            end();
        }
        if (written <= 0) {
            return false;
        }
        rest_begin_ += static_cast<std::size_t>(written);
    }
    set_unfinished(false);
    return true;
}

bool StreamConnection::has_room() noexcept {
    if (ended() || (!flush() && ended())) {
        return true;
    }
    pollfd entry{socket_.get(), POLLOUT, 0};
    return !unfinished() && ::poll(&entry, 1, 0) == 1;
}

bool StreamConnection::has_packet() noexcept {
    for (int reads = 0; reads < reads_at_once_max; ++reads) {
        if (front_frame() != 0) {
            return true;
        }
        if (!fill()) {
            return false;
        }
    }
    return true;
}

std::uint32_t StreamConnection::receive(std::span<const iovec> room) noexcept {
    std::uint32_t frame = front_frame();
    if (frame == 0 && (!has_packet() || (frame = front_frame()) == 0)) {
        return 0;
    }
    begin_ += header_bytes;
    std::size_t left = frame;
    for (const iovec& piece : room) {
        const std::size_t length = std::min(piece.iov_len, left);
        std::memcpy(piece.iov_base, read_.get() + begin_, length);
        begin_ += length;
        left -= length;
        if (left == 0) {
            break;
        }
    }
    begin_ += left;
    return frame;
}

/// Length of the frame that begins at begin_ if all of it has been read, else 0.
std::uint32_t StreamConnection::front_frame() noexcept {
    while (end_ - begin_ >= header_bytes) {
        std::uint32_t length = 0;
        std::memcpy(&length, read_.get() + begin_, header_bytes);
        length = ntohl(length);
        if (length == 0 || length > max_packet_bytes) {
            spdlog::warn("{}: the peer announced a frame of {} bytes, allowed are 1 to {}; ending the connection",
                         name_, length, max_packet_bytes);
            finish();
            return 0;
        }
        if (end_ - begin_ - header_bytes < length) {
            return 0;
        }
        if (length >= min_packet_bytes) {
            return length;
        }
        begin_ += header_bytes + length;
        ++runts_;
    }
    return 0;
}

/// Reads what is there. False: nothing was.
bool StreamConnection::fill() noexcept {
    if (finished_) {
        return false;
    }
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (read_bytes - begin_ < header_bytes + max_packet_bytes) {
        // The frame that has begun might not fit. Less than one is left, so that this costs little for all that was read since.
        std::memmove(read_.get(), read_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    const ssize_t bytes = ::recv(socket_.get(), read_.get() + end_, read_bytes - end_, MSG_DONTWAIT);
    if (bytes > 0) {
        end_ += static_cast<std::size_t>(bytes);
        return true;
    }
    if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) {
        finish();
    }
    return false;
}

/// What has been read and is no whole frame is of no use any more.
void StreamConnection::finish() noexcept {
    finished_ = true;
    begin_ = end_ = 0;
    end();
}

}  // namespace sidecore::network
