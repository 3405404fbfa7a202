// SPDX-License-Identifier: Apache-2.0
#include "network/tap_queue.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <utility>

#include "base/little_endian.hh"

namespace sidecore::network {

namespace {

/// VIRTIO 1.3, 5.1.6, struct virtio_net_hdr up to csum_offset.
struct TapHeader {
    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    LittleEndian<std::uint16_t> header_bytes;
    LittleEndian<std::uint16_t> segment_bytes;
    LittleEndian<std::uint16_t> checksum_start;
    LittleEndian<std::uint16_t> checksum_offset;
};
static_assert(sizeof(TapHeader) == tap_header_bytes);

/// Packets that receive() may drop before it says that there is none.
constexpr int drops_at_once_max = 64;

short events_of(int fd, short wanted) noexcept {
    pollfd entry{fd, wanted, 0};
    return ::poll(&entry, 1, 0) == 1 ? entry.revents : short{0};
}

}  // namespace

Result<std::unique_ptr<TapSender>> TapSender::create(int fd) {
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLONESHOT;
    if (!epoll || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        return failure_from_errno("making an epoll for a tap's queue");
    }
    return std::unique_ptr<TapSender>(new TapSender(fd, std::move(epoll)));
}

TapSender::TapSender(int fd, Fd room_epoll)
    : fd_(fd), room_epoll_(std::move(room_epoll)), bounce_(std::make_unique<std::byte[]>(max_packet_bytes)) {}

std::size_t TapSender::send(std::span<const Packet> packets) noexcept {
    std::size_t done = 0;
    while (done < packets.size() && send_one(packets[done]) == Outcome::done) {
        ++done;
    }
    if (armed_ && done == packets.size()) {
        watch(0);
    }
    return done;
}

TapSender::Outcome TapSender::send_one(const Packet& packet) noexcept {
    bool sent = false;
    if (packet.bytes >= min_packet_bytes && packet.bytes <= max_packet_bytes) {
        TapHeader header;
        header.flags = packet.info.flags;
        header.gso_type = packet.info.gso_type;
        // A hint that the kernel takes seriously: it refuses a packet that is shorter.
        header.header_bytes =
            static_cast<std::uint16_t>(std::min<std::uint32_t>(packet.info.header_bytes, packet.bytes));
        header.segment_bytes = packet.info.segment_bytes;
        header.checksum_start = packet.info.checksum_start;
        header.checksum_offset = packet.info.checksum_offset;
        pieces_[0] = {&header, sizeof header};
        const std::size_t count = gather(packet);
        sent = ::writev(fd_, pieces_.data(), static_cast<int>(count)) >= 0;
        if (!sent && (errno == EAGAIN || errno == EINTR)) {
            return Outcome::no_room;
        }
    }
    if (!sent) {
        dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    return Outcome::done;
}

/// The packet's pieces behind the header's; how many they are with it.
std::size_t TapSender::gather(const Packet& packet) noexcept {
    if (packet.data.size() <= tap_pieces_max) {
        std::copy(packet.data.begin(), packet.data.end(), pieces_.begin() + 1);
        return 1 + packet.data.size();
    }
    std::size_t at = 0;
    for (const iovec& piece : packet.data) {
        const std::size_t length = std::min<std::size_t>(piece.iov_len, packet.bytes - at);
        std::memcpy(bounce_.get() + at, piece.iov_base, length);
        at += length;
    }
    pieces_[1] = {bounce_.get(), at};
    return 2;
}

bool TapSender::can_send() noexcept {
    return events_of(fd_, POLLOUT) != 0;  // with POLLERR, too: then send() drops, and nothing waits
}

bool TapSender::arm() noexcept {
    watch(EPOLLOUT);
    if (!can_send()) {
        return true;
    }
    watch(0);
    return false;
}

void TapSender::watch(std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events | EPOLLONESHOT;
    ::epoll_ctl(room_epoll_.get(), EPOLL_CTL_MOD, fd_, &event);
    armed_ = events != 0;
}

TapReceiver::TapReceiver(int fd, const Coverage& accepted)
    : fd_(fd), accepted_(accepted), bounce_(std::make_unique<std::byte[]>(max_packet_bytes)) {}

bool TapReceiver::has_packet() noexcept {
    // Not POLLERR: of an interface that is gone nothing ever comes.
    return (events_of(fd_, POLLIN) & POLLIN) != 0;
}

std::uint32_t TapReceiver::receive(PacketInfo& info, std::span<const iovec> room) noexcept {
    TapHeader header;
    pieces_[0] = {&header, sizeof header};
    const bool direct = room.size() <= tap_pieces_max;
    std::size_t count = 1;
    if (direct) {
        std::copy(room.begin(), room.end(), pieces_.begin() + 1);
        count += room.size();
    } else {
        pieces_[1] = {bounce_.get(), max_packet_bytes};
        ++count;
    }
    for (int drops = 0; drops < drops_at_once_max; ++drops) {
        const ssize_t result = ::readv(fd_, pieces_.data(), static_cast<int>(count));
        if (result < 0) {
            return 0;
        }
        // No flags but those that PacketInfo has: more may come to mean something one day.
        constexpr unsigned known_flags = PacketInfo::flag_needs_checksum | PacketInfo::flag_data_valid;
        info.flags = static_cast<std::uint8_t>(header.flags & known_flags);
        info.gso_type = header.gso_type;
        info.header_bytes = header.header_bytes;
        info.segment_bytes = header.segment_bytes;
        info.checksum_start = header.checksum_start;
        info.checksum_offset = header.checksum_offset;
        if (!info.needs_checksum() && !accepted_.covers(info)) {
            info.flags = 0;  // it need not know that the checksums have been verified
        }
        const ssize_t bytes = result - tap_header_bytes;
        if (bytes >= ssize_t{min_packet_bytes} && bytes <= ssize_t{max_packet_bytes} && accepted_.covers(info)) {
            if (!direct) {
                scatter(static_cast<std::uint32_t>(bytes), room);
            }
            return static_cast<std::uint32_t>(bytes);
        }
        dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    return 0;
}

void TapReceiver::scatter(std::uint32_t bytes, std::span<const iovec> room) const noexcept {
    std::size_t at = 0;
    for (const iovec& piece : room) {
        const std::size_t length = std::min<std::size_t>(piece.iov_len, bytes - at);
        std::memcpy(piece.iov_base, bounce_.get() + at, length);
        at += length;
        if (at == bytes) {
            return;
        }
    }
}

Result<void> write_to_tap(int fd, std::span<const std::byte> packet) {
    TapHeader header;
    // writev() only reads what the pieces point to.
    const std::array<iovec, 2> pieces{
        {{&header, sizeof header}, {const_cast<std::byte*>(packet.data()), packet.size()}}};
    if (::writev(fd, pieces.data(), static_cast<int>(pieces.size())) < 0) {
        return failure_from_errno("writing a packet to a tap interface");
    }
    return {};
}

}  // namespace sidecore::network
