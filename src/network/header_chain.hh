// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sidecore::network {

inline constexpr std::uint16_t ether_type_offset = 12;
inline constexpr std::uint16_t ethernet_bytes = 14;
inline constexpr std::uint16_t vlan_tag_bytes = 4;
inline constexpr unsigned vlan_tags_max = 2;

inline constexpr std::uint16_t ether_type_ipv4 = 0x0800;
inline constexpr std::uint16_t ether_type_ipv6 = 0x86dd;
inline constexpr std::uint16_t ether_type_vlan = 0x8100;          // IEEE 802.1Q
inline constexpr std::uint16_t ether_type_service_vlan = 0x88a8;  // IEEE 802.1ad

inline constexpr std::uint8_t protocol_tcp = 6;
inline constexpr std::uint8_t protocol_udp = 17;
inline constexpr std::uint8_t protocol_ipv6_fragment = 44;

inline constexpr std::uint16_t ipv4_bytes_min = 20;
inline constexpr std::uint16_t ipv6_bytes = 40;
inline constexpr std::uint16_t udp_bytes = 8;
inline constexpr std::uint16_t tcp_bytes_min = 20;

/// How far a packet's headers could be followed.
enum class HeaderEnd : std::uint8_t {
    transport,    ///< to what IP carries: all below is set
    no_network,   ///< it is neither IPv4 nor IPv6: only what is about VLANs is set
    malformed,    ///< a length or version contradicts itself or the packet's end
    too_long,     ///< they go on behind the bytes that were looked at
    is_fragment,  ///< it is part of a datagram: what IP carries need not begin here
};

/// Where the headers of a packet are, in bytes from its beginning. Everything named is inside of the bytes that were looked at.
struct HeaderChain {
    HeaderEnd end = HeaderEnd::malformed;
    bool ipv6 = false;
    bool routed = false;        ///< IPv6: a routing header says that the destination in IP's header is not the last one
    std::uint8_t protocol = 0;  ///< that IP carries, behind IPv6's extension headers
    std::uint8_t vlan_tags = 0;          ///< 0 to vlan_tags_max
    std::uint16_t vlan = 0;              ///< number of the outer one: 0 to 4095; 0 without a tag
    std::uint16_t network_offset = 0;    ///< IP's header
    std::uint16_t transport_offset = 0;  ///< TCP's or UDP's header, or what else `protocol` says
    /// IPv6: where a fragment header belongs (RFC 8200, 4.5), and the field that says what follows there.
    std::uint16_t fragment_offset = 0;
    std::uint16_t next_header_offset = 0;
};

/// Follows the headers in `head`, the first bytes of a packet (a copy that nobody changes), which is `packet_bytes` long.
HeaderChain follow_headers(std::span<const std::byte> head, std::uint32_t packet_bytes) noexcept;

}  // namespace sidecore::network
