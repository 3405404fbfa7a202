// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_receive_ring.hh"

#include <algorithm>
#include <cstring>
#include <sys/socket.h>

#include "network/packet.hh"

namespace sidecore::network {

namespace {

/// Frames that go back together.
constexpr std::uint32_t held_max = 32;

/// Packets that receive() may drop before it says that there is none.
constexpr int runts_at_once_max = 64;

void scatter_frame(std::span<const std::byte> frame, std::span<const iovec> room) noexcept {
    for (const iovec& piece : room) {
        const std::size_t length = std::min(piece.iov_len, frame.size());
        std::memcpy(piece.iov_base, frame.data(), length);
        frame = frame.subspan(length);
        if (frame.empty()) {
            return;
        }
    }
}

}  // namespace

XdpReceiveRing::XdpReceiveRing(const Parts& parts) noexcept
    : parts_(parts), receive_(parts.receive), fill_(parts.fill) {
    for (std::size_t at = 0; at < parts.frames.size(); at += parts.frame_bytes) {
        fill_.put(parts.first_address + at);
    }
    fill_.publish();
}

std::uint32_t XdpReceiveRing::receive(std::span<const iovec> room) noexcept {
    if (taken_.exchange(true, std::memory_order_acquire)) {
        return 0;
    }
    const std::uint32_t bytes = take(room);
    taken_.store(false, std::memory_order_release);
    return bytes;
}

std::uint32_t XdpReceiveRing::take(std::span<const iovec> room) noexcept {
    for (int runts = 0; runts < runts_at_once_max && receive_.available(); ++runts) {
        const xdp_desc packet = receive_.take();
        const bool good = packet.len >= min_packet_bytes;
        if (good) {
            scatter_frame(parts_.frames.subspan(packet.addr - parts_.first_address, packet.len), room);
        } else {
            runts_.fetch_add(1, std::memory_order_relaxed);
        }
        fill_.put(packet.addr & ~(std::uint64_t{parts_.frame_bytes} - 1));
        if (++held_ == held_max || receive_.used_up()) {
            give_back();
        }
        if (good) {
            return packet.len;
        }
    }
    return 0;
}

void XdpReceiveRing::give_back() noexcept {
    held_ = 0;
    fill_.publish();
    receive_.publish();
    if (fill_.needs_wakeup()) {
        ::recvfrom(parts_.fd, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    }
}

}  // namespace sidecore::network
