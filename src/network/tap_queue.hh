// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/coverage.hh"
#include "network/network_backend.hh"

namespace sidecore::network {

/// What stands before each packet on a tap queue's descriptor: struct virtio_net_hdr, little-endian, without num_buffers.
inline constexpr int tap_header_bytes = 10;

/// Pieces of a packet's memory that the kernel is handed as they are. One with more is copied once more.
inline constexpr std::size_t tap_pieces_max = 256;

/// Packets to a descriptor that takes one with its header in each write, as a tap queue does.
///
/// One writev() a packet. Handing the kernel a batch through an io_uring instead was measured (Linux 6.18, packets of 60 and 1514
/// bytes): 445 ns of CPU time a packet in batches of 4 and 400 ns in batches of 32, against 400 ns with writev(), nearly all of it
/// the kernel's own work on the packet.
class TapSender final : public PacketSender {
public:
    /// `fd`: non-blocking; outlives the sender.
    static Result<std::unique_ptr<TapSender>> create(int fd);

    std::size_t send(std::span<const Packet> packets) noexcept override;
    bool can_send() noexcept override;
    int room_fd() const noexcept override { return room_epoll_.get(); }
    bool arm() noexcept override;
    std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }

private:
    enum class Outcome : std::uint8_t { done, no_room };

    TapSender(int fd, Fd room_epoll);
    Outcome send_one(const Packet& packet) noexcept;
    std::size_t gather(const Packet& packet) noexcept;
    void watch(std::uint32_t events) noexcept;

    const int fd_;
    const Fd
        room_epoll_;  // holds fd_, and is readable when that can be written after arm(): fd_ itself says so far too often
    const std::unique_ptr<std::byte[]> bounce_;  // max_packet_bytes
    std::array<iovec, 1 + tap_pieces_max> pieces_{};
    bool armed_ = false;
    std::atomic<std::uint64_t> dropped_{0};
};

/// Packets from such a descriptor.
class TapReceiver final : public PacketReceiver {
public:
    /// `fd`: non-blocking; it and `accepted` outlive the receiver. What `accepted` does not cover is dropped: the kernel has been told,
    /// but it may have queued such a packet before.
    TapReceiver(int fd, const Coverage& accepted);

    bool has_packet() noexcept override;
    std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept override;
    int packet_fd() const noexcept override { return fd_; }
    bool arm() noexcept override { return !has_packet(); }
    void disarm() noexcept override {}
    std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }

private:
    void scatter(std::uint32_t bytes, std::span<const iovec> room) const noexcept;

    const int fd_;
    const Coverage& accepted_;
    const std::unique_ptr<std::byte[]> bounce_;  // max_packet_bytes
    std::array<iovec, 1 + tap_pieces_max> pieces_{};
    std::atomic<std::uint64_t> dropped_{0};
};

/// Writes one packet without offloads, at once or not at all: for control threads, beside the sender.
Result<void> write_to_tap(int fd, std::span<const std::byte> packet);

}  // namespace sidecore::network
