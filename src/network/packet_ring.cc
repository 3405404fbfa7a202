// SPDX-License-Identifier: Apache-2.0
#include "network/packet_ring.hh"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <new>

#include "base/barrier.hh"
#include "base/format.hh"

namespace sidecore::network {

Result<std::unique_ptr<PacketRing>> PacketRing::create(std::size_t bytes) {
    static_assert(bytes_min >= 2 * (max_packet_bytes + granule_bytes));
    if (bytes < bytes_min || bytes > bytes_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a ring of packets has {} to {} bytes, not {}", bytes_min, bytes_max, bytes));
    }
    SIDECORE_TRY_ASSIGN(auto packet_event, make_eventfd());
    SIDECORE_TRY_ASSIGN(auto room_event, make_eventfd());
    return std::unique_ptr<PacketRing>(
        new PacketRing(std::bit_ceil(bytes) / granule_bytes, std::move(packet_event), std::move(room_event)));
}

PacketRing::PacketRing(std::size_t granules, Fd packet_event, Fd room_event)
    : mask_(granules - 1),
      slots_(std::make_unique<Slot[]>(granules)),
      data_(new (std::align_val_t{granule_bytes}) std::byte[granules * granule_bytes]),
      packet_event_(std::move(packet_event)),
      room_event_(std::move(room_event)) {}

std::size_t PacketRing::push(std::span<const Packet> packets) noexcept {
    std::size_t count = 0;
    while (count < packets.size() && put(packets[count])) {
        ++count;
    }
    if (count != 0) {
        // Pairs with the one in arm(): without both, the consumer could miss these packets and we its wish, and it would sleep on them.
        store_load_barrier();
        if (packet_wanted_.load(std::memory_order_relaxed) &&
            packet_wanted_.exchange(false, std::memory_order_relaxed)) {
            signal_eventfd(packet_event_.get());
        }
    }
    return count;
}

bool PacketRing::put(const Packet& packet) noexcept {
    assert(packet.bytes != 0 && packet.bytes <= max_packet_bytes);
    const std::uint64_t needed = granules_of(packet.bytes);
    // In this order, so that reserved is never behind consumed. The acquire pairs with the release in pop(): what the consumer has read
    // there it has read before we write.
    std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    std::uint64_t reserved = reserved_.load(std::memory_order_relaxed);
    do {  // lock-free: it fails only because another producer has succeeded
        if (reserved + needed - consumed > mask_ + 1) {
            consumed = consumed_.load(std::memory_order_acquire);
            // Other producers and the consumer may both have gone beyond the `reserved` that we know: then it is no longer true.
            const auto used = static_cast<std::int64_t>(reserved + needed - consumed);
            if (used > static_cast<std::int64_t>(mask_ + 1)) {
                return false;
            }
        }
    } while (!reserved_.compare_exchange_weak(reserved, reserved + needed, std::memory_order_relaxed));

    copy_in(reserved, packet);
    Slot& slot = slots_[index(reserved)];
    slot.info = packet.info;
    slot.bytes.store(packet.bytes, std::memory_order_release);
    return true;
}

void PacketRing::copy_in(std::uint64_t granule, const Packet& packet) noexcept {
    const std::size_t size = (mask_ + 1) * granule_bytes;
    std::size_t at = index(granule) * granule_bytes;
    std::size_t left = packet.bytes;
    for (const iovec& piece : packet.data) {
        const std::size_t length = std::min(piece.iov_len, left);
        const std::size_t before_end = std::min(length, size - at);
        const auto* from = static_cast<const std::byte*>(piece.iov_base);
        std::memcpy(data_.get() + at, from, before_end);
        if (before_end != length) {
            std::memcpy(data_.get(), from + before_end, length - before_end);
        }
        at = (at + length) & (size - 1);
        left -= length;
    }
    assert(left == 0);
}

bool PacketRing::has_room() const noexcept {
    const std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    const std::uint64_t reserved = reserved_.load(std::memory_order_relaxed);
    return reserved - consumed + granules_of(max_packet_bytes) <= mask_ + 1;
}

std::uint32_t PacketRing::pop(PacketInfo& info, std::span<const iovec> room) noexcept {
    const std::uint64_t consumed = consumed_.load(std::memory_order_relaxed);
    Slot& slot = slots_[index(consumed)];
    const std::uint32_t bytes = slot.bytes.load(std::memory_order_acquire);
    if (bytes == 0) {
        return 0;
    }
    info = slot.info;
    const std::size_t size = (mask_ + 1) * granule_bytes;
    std::size_t at = index(consumed) * granule_bytes;
    std::size_t left = bytes;
    for (const iovec& piece : room) {
        const std::size_t length = std::min(piece.iov_len, left);
        const std::size_t before_end = std::min(length, size - at);
        auto* to = static_cast<std::byte*>(piece.iov_base);
        std::memcpy(to, data_.get() + at, before_end);
        if (before_end != length) {
            std::memcpy(to + before_end, data_.get(), length - before_end);
        }
        at = (at + length) & (size - 1);
        left -= length;
        if (left == 0) {
            break;
        }
    }
    assert(left == 0);
    slot.bytes.store(0, std::memory_order_relaxed);
    consumed_.store(consumed + granules_of(bytes), std::memory_order_release);
    return bytes;
}

bool PacketRing::arm() noexcept {
    packet_wanted_.store(true, std::memory_order_relaxed);
    // Pairs with the one in push().
    store_load_barrier();
    if (empty()) {
        return true;
    }
    disarm();
    return false;
}

bool PacketRing::arm_room() noexcept {
    room_wanted_.store(true, std::memory_order_relaxed);
    // Pairs with the one in signal_room().
    store_load_barrier();
    return !has_room();
}

void PacketRing::signal_room() noexcept {
    // Pairs with the one in arm_room(): without both, a producer could miss the room and we its wish, and it would sleep on it.
    store_load_barrier();
    if (room_wanted_.load(std::memory_order_relaxed) && has_room() &&
        room_wanted_.exchange(false, std::memory_order_relaxed)) {
        signal_eventfd(room_event_.get());
    }
}

}  // namespace sidecore::network
