// SPDX-License-Identifier: Apache-2.0
#include "network/frames.hh"

#include <algorithm>

namespace sidecore::network::test {

namespace {

constexpr std::uint8_t tcp_number = 6;
constexpr std::uint8_t udp_number = 17;

void put(Bytes& to, std::size_t length, std::uint32_t value) {
    to.resize(to.size() + length);
    set_number(to, to.size() - length, length, value);
}

Bytes pseudo_header(const Bytes& network, std::uint8_t protocol, std::size_t length) {
    const bool ipv6 = number_at(network, 0, 1) >> 4U == 6;
    Bytes out = ipv6 ? part(network, 8, 40) : part(network, 12, 20);
    put(out, 4, static_cast<std::uint32_t>(length));
    put(out, 4, protocol);
    return out;
}

void put_ipv4(Bytes& to, const FrameSpec& spec, std::uint8_t protocol, std::size_t carried) {
    const std::size_t words = 5U + spec.network_option_words;
    Bytes header;
    put(header, 1, static_cast<std::uint32_t>(0x40 + words));
    put(header, 1, 0);
    put(header, 2, static_cast<std::uint32_t>(words * 4 + carried));
    put(header, 2, spec.identification);
    put(header, 2, 0x4000);
    put(header, 1, 64);
    put(header, 1, protocol);
    put(header, 2, 0);
    put(header, 4, 0x0a000000U + spec.host);
    put(header, 4, 0x0a0000feU);
    for (std::size_t word = 5; word < words; ++word) {
        put(header, 4, 0x01010101);
    }
    set_number(header, 10, 2, simple_checksum(header));
    to.insert(to.end(), header.begin(), header.end());
}

void put_ipv6(Bytes& to, const FrameSpec& spec, std::uint8_t protocol, std::size_t carried) {
    put(to, 4, 0x60012345);
    put(to, 2, static_cast<std::uint32_t>(spec.extensions.size() * 8 + carried));
    put(to, 1, spec.extensions.empty() ? protocol : spec.extensions.front());
    put(to, 1, 64);
    for (const std::uint8_t last : {spec.host, std::uint8_t{0xfe}}) {
        put(to, 4, 0xfd000000);
        put(to, 4, 0);
        put(to, 4, 0);
        put(to, 4, last);
    }
    for (std::size_t i = 0; i < spec.extensions.size(); ++i) {
        put(to, 1, i + 1 == spec.extensions.size() ? protocol : spec.extensions[i + 1]);
        put(to, 1, 0);
        put(to, 2, 0x0400);  // PadN; of a routing header: a type of its own, used up
        put(to, 4, 0);
    }
}

void put_transport(Bytes& to, const FrameSpec& spec) {
    put(to, 2, spec.source_port);
    put(to, 2, spec.destination_port);
    if (!spec.tcp) {
        put(to, 2, static_cast<std::uint32_t>(8 + spec.payload_bytes));
        put(to, 2, 0);
        return;
    }
    put(to, 4, spec.sequence);
    put(to, 4, 0x0a0b0c0d);
    put(to, 1, static_cast<std::uint32_t>((5U + spec.tcp_option_words) << 4U));
    put(to, 1, spec.tcp_flags);
    put(to, 2, 512);
    put(to, 4, 0);
    for (unsigned word = 0; word < spec.tcp_option_words; ++word) {
        put(to, 4, 0x01010101);
    }
}

}  // namespace

Mac station(std::uint32_t number) {
    return {2,
            0,
            static_cast<std::uint8_t>(number >> 24U),
            static_cast<std::uint8_t>(number >> 16U),
            static_cast<std::uint8_t>(number >> 8U),
            static_cast<std::uint8_t>(number)};
}

std::uint32_t number_at(const Bytes& bytes, std::size_t offset, std::size_t length) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < length; ++i) {
        value = value << 8U | std::to_integer<std::uint32_t>(bytes.at(offset + i));
    }
    return value;
}

void set_number(Bytes& bytes, std::size_t offset, std::size_t length, std::uint32_t value) {
    for (std::size_t i = length; i-- > 0; value >>= 8U) {
        bytes.at(offset + i) = static_cast<std::byte>(value);
    }
}

Bytes part(const Bytes& bytes, std::size_t from, std::size_t to) {
    return {bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.begin() + static_cast<std::ptrdiff_t>(to)};
}

Bytes bytes_of(const Packet& packet) {
    Bytes out;
    for (const iovec& piece : packet.data) {
        const auto* begin = static_cast<const std::byte*>(piece.iov_base);
        out.insert(out.end(), begin, begin + piece.iov_len);
    }
    return out;
}

std::uint16_t simple_checksum(const Bytes& bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        sum += std::to_integer<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8U : 0U);
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return static_cast<std::uint16_t>(~sum);
}

bool transport_checksum_right(const Bytes& network, std::uint8_t protocol, const Bytes& carried) {
    Bytes all = pseudo_header(network, protocol, carried.size());
    all.insert(all.end(), carried.begin(), carried.end());
    return simple_checksum(all) == 0;
}

