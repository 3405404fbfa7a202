// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_transmitter.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <utility>

#include "network/piece_cursor.hh"

namespace sidecore::network {

namespace {

/// Ethernet's shortest frame without its checksum. Drivers fill up what the network stack sends, but not all of them what comes from here, and
/// some cards stop at a frame that is too short.
constexpr std::uint32_t shortest_frame_bytes = 60;

/// System calls for one batch: without zero-copy the kernel takes 32 packets in one.
constexpr int kicks_max = 64;

}  // namespace

XdpTransmitter::XdpTransmitter(const Parts& parts, Fd room)
    : parts_(parts),
      longest_(parts.frame_bytes - XDP_PACKET_HEADROOM),
      room_(std::move(room)),
      transmit_(parts.transmit),
      completion_(parts.completion) {
    const std::size_t count = parts.frames.size() / parts.frame_bytes;
    free_.reserve(count);
    for (std::size_t frame = count; frame-- != 0;) {
        free_.push_back(parts.first_address + frame * parts.frame_bytes);
    }
}

std::size_t XdpTransmitter::send(std::span<const Packet> packets, std::uint64_t& dropped) noexcept {
    if (down_.load(std::memory_order_relaxed)) {
        if (kick() == Kick::down) {
            dropped += packets.size();
            return packets.size();
        }
        down_.store(false, std::memory_order_relaxed);
    }
    collect();
    std::size_t done = 0;
    const std::size_t free_before = free_.size();
    for (; done < packets.size(); ++done) {
        if (!sendable(packets[done])) {
            ++dropped;
        } else if (!free_.empty()) {
            put(packets[done]);
        } else {
            break;
        }
    }
    if (free_.size() != free_before) {
        push();
    }
    if (done == packets.size()) {
        waiting_.store(false, std::memory_order_relaxed);
    }
    return done;
}

bool XdpTransmitter::sendable(const Packet& packet) const noexcept {
    return packet.bytes >= min_packet_bytes && packet.bytes <= longest_ && !packet.info.needs_checksum() &&
           !packet.info.segmented();
}

void XdpTransmitter::put(const Packet& packet) noexcept {
    const std::uint64_t address = free_.back();
    free_.pop_back();
    std::byte* const frame = parts_.frames.data() + (address - parts_.first_address);
    PieceCursor(packet.data).copy({frame, packet.bytes});
    std::uint32_t bytes = packet.bytes;
    if (bytes < shortest_frame_bytes) {
        std::memset(frame + bytes, 0, shortest_frame_bytes - bytes);
        bytes = shortest_frame_bytes;
    }
    transmit_.put({address, bytes, 0});
}

/// Shows the kernel what is in the ring.
void XdpTransmitter::push() noexcept {
    transmit_.publish();
    if (!transmit_.needs_wakeup()) {
        return;
    }
    if (drive() == Kick::down) {
        down_.store(true, std::memory_order_relaxed);
    } else if (!parts_.zero_copy && !transmit_.drained()) {
        unsent_.store(true, std::memory_order_release);
        signal_eventfd(parts_.retry_fd);  // nobody may ever call send() again
    }
}

/// Tells the kernel to take what is in the ring. Without zero-copy it does so here and now, as long as it can.
XdpTransmitter::Kick XdpTransmitter::drive() noexcept {
    Kick result = Kick::done;
    for (int kicks = 0; kicks < kicks_max; ++kicks) {
        const std::uint32_t taken = transmit_.taken();
        result = kick();
        const bool moved = result == Kick::lost_one || transmit_.taken() != taken;
        if (result == Kick::down || parts_.zero_copy || transmit_.drained() || !moved) {
            break;
        }
    }
    return result;
}

XdpTransmitter::Kick XdpTransmitter::kick() noexcept {
    if (::sendto(parts_.fd, nullptr, 0, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0) >= 0) {
        return Kick::done;
    }
    switch (errno) {
        case EBUSY:
            return Kick::lost_one;
        case EAGAIN:  // more than it takes at once, or the driver's queue is full
        case ENOBUFS:
        case ENOMEM:
        case EINTR:
            return Kick::again;
        default:
            return Kick::down;
    }
}

void XdpTransmitter::collect() noexcept {
    if (!completion_.available()) {
        return;
    }
    do {
        free_.push_back(completion_.take());
    } while (completion_.available());
    completion_.publish();
}

bool XdpTransmitter::can_send() noexcept {
    return !free_.empty() || completion_.any() || down_.load(std::memory_order_relaxed);
}

bool XdpTransmitter::arm() noexcept {
    waiting_.store(true, std::memory_order_release);
    if (can_send()) {
        waiting_.store(false, std::memory_order_relaxed);
        return false;
    }
    signal_eventfd(parts_.retry_fd);
    return true;
}

bool XdpTransmitter::retry() noexcept {
    // First of all, so that what send() leaves from now on is not forgotten.
    const bool unsent = unsent_.exchange(false, std::memory_order_acq_rel);
    const bool waiting = waiting_.load(std::memory_order_acquire);
    if (!unsent && !waiting) {
        return false;
    }
    const bool down = drive() == Kick::down;
    down_.store(down, std::memory_order_relaxed);
    bool owed = false;
    if (unsent && !down && !transmit_.drained()) {
        unsent_.store(true, std::memory_order_release);
        owed = true;
    }
    if (waiting) {
        if (!down && !completion_.any()) {
            owed = true;
        } else if (waiting_.exchange(false, std::memory_order_acq_rel)) {
            signal_eventfd(room_.get());
        }
    }
    return owed;
}

}  // namespace sidecore::network
