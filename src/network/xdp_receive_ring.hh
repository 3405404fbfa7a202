// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <linux/if_xdp.h>
#include <span>
#include <sys/uio.h>

#include "network/xdp_ring.hh"

namespace sidecore::network {

/// The receiving half of an AF_XDP socket: frames that the kernel fills, the ring that they come on, and the one that they go back on.
///
/// Thread: any. When the number of pairs in use changes, two receivers may take from one ring for a moment; then one of them finds nothing. Nobody
/// waits.
class XdpReceiveRing {
public:
    struct Parts {
        int fd = -1;                          ///< of the socket; outlives the ring, as all of this does
        std::span<const std::byte> frames{};  ///< memory of the frames, all of which are the kernel's at first
        std::uint64_t first_address = 0;      ///< of `frames`, as the kernel counts them
        std::uint32_t frame_bytes = 0;        ///< a power of two
        XdpRingMemory receive{};              ///< of as many entries as there are frames, or more
        XdpRingMemory fill{};                 ///< the same
    };

    explicit XdpReceiveRing(const Parts& parts) noexcept;
    XdpReceiveRing(const XdpReceiveRing&) = delete;
    XdpReceiveRing& operator=(const XdpReceiveRing&) = delete;
    ~XdpReceiveRing() = default;

    bool has_packet() const noexcept { return receive_.any(); }

    /// As PacketReceiver::receive(); 0 as well if another thread is about it.
    std::uint32_t receive(std::span<const iovec> room) noexcept;

    /// Packets left out because they were too short to be of use.
    std::uint64_t runts() const noexcept { return runts_.load(std::memory_order_relaxed); }

private:
    std::uint32_t take(std::span<const iovec> room) noexcept;
    void give_back() noexcept;

    const Parts parts_;
    std::atomic<bool> taken_{false};  // by a thread, which has to itself what follows
    XdpConsumer<xdp_desc> receive_;
    XdpProducer<std::uint64_t> fill_;
    std::uint32_t held_ = 0;  // frames that the kernel does not know to have back
    std::atomic<std::uint64_t> runts_{0};
};

}  // namespace sidecore::network