Frame make_frame(const FrameSpec& spec, std::uint64_t seed) {
    Frame frame;
    Bytes& bytes = frame.bytes;
    for (const Mac& mac : {spec.to, spec.from}) {
        for (const std::uint8_t byte : mac) {
            put(bytes, 1, byte);
        }
    }
    for (std::size_t i = 0; i < spec.vlans.size(); ++i) {
        put(bytes, 2, i + 1 < spec.vlans.size() ? 0x88a8 : 0x8100);
        put(bytes, 2, spec.vlans[i]);
    }
    put(bytes, 2, spec.ipv6 ? 0x86dd : 0x0800);
    frame.network_offset = bytes.size();
    const std::uint8_t protocol = spec.tcp ? tcp_number : udp_number;
    const std::size_t transport_bytes = spec.tcp ? std::size_t{20} + spec.tcp_option_words * 4U : 8;
    const std::size_t carried = transport_bytes + spec.payload_bytes;
    spec.ipv6 ? put_ipv6(bytes, spec, protocol, carried) : put_ipv4(bytes, spec, protocol, carried);
    frame.transport_offset = bytes.size();
    put_transport(bytes, spec);
    frame.payload_offset = bytes.size();
    Random random(seed);
    while (bytes.size() < frame.payload_offset + spec.payload_bytes) {
        bytes.push_back(static_cast<std::byte>(random()));
    }

    frame.info.flags = PacketInfo::flag_needs_checksum;
    frame.info.header_bytes = static_cast<std::uint16_t>(frame.payload_offset);
    frame.info.checksum_start = static_cast<std::uint16_t>(frame.transport_offset);
    frame.info.checksum_offset = spec.tcp ? 16 : 6;
    const Bytes network = part(bytes, frame.network_offset, frame.transport_offset);
    const std::uint16_t partial = simple_checksum(pseudo_header(network, protocol, carried));
    set_number(bytes, frame.transport_offset + frame.info.checksum_offset, 2, 0xffffU & ~std::uint32_t{partial});
    return frame;
}

namespace {

void read_transport(ReadPacket& read) {
    read.transport_checksum_right = transport_checksum_right(read.network, read.protocol, read.carried);
    std::size_t header = 8;
    if (read.protocol == tcp_number) {
        header = read.carried.size() < 20 ? 0 : number_at(read.carried, 12, 1) / 16 * 4;
        if (header < 20) {
            read.wrong = "TCP header";
            return;
        }
    }
    if (read.carried.size() < header) {
        read.wrong = "transport header";
        return;
    }
    if (read.protocol == udp_number && number_at(read.carried, 4, 2) != read.carried.size()) {
        read.wrong = "UDP length";
    }
    read.transport = part(read.carried, 0, header);
    read.payload = part(read.carried, header, read.carried.size());
}

void read_ipv4(ReadPacket& read, const Bytes& packet, std::size_t at) {
    const std::size_t bytes = number_at(packet, at, 1) % 16 * 4;
    read.network = part(packet, at, at + bytes);
    if (simple_checksum(read.network) != 0) {
        read.wrong = "IPv4 checksum";
    }
    if (number_at(packet, at + 2, 2) != packet.size() - at) {
        read.wrong = "IPv4 length";
    }
    read.protocol = static_cast<std::uint8_t>(number_at(packet, at + 9, 1));
    read.identification = static_cast<std::uint16_t>(number_at(packet, at + 4, 2));
    const std::uint32_t fragment = number_at(packet, at + 6, 2);
    read.fragment_offset = (fragment & 0x1fffU) * 8;
    read.more_fragments = (fragment & 0x2000U) != 0;
    read.fragment = read.fragment_offset != 0 || read.more_fragments;
    read.fragment_identification = read.identification;
    read.carried = part(packet, at + bytes, packet.size());
}

void read_ipv6(ReadPacket& read, const Bytes& packet, std::size_t at) {
    if (number_at(packet, at + 4, 2) != packet.size() - at - 40) {
        read.wrong = "IPv6 length";
    }
    read.network = part(packet, at, at + 40);
    std::uint32_t next = number_at(packet, at + 6, 1);
    std::size_t offset = at + 40;
    // Behind a fragment header all belongs to what is fragmented.
    while (!read.fragment && (next == 0 || next == 43 || next == 60 || next == 44)) {
        if (next == 44) {
            read.fragment = true;
            read.fragment_offset = number_at(packet, offset + 2, 2) & ~7U;
            read.more_fragments = (number_at(packet, offset + 2, 2) & 1U) != 0;
            read.fragment_identification = number_at(packet, offset + 4, 4);
        } else {
            const Bytes extension = part(packet, offset, offset + 8);
            read.network.insert(read.network.end(), extension.begin(), extension.end());
        }
        next = number_at(packet, offset, 1);
        offset += 8;
    }
    read.protocol = static_cast<std::uint8_t>(next);
    read.carried = part(packet, offset, packet.size());
}

}  // namespace

ReadPacket read_packet(const Bytes& original, const PacketInfo& info) {
    Bytes packet = original;
    if (info.needs_checksum()) {
        const std::uint16_t checksum = simple_checksum(part(packet, info.checksum_start, packet.size()));
        set_number(packet, std::size_t{info.checksum_start} + info.checksum_offset, 2, checksum);
    }
    ReadPacket read;
    std::size_t at = 12;
    while (number_at(packet, at, 2) == 0x8100 || number_at(packet, at, 2) == 0x88a8) {
        at += 4;
    }
    at += 2;
    read.link = part(packet, 0, at);
    read.ipv6 = number_at(packet, at - 2, 2) == 0x86dd;
    read.ipv6 ? read_ipv6(read, packet, at) : read_ipv4(read, packet, at);
    if (!read.fragment && (read.protocol == tcp_number || read.protocol == udp_number)) {
        read_transport(read);
    }
    return read;
}

}  // namespace sidecore::network::test
