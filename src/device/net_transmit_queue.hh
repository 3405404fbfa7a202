// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/uio.h>

#include "capture/capture_point.hh"
#include "device/device_queue.hh"
#include "device/net_counters.hh"
#include "device/throttle.hh"
#include "network/network_backend.hh"

namespace sidecore::device {

/// A transmit queue of a network device: ring → packets → network back-end, in batches (VIRTIO 1.3, 5.1.6.2).
///
/// Thread: as DeviceQueue. No allocation, lock or system call of its own per packet.
///
/// Invariants:
///  1. A chain is back in the used ring when serve() returns, or still in the available ring: nothing is ever in flight.
///  2. A packet that is not in order is counted and dropped; only what the ring's own rules forbid breaks the queue.
///  3. While the rate limit holds the queue up, the rest stays in the available ring, and no kicks are asked for.
///  4. While the back-end has no room the queue has no work, whatever the driver adds, and does not ask for kicks; the back-end's
///     descriptor ends that.
///  5. A packet is captured before the back-end gets it, so that no answer comes before it, and once: `captured_` counts those that were
///     captured and then found no room.
class NetTransmitQueue final : public DeviceQueue {
public:
    /// `header_bytes` is 10 or 12. `counters`, `captures` and the throttle's limiter outlive the queue, which is that of `pair`.
    NetTransmitQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, std::size_t header_bytes,
                     std::unique_ptr<network::PacketSender> sender, std::unique_ptr<Throttle> throttle,
                     NetCounters& counters, capture::CapturePoint& captures, std::uint16_t pair);

    bool has_work() noexcept override {
        return throttle_->closed() || (ring_.has_available() && (!full_ || sender_->can_send()));
    }
    std::uint32_t pending() const noexcept override { return full_ || throttle_->closed() ? 0 : ring_.pending(); }
    engine::Turn serve(std::uint32_t budget) noexcept override;
    bool arm() noexcept override;
    engine::Reaped reap() noexcept override { return {}; }
    std::uint32_t in_flight() const noexcept override { return 0; }
    int second_kick_fd() const noexcept override { return sender_->room_fd(); }
    int timer_fd() const noexcept override { return throttle_->fd(); }
    int completion_fd() const noexcept override { return -1; }
    bool completions_awaited() const noexcept override { return false; }

    /// Descriptors of one packet, its header included.
    static constexpr std::size_t max_segments = 1024;

private:
    static constexpr std::size_t batch_size = Throttle::batch_max;
    static constexpr std::size_t batch_segments = max_segments + batch_size * 24;

    bool send_batch(std::uint32_t limit, engine::Turn& turn) noexcept;
    std::size_t pop_some(std::size_t most) noexcept;
    void let_capture(std::size_t good) noexcept;
    NetCounter* read_packet(const virtqueue::DescriptorChain& chain, network::Packet& packet) noexcept;

    const std::size_t header_bytes_;
    const std::unique_ptr<network::PacketSender> sender_;
    const std::unique_ptr<Throttle> throttle_;
    NetCounters& counters_;
    capture::CapturePoint& captures_;
    const std::uint16_t pair_;
    std::size_t captured_ = 0;  // of the good packets that come next
    bool full_ = false;         // the back-end had no room the last time
    std::array<virtqueue::DescriptorChain, batch_size> chains_;
    std::array<network::Packet, batch_size> packets_;
    std::unique_ptr<iovec[]> segments_;
};

}  // namespace sidecore::device
