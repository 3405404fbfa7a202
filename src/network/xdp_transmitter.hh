// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <linux/if_xdp.h>
#include <span>
#include <vector>

#include "base/fd.hh"
#include "network/packet.hh"
#include "network/xdp_ring.hh"

namespace sidecore::network {

/// The transmitting half of an AF_XDP socket: frames that packets are copied into, the ring that hands them to the kernel, and the one that
/// they come back on.
///
/// Thread: send(), can_send() and arm() belong to one worker at a time; retry() to another thread, at the same time.
///
/// The kernel takes what is in the ring when it is told to, by a system call, and does not always take all of it: while the driver's own queue
/// is full it stops, and nothing says when to try again. So what it has left is the concern of retry(), as is who waits for frames.
class XdpTransmitter {
public:
    struct Parts {
        int fd = -1;                      ///< of the socket; outlives the transmitter, as all of this does
        std::span<std::byte> frames{};    ///< memory of the frames
        std::uint64_t first_address = 0;  ///< of `frames`, as the kernel counts them
        std::uint32_t frame_bytes = 0;    ///< a power of two
        XdpRingMemory transmit{};         ///< of twice as many entries as there are frames, or more
        XdpRingMemory completion{};
        bool zero_copy = false;  ///< the driver goes on by itself
        int retry_fd = -1;       ///< an eventfd: signalled when retry() has something to do
    };

    /// `room`: an eventfd.
    XdpTransmitter(const Parts& parts, Fd room);

    /// How many of `packets` it is done with, as PacketSender::send(). What cannot be sent is added to `dropped`; while the interface is down
    /// or gone that is everything.
    std::size_t send(std::span<const Packet> packets, std::uint64_t& dropped) noexcept;

    bool can_send() noexcept;
    int room_fd() const noexcept { return room_.get(); }
    bool arm() noexcept;

    /// Goes on with what the kernel has left, and tells who waits for room that there is some. True: it has to be called again.
    bool retry() noexcept;

    /// Of one packet.
    std::uint32_t longest() const noexcept { return longest_; }

private:
    enum class Kick : std::uint8_t {
        done,
        again,     // something may be left
        lost_one,  // the driver has dropped one: the cable is out, say
        down,      // the interface is, or is gone
    };

    Kick kick() noexcept;
    Kick drive() noexcept;
    void push() noexcept;
    void collect() noexcept;
    void put(const Packet& packet) noexcept;
    bool sendable(const Packet& packet) const noexcept;

    const Parts parts_;
    const std::uint32_t longest_;
    const Fd room_;
    XdpProducer<xdp_desc> transmit_;
    XdpConsumer<std::uint64_t> completion_;
    std::vector<std::uint64_t> free_;  // addresses of frames
    std::atomic<bool> down_{false};    // the last time that the kernel was told, the interface could not send
    std::atomic<bool> unsent_{false};  // the kernel has left something
    std::atomic<bool> waiting_{false};
};

}  // namespace sidecore::network
