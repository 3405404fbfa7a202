// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

#include "base/prefetch.hh"

namespace sidecore::network {

/// Longest packet, from its Ethernet header on: what 16 bits of IP length, an Ethernet header and two VLAN tags make.
inline constexpr std::uint32_t max_packet_bytes = 65535 + 14 + 8;

/// Shortest: an Ethernet header.
inline constexpr std::uint32_t min_packet_bytes = 14;

/// What a packet asks for or promises beyond its bytes: struct virtio_net_hdr (VIRTIO 1.3, 5.1.6) without num_buffers, in the host's
/// byte order. Whoever fills one in from a guest's memory has it checked by check() before anybody relies on it.
struct PacketInfo {
    static constexpr std::uint8_t flag_needs_checksum =
        1;  ///< the checksum at checksum_start + checksum_offset is a partial one
    static constexpr std::uint8_t flag_data_valid = 2;  ///< its checksums have been verified

    static constexpr std::uint8_t gso_none = 0;
    static constexpr std::uint8_t gso_tcp4 = 1;
    static constexpr std::uint8_t gso_udp = 3;  ///< IP fragmentation (UFO)
    static constexpr std::uint8_t gso_tcp6 = 4;
    static constexpr std::uint8_t gso_udp_l4 = 5;  ///< datagrams of their own (USO)
    static constexpr std::uint8_t gso_ecn = 0x80;  ///< added: the TCP header has CWR set

    std::uint8_t flags = 0;
    std::uint8_t gso_type = gso_none;
    std::uint16_t header_bytes = 0;   ///< hdr_len: a hint
    std::uint16_t segment_bytes = 0;  ///< gso_size: payload of each segment
    std::uint16_t checksum_start = 0;
    std::uint16_t checksum_offset = 0;

    bool needs_checksum() const noexcept { return (flags & flag_needs_checksum) != 0; }
    bool segmented() const noexcept { return gso_type != gso_none; }

    friend bool operator==(const PacketInfo&, const PacketInfo&) = default;
};

/// A packet of somebody else's memory, from its Ethernet header on. The memory may be a guest's, which can change it at any time:
/// what is decided upon is copied first.
struct Packet {
    PacketInfo info;
    std::span<const iovec> data;  ///< no empty pieces
    std::uint32_t bytes = 0;      ///< of all pieces: min_packet_bytes to max_packet_bytes
};

/// For whoever looks at packets[0], packets[1] and so on: asks the CPU for the first line of the one that comes up in a while, or at the first of them
/// of all until then, as they are often on the guest's CPU. Only for those who look: a guest that writes to its frames pays for giving them away.
inline void prefetch_ahead(std::span<const Packet> packets, std::size_t now) noexcept {
    constexpr std::size_t distance = 8;
    const std::size_t end = std::min(now + distance + 1, packets.size());
    for (std::size_t i = now == 0 ? 0 : now + distance; i < end; ++i) {
        if (!packets[i].data.empty()) {
            prefetch_for_reading(packets[i].data.front().iov_base);
        }
    }
}

/// What a packet is on a wire: frames, and their bytes from the Ethernet header on, without padding and checksum.
struct WireLoad {
    std::uint64_t bytes = 0;
    std::uint64_t packets = 1;
};

/// Of a packet of `bytes` whose info check() has nothing against. One that is not cut into segments yet counts as all of them, each with the
/// headers. Those are not looked at: they are as long as hdr_len says, but not shorter than they can be and not longer than they ever are.
WireLoad wire_load(const PacketInfo& info, std::uint32_t bytes) noexcept;

/// Work on packets that may be left to whoever gets them.
struct Offloads {
    bool checksum = false;  ///< takes packets that need a checksum; all below need this
    bool tso4 = false;      ///< takes TCP over IPv4 that is not cut into segments
    bool tso6 = false;
    bool ecn = false;  ///< ... with CWR set
    bool ufo = false;  ///< takes UDP that is to be fragmented
    bool uso = false;  ///< takes UDP that is to be cut into datagrams

    friend bool operator==(const Offloads&, const Offloads&) = default;
};

/// Why a PacketInfo cannot be true of a packet.
enum class InfoFault : std::uint8_t {
    none,
    unknown_flags,     ///< bits that nobody has defined
    checksum_outside,  ///< the checksum lies beyond the packet's end
    unknown_gso,       ///< a kind that nobody has defined
    no_segment_size,   ///< segments of no bytes
    no_checksum,       ///< segmentation without flag_needs_checksum
};

/// Whether `info` can be true of a packet of `bytes`: the arithmetic only, not what the headers inside say.
InfoFault check(const PacketInfo& info, std::uint32_t bytes) noexcept;

}  // namespace sidecore::network
