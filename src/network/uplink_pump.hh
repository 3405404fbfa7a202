// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/uio.h>

#include "base/error.hh"
#include "network/forwarder.hh"
#include "network/network_backend.hh"
#include "network/packet.hh"
#include "network/switch_core.hh"
#include "network/switch_port.hh"

namespace sidecore::network {

/// Takes what comes from an uplink into its switch: no guest is behind such a port, so somebody else's thread has to.
///
/// Thread: belongs to one worker at a time, which makes every call; it may move to another between calls. Not needed any longer, it may go before
/// its switch or after it.
class UplinkPump {
public:
    static Result<std::unique_ptr<UplinkPump>> create(std::shared_ptr<SwitchCore> core,
                                                      std::shared_ptr<UplinkPort> port);

    UplinkPump(const UplinkPump&) = delete;
    UplinkPump& operator=(const UplinkPump&) = delete;
    ~UplinkPump() = default;

    /// Whether run() may find a frame; at most a system call.
    bool has_packet() noexcept { return receiver_->has_packet(); }

    struct Pumped {
        std::size_t frames = 0;
        std::uint64_t bytes = 0;  ///< of these
    };

    /// Forwards up to `budget` frames, in batches. Fewer, if there are no more.
    Pumped run(std::size_t budget) noexcept;

    /// As PacketReceiver's.
    int packet_fd() const noexcept { return receiver_->packet_fd(); }
    bool arm() noexcept { return receiver_->arm(); }
    void disarm() noexcept { receiver_->disarm(); }

    /// Frames lost before they came to the switch, where that is known. Any thread.
    std::uint64_t dropped() const noexcept { return receiver_->dropped(); }

private:
    std::size_t take(std::size_t wanted, std::uint64_t& bytes) noexcept;
    UplinkPump(std::shared_ptr<SwitchCore> core, std::shared_ptr<UplinkPort> port,
               std::unique_ptr<PacketReceiver> receiver);

    const std::shared_ptr<UplinkPort> port_;  // has the back-end, which outlives its receiver
    const std::unique_ptr<PacketReceiver> receiver_;

    // Guests that are called for what they get are called once for a batch.
    static constexpr std::size_t batch_frames = 16;
    const std::unique_ptr<std::byte[]> rooms_;
    std::array<iovec, batch_frames> pieces_{};
    std::array<Packet, batch_frames> packets_{};
    Forwarder forwarder_;
};

}  // namespace sidecore::network
