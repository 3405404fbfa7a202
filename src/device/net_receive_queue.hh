// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>
#include <utility>

#include "capture/capture_point.hh"
#include "device/device_queue.hh"
#include "device/net_counters.hh"
#include "device/throttle.hh"
#include "network/network_backend.hh"

namespace sidecore::device {

/// A receive queue of a network device: network back-end → the driver's buffers (VIRTIO 1.3, 5.1.6.4).
///
/// Its work is up to two parties: there is some while the driver has made buffers available and the network has a packet. With no buffers
/// it waits for the driver, with buffers for the network, and asks only that one to be told.
///
/// Thread: as DeviceQueue; as PacketSink, the same worker's thread, while another of its queues has a turn.
///
/// Invariants:
///  1. Between calls, of deliver() and flush() between flushes, no chain is popped: those that no packet needed are put back.
///  2. A packet is written to as many buffers as it needs, or to none: `waiting_` keeps one for which the driver has yet to add buffers.
///  3. Nothing overtakes a waiting packet.
///  4. While the rate limit holds the queue up, packets wait in the back-end. One that is taken is charged for, at whatever cost.
class NetReceiveQueue final : public DeviceQueue, private network::PacketSink {
public:
    struct Options {
        std::size_t header_bytes = 12;  ///< 10 or 12
        bool mergeable = false;         ///< VIRTIO_NET_F_MRG_RXBUF negotiated: packets span buffers
    };

    /// `counters`, `captures` and the throttle's limiter outlive the queue, which is that of `pair`.
    NetReceiveQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, Options options,
                    std::unique_ptr<network::PacketReceiver> receiver, std::unique_ptr<Throttle> throttle,
                    NetCounters& counters, capture::CapturePoint& captures, std::uint16_t pair);

    bool has_work() noexcept override;
    std::uint32_t pending() const noexcept override { return 0; }  // only the network could tell
    std::uint32_t capacity() const noexcept override { return 0; }
    engine::Turn serve(std::uint32_t budget) noexcept override;
    bool arm() noexcept override;
    void disarm() noexcept override;
    engine::Reaped reap() noexcept override { return {}; }
    std::uint32_t in_flight() const noexcept override { return 0; }
    int second_kick_fd() const noexcept override { return receiver_->packet_fd(); }
    int timer_fd() const noexcept override { return throttle_->fd(); }
    int completion_fd() const noexcept override { return -1; }
    engine::Turn done_elsewhere() noexcept override { return std::exchange(elsewhere_, {}); }
    void entered() noexcept override { receiver_->set_sink(this); }
    void left() noexcept override { receiver_->set_sink(nullptr); }

    /// Descriptors of one buffer.
    static constexpr std::size_t max_segments = 1024;

private:
    /// A chain of the driver's. Its segments lie in segments_.
    struct Buffer {
        std::uint16_t head = 0;
        std::uint32_t first = 0;
        std::uint32_t count = 0;
        std::uint64_t bytes = 0;
    };
    static constexpr std::size_t max_buffers = 512;
    static constexpr std::size_t segments_possible = 4 * max_segments;

    // network::PacketSink
    void expect(std::size_t packets) noexcept override;
    bool deliver(const network::Packet& packet) noexcept override;
    void flush() noexcept override;

    bool receive_one(engine::Turn& turn) noexcept;
    bool place_waiting(engine::Turn& turn) noexcept;
    bool wait_for_buffers() noexcept;
    bool drop() noexcept;
    void gather(std::uint64_t bytes) noexcept;
    bool pop_some() noexcept;
    bool can_gather() const noexcept;
    bool pop_one() noexcept;
    bool header_is_alone(const void* begin) const noexcept;
    void prefetch_room(const iovec& first) const noexcept;
    std::uint64_t room() const noexcept;
    struct Room {
        std::size_t pieces = 0;
        std::uint64_t bytes = 0;
    };
    Room lay_out_room(std::uint64_t bytes) noexcept;
    void write(std::span<const std::byte> data, std::uint64_t offset) noexcept;
    void copy_into_room(const network::Packet& packet) noexcept;
    void take_front_of_room(std::uint64_t bytes) noexcept;
    void let_capture(const network::PacketInfo& info, std::uint32_t bytes) noexcept;
    void hand_over(const network::PacketInfo& info, std::uint32_t bytes) noexcept;
    void put_header(const network::PacketInfo& info, const Buffer& buffer, std::uint16_t num_buffers) noexcept;
    void finish(const network::PacketInfo& info, std::uint32_t bytes, engine::Turn& turn) noexcept;
    void put_back() noexcept;

    const Options options_;
    const std::unique_ptr<network::PacketReceiver> receiver_;
    const std::unique_ptr<Throttle> throttle_;
    NetCounters& counters_;
    capture::CapturePoint& captures_;
    const std::uint16_t pair_;

    // Popped and not handed over, in order.
    std::array<Buffer, max_buffers> buffers_;
    std::size_t buffers_begin_ = 0;
    std::size_t buffers_end_ = 0;
    std::uint64_t gathered_bytes_ = 0;  // of all of them
    static constexpr std::uint32_t most_ahead = 16;
    std::uint32_t ahead_ = 1;        // buffers to pop next
    std::uint32_t handed_over_ = 0;  // packets, since put_back()
    std::size_t expected_ = 0;       // packets that are about to be delivered, as far as is known
    std::unique_ptr<iovec[]> segments_;
    std::size_t segments_end_ = 0;

    std::unique_ptr<iovec[]> room_;          // the gathered segments without the header's place, and the overflow
    std::uint32_t usual_bytes_ = 2048;       // so much is gathered before a packet's size is known
    std::unique_ptr<std::byte[]> overflow_;  // for what a packet has beyond that

    std::unique_ptr<std::byte[]> waiting_;  // a packet that has not found enough buffers
    network::PacketInfo waiting_info_;
    std::uint32_t waiting_bytes_ = 0;     // 0: none
    std::uint16_t waiting_for_more_ = 0;  // than so many buffers

    engine::Turn elsewhere_;  // what other queues' turns have brought, not told to the engine yet
};

}  // namespace sidecore::device
