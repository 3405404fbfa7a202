// SPDX-License-Identifier: Apache-2.0
#include "network/packet.hh"

#include <algorithm>

namespace sidecore::network {

namespace {

/// Ethernet, two VLAN tags, IP with options or extension headers, TCP with options: more than that is a lie, with which one guest could use up
/// what another may receive.
constexpr std::uint32_t longest_headers = 256;

/// What each segment repeats at least: all before TCP's or UDP's header, and that as well where segments have one of their own.
std::uint32_t shortest_headers(const PacketInfo& info) noexcept {
    constexpr std::uint32_t tcp_bytes = 20;
    constexpr std::uint32_t udp_bytes = 8;
    switch (info.gso_type & ~unsigned{PacketInfo::gso_ecn}) {
        case PacketInfo::gso_tcp4:
        case PacketInfo::gso_tcp6:
            return info.checksum_start + tcp_bytes;
        case PacketInfo::gso_udp_l4:
            return info.checksum_start + udp_bytes;
        default:
            return info.checksum_start;
    }
}

}  // namespace

WireLoad wire_load(const PacketInfo& info, std::uint32_t bytes) noexcept {
    if (!info.segmented()) {
        return {bytes, 1};
    }
    const std::uint32_t headers =
        std::min({std::max<std::uint32_t>(info.header_bytes, shortest_headers(info)), longest_headers, bytes});
    const std::uint64_t payload = bytes - headers;
    const std::uint64_t segments = std::max<std::uint64_t>((payload + info.segment_bytes - 1) / info.segment_bytes, 1);
    return {payload + segments * headers, segments};
}

InfoFault check(const PacketInfo& info, std::uint32_t bytes) noexcept {
    constexpr unsigned known_flags = PacketInfo::flag_needs_checksum | PacketInfo::flag_data_valid;
    if ((info.flags & ~known_flags) != 0) {
        return InfoFault::unknown_flags;
    }
    constexpr std::uint32_t checksum_bytes = 2;
    if (info.needs_checksum() && std::uint32_t{info.checksum_start} + info.checksum_offset + checksum_bytes > bytes) {
        return InfoFault::checksum_outside;
    }
    switch (info.gso_type & ~unsigned{PacketInfo::gso_ecn}) {
        case PacketInfo::gso_none:
            return info.gso_type == PacketInfo::gso_none ? InfoFault::none : InfoFault::unknown_gso;
        case PacketInfo::gso_tcp4:
        case PacketInfo::gso_tcp6:
            break;
        case PacketInfo::gso_udp:
        case PacketInfo::gso_udp_l4:
            if ((info.gso_type & PacketInfo::gso_ecn) != 0) {
                return InfoFault::unknown_gso;
            }
            break;
        default:
            return InfoFault::unknown_gso;
    }
    if (info.segment_bytes == 0) {
        return InfoFault::no_segment_size;
    }
    return info.needs_checksum() ? InfoFault::none : InfoFault::no_checksum;
}

}  // namespace sidecore::network
