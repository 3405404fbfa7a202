// SPDX-License-Identifier: Apache-2.0
#include "network/packet_tools.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/epoll.h>

namespace sidecore::network::test {

namespace {

constexpr std::array<std::uint8_t, 14> own_header{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

/// Lengths of so many pieces of `bytes`.
std::vector<std::size_t> cut(std::size_t bytes, std::size_t pieces) {
    pieces = std::clamp<std::size_t>(pieces, 1, bytes);
    std::vector<std::size_t> lengths(pieces, bytes / pieces);
    lengths.back() += bytes % pieces;
    return lengths;
}

}  // namespace

Bytes make_packet(Random& random, std::size_t bytes) {
    Bytes packet(bytes);
    for (std::byte& one : packet) {
        one = static_cast<std::byte>(random());
    }
    std::memcpy(packet.data(), own_header.data(), own_header.size());
    return packet;
}

bool is_ours(std::span<const std::byte> packet) {
    return packet.size() >= own_header.size() && std::memcmp(packet.data(), own_header.data(), own_header.size()) == 0;
}

PacketBuffer::PacketBuffer(const Bytes& contents, std::size_t pieces, const PacketInfo& info)
    : info_(info), bytes_(static_cast<std::uint32_t>(contents.size())) {
    const std::byte* from = contents.data();
    for (const std::size_t length : cut(contents.size(), pieces)) {
        pieces_.push_back(std::make_unique<std::byte[]>(length));
        std::memcpy(pieces_.back().get(), from, length);
        data_.push_back({pieces_.back().get(), length});
        from += length;
    }
}

void PacketBuffer::spoil() {
    for (const iovec& piece : data_) {
        std::memset(piece.iov_base, 0xee, piece.iov_len);
    }
}

Room::Room(std::size_t pieces, std::size_t bytes) {
    for (const std::size_t length : cut(bytes, pieces)) {
        pieces_.push_back(std::make_unique<std::byte[]>(length));
        data_.push_back({pieces_.back().get(), length});
    }
}

Bytes Room::first(std::size_t bytes) const {
    Bytes out;
    for (const iovec& piece : data_) {
        const auto* begin = static_cast<const std::byte*>(piece.iov_base);
        out.insert(out.end(), begin, begin + std::min(piece.iov_len, bytes - out.size()));
    }
    return out;
}

EdgeWatch::EdgeWatch(int fd) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), 0);
}

bool EdgeWatch::signalled(int timeout_ms) {
    epoll_event event{};
    for (;;) {
        const int found = ::epoll_wait(epoll_.get(), &event, 1, timeout_ms);
        if (found >= 0 || errno != EINTR) {
            return found == 1;
        }
    }
}

}  // namespace sidecore::network::test
