// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "network/packet.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {

using Mac = std::array<std::uint8_t, 6>;

/// 02:00:00:00:00:<number>, with the number's upper bytes before it.
Mac station(std::uint32_t number);

inline constexpr Mac everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/// What a driver hands to a device: headers with lengths and a partial checksum, and a payload.
struct FrameSpec {
    Mac to = station(1);
    Mac from = station(2);
    std::vector<std::uint16_t> vlans{};  ///< outermost first; tag control information
    bool ipv6 = false;
    bool tcp = true;
    std::uint8_t network_option_words = 0;   ///< IPv4: of 4 bytes, up to 10
    std::vector<std::uint8_t> extensions{};  ///< IPv6: protocol numbers of headers, of 8 bytes each
    std::uint8_t tcp_option_words = 0;       ///< up to 10
    std::uint8_t tcp_flags = 0x10;
    std::uint32_t sequence = 0x01020304;
    std::uint16_t identification = 0xfffe;
    std::uint16_t source_port = 4711;
    std::uint16_t destination_port = 80;
    std::uint8_t host = 1;  ///< last byte of the sender's IP address
    std::size_t payload_bytes = 100;
};

struct Frame {
    Bytes bytes;
    std::size_t network_offset = 0;
    std::size_t transport_offset = 0;
    std::size_t payload_offset = 0;
    PacketInfo info;  ///< asks for a checksum, and says what is to be asked for segments but gso_type and segment_bytes
};

Frame make_frame(const FrameSpec& spec, std::uint64_t seed = 1);

/// What a receiver makes of a packet: a reading of the RFCs that knows nothing of the one that is tested.
struct ReadPacket {
    std::string wrong{};  ///< what no receiver would stand; empty if nothing
    Bytes link{};         ///< Ethernet header and VLAN tags
    Bytes network{};      ///< IP header, with extension headers but without a fragment header
    bool ipv6 = false;
    std::uint8_t protocol = 0;
    std::uint16_t identification = 0;  ///< IPv4
    bool fragment = false;
    std::uint32_t fragment_identification = 0;
    std::size_t fragment_offset = 0;
    bool more_fragments = false;
    Bytes carried{};    ///< all behind IP's headers
    Bytes transport{};  ///< header of TCP or UDP, unless it is a fragment
    Bytes payload{};
    bool transport_checksum_right = false;
};

/// `info`: a checksum that is still to be completed is, first.
ReadPacket read_packet(const Bytes& original, const PacketInfo& info = {});

/// The Internet checksum of bytes, two at a time.
std::uint16_t simple_checksum(const Bytes& bytes);

/// Whether a TCP segment or UDP datagram, `carried` by an IP header, has the right checksum.
bool transport_checksum_right(const Bytes& network, std::uint8_t protocol, const Bytes& carried);

std::uint32_t number_at(const Bytes& bytes, std::size_t offset, std::size_t length);
void set_number(Bytes& bytes, std::size_t offset, std::size_t length, std::uint32_t value);
Bytes part(const Bytes& bytes, std::size_t from, std::size_t to);

/// The bytes of a packet in memory.
Bytes bytes_of(const Packet& packet);

}  // namespace sidecore::network::test
