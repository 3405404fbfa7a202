// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <sys/uio.h>

#include "base/fd.hh"
#include "network/packet.hh"

namespace sidecore::network {

/// One connection that carries frames, each behind its length as 32 bits big-endian: what QEMU's "-netdev stream" and passt speak.
///
/// Thread: the writing functions from any; the reading ones from one at a time. Neither side waits for the other.
///
/// A frame that the socket took a part of is finished by flush(), which somebody has to call when the socket has room again: whoever
/// next sends, and whoever polls for POLLOUT while unfinished() holds.
class StreamConnection {
public:
    /// `socket`: a connected stream socket, non-blocking. `name`: for the log.
    StreamConnection(Fd socket, std::string name);
    StreamConnection(const StreamConnection&) = delete;
    StreamConnection& operator=(const StreamConnection&) = delete;
    ~StreamConnection() = default;

    int fd() const noexcept { return socket_.get(); }

    /// Whether it is of no more use for writing. What the peer has sent before can still be read.
    bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }

    /// Ends it: the peer sees that, and everybody who polls the socket.
    void end() noexcept;

    /// Writing. How many of `packets` it is done with: sent, or dropped and added to `dropped`. Of an ended connection: all of them, dropped.
    std::size_t send(std::span<const Packet> packets, std::uint64_t& dropped) noexcept;

    /// Writing. Goes on with what the socket did not take. True: nothing of that is left.
    bool flush() noexcept;
    bool unfinished() const noexcept { return unfinished_.load(std::memory_order_relaxed); }

    /// Writing. Whether send() would find room.
    bool has_room() noexcept;

    /// Reading. Whether a whole frame is there; looks into the socket if none has been read yet. It may say yes although there is but a part
    /// of one if the peer sends it byte by byte.
    bool has_packet() noexcept;

    /// Reading. As PacketReceiver::receive().
    std::uint32_t receive(std::span<const iovec> room) noexcept;

    /// Reading. Nothing more will come: the peer's last byte has been read, or it broke the rules.
    bool finished() const noexcept { return finished_ && begin_ == end_; }

    /// Reading. Frames too short to be of use, left out so far.
    std::uint64_t runts() const noexcept { return runts_; }

private:
    static constexpr std::size_t header_bytes = 4;
    static constexpr std::size_t read_bytes = std::size_t{256} << 10U;
    static constexpr std::size_t packets_per_write = 64;
    static constexpr std::size_t pieces_per_write = 512;

    bool flush_locked() noexcept;
    std::size_t write_batch(std::span<const Packet> packets) noexcept;
    bool write_alone(const Packet& packet) noexcept;
    void keep_rest(const Packet& packet, std::size_t written) noexcept;
    void set_unfinished(bool unfinished) noexcept { unfinished_.store(unfinished, std::memory_order_relaxed); }

    std::uint32_t front_frame() noexcept;
    bool fill() noexcept;
    void finish() noexcept;

    const Fd socket_;
    const std::string name_;
    std::atomic<bool> ended_{false};
    std::atomic<bool> unfinished_{false};

    // Taken once a batch. The sender has it to itself but while the rest of a frame is sent, or a MAC address announced.
    std::mutex write_mutex_;
    const std::unique_ptr<std::byte[]> rest_;  // of a frame that was sent in part
    std::size_t rest_begin_ = 0;
    std::size_t rest_end_ = 0;
    std::array<std::uint32_t, packets_per_write> lengths_{};  // big-endian
    std::array<iovec, pieces_per_write> pieces_{};

    // The reader's.
    const std::unique_ptr<std::byte[]> read_;  // bytes from begin_ to end_ wait
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::uint64_t runts_ = 0;
    bool finished_ = false;
};

}  // namespace sidecore::network
