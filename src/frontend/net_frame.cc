// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_frame.hh"

namespace sidecore::frontend {

namespace {

void append(std::vector<std::byte>& frame, std::span<const std::uint8_t> bytes) {
    for (const std::uint8_t byte : bytes) {
        frame.push_back(std::byte{byte});
    }
}

void append_big_endian(std::vector<std::byte>& frame, std::size_t value) {
    frame.push_back(static_cast<std::byte>(value >> 8U & 0xffU));
    frame.push_back(static_cast<std::byte>(value & 0xffU));
}

/// The checksum of RFC 1071 over an even number of bytes.
std::uint32_t internet_checksum(std::span<const std::byte> bytes) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        sum += std::to_integer<std::uint32_t>(bytes[i]) << 8U | std::to_integer<std::uint32_t>(bytes[i + 1]);
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return ~sum & 0xffffU;
}

}  // namespace

std::vector<std::byte> make_udp_frame(const NetRoute& route, std::span<const std::byte> payload) {
    constexpr std::size_t ethernet_bytes = 14;
    constexpr std::size_t ip_bytes = 20;
    constexpr std::size_t checksum_at = ethernet_bytes + 10;
    std::vector<std::byte> frame;
    frame.reserve(net_udp_header_bytes + payload.size());
    append(frame, route.destination_mac);
    append(frame, route.source_mac);
    append_big_endian(frame, 0x0800);

    append(frame, std::array<std::uint8_t, 2>{0x45, 0});  // version 4, five words
    append_big_endian(frame, ip_bytes + 8 + payload.size());
    append(frame, std::array<std::uint8_t, 8>{0, 0, 0x40, 0, 64, 17, 0, 0});  // do not fragment; 64 hops; UDP
    append(frame, route.source);
    append(frame, route.destination);
    const std::uint32_t checksum = internet_checksum(std::span(frame).subspan(ethernet_bytes));
    frame[checksum_at] = static_cast<std::byte>(checksum >> 8U);
    frame[checksum_at + 1] = static_cast<std::byte>(checksum & 0xffU);

    append_big_endian(frame, route.source_port);
    append_big_endian(frame, route.destination_port);
    append_big_endian(frame, 8 + payload.size());
    append_big_endian(frame, 0);
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
}

}  // namespace sidecore::frontend
