// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sidecore::frontend {

using MacAddress = std::array<std::uint8_t, 6>;
using Ipv4Address = std::array<std::uint8_t, 4>;

/// From where to where a frame goes; the defaults are a locally administered address and addresses of TEST-NET-1.
struct NetRoute {
    MacAddress source_mac{0x02, 0, 0, 0, 0, 1};
    MacAddress destination_mac{0x02, 0, 0, 0, 0, 2};
    Ipv4Address source{192, 0, 2, 1};
    Ipv4Address destination{192, 0, 2, 2};
    std::uint16_t source_port = 4711;
    std::uint16_t destination_port = 7;
};

inline constexpr std::size_t net_udp_header_bytes = 14 + 20 + 8;  ///< Ethernet, IPv4, UDP

/// An Ethernet frame with an IPv4 UDP datagram, at most 65507 bytes of payload. The UDP checksum is 0, "none", so that the payload may be
/// changed afterwards.
std::vector<std::byte> make_udp_frame(const NetRoute& route, std::span<const std::byte> payload);

}  // namespace sidecore::frontend
