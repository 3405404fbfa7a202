// SPDX-License-Identifier: Apache-2.0
#include "network/segmentation.hh"

#include <algorithm>
#include <cstring>

#include "network/network_order.hh"

namespace sidecore::network {

namespace {

constexpr std::uint32_t ip_length_max = 65535;

constexpr std::size_t tcp_sequence_offset = 4;
constexpr std::size_t tcp_data_offset = 12;
constexpr std::size_t tcp_flags_offset = 13;
constexpr std::uint16_t tcp_checksum_offset = 16;
constexpr std::uint8_t tcp_fin = 0x01;
constexpr std::uint8_t tcp_psh = 0x08;
constexpr std::uint8_t tcp_cwr = 0x80;

constexpr std::size_t udp_length_offset = 4;
constexpr std::uint16_t udp_checksum_offset = 6;

constexpr std::uint16_t more_fragments = 0x2000;  // IPv4
constexpr std::uint16_t more_fragments_ipv6 = 1;

OffloadFault fault_of(HeaderEnd end) noexcept {
    switch (end) {
        case HeaderEnd::transport:
            return OffloadFault::none;
        case HeaderEnd::no_network:
            return OffloadFault::not_ip;
        case HeaderEnd::malformed:
            return OffloadFault::malformed_headers;
        case HeaderEnd::too_long:
            return OffloadFault::headers_too_long;
        case HeaderEnd::is_fragment:
            return OffloadFault::is_fragment;
    }
    return OffloadFault::malformed_headers;
}

}  // namespace

std::string_view to_string(OffloadFault fault) noexcept {
    switch (fault) {
        case OffloadFault::none:
            return "none";
        case OffloadFault::wrong_info:
            return "wrong info";
        case OffloadFault::truncated:
            return "truncated";
        case OffloadFault::too_many_pieces:
            return "too many pieces";
        case OffloadFault::not_ip:
            return "not IP";
        case OffloadFault::malformed_headers:
            return "malformed headers";
        case OffloadFault::headers_too_long:
            return "headers too long";
        case OffloadFault::is_fragment:
            return "is a fragment";
        case OffloadFault::is_routed:
            return "is routed";
        case OffloadFault::wrong_network:
            return "wrong version of IP";
        case OffloadFault::wrong_protocol:
            return "wrong protocol";
        case OffloadFault::wrong_checksum_field:
            return "wrong checksum field";
        case OffloadFault::too_many_segments:
            return "too many segments";
        case OffloadFault::segment_too_long:
            return "segment too long";
    }
    return "unknown";
}

Segmenter::Segmenter() : identifications_(std::random_device{}()) {}

OffloadFault Segmenter::begin(const Packet& packet, const Coverage& accepted) noexcept {
    work_ = Work::nothing;
    if (accepted.covers(packet.info)) {
        out_ = packet;
        work_ = Work::one;
        return OffloadFault::none;
    }
    if (packet.bytes > max_packet_bytes || check(packet.info, packet.bytes) != InfoFault::none) {
        return OffloadFault::wrong_info;
    }
    if (packet.info.segmented() || packet.info.needs_checksum()) {
        if (packet.data.size() > pieces_max) {
            return OffloadFault::too_many_pieces;
        }
        PacketInfo checksum_only;
        checksum_only.flags = PacketInfo::flag_needs_checksum;
        return packet.info.segmented() ? begin_segments(packet, accepted.covers(checksum_only))
                                       : begin_checksum(packet);
    }
    out_ = packet;
    out_.info = {};  // VIRTIO 1.3, 5.1.6.4.1: who takes no checksums takes no flags, not even good news
    work_ = Work::one;
    return OffloadFault::none;
}

OffloadFault Segmenter::begin_checksum(const Packet& packet) noexcept {
    const std::uint32_t start = packet.info.checksum_start;
    const std::uint32_t field = start + packet.info.checksum_offset;
    InternetChecksum checksum;
    PieceCursor covered(packet.data);
    covered.skip(start);
    if (covered.each(packet.bytes - start, [&](std::span<const std::byte> run) { checksum.add(run); }) !=
        packet.bytes - start) {
        return OffloadFault::truncated;
    }
    store_16(checksum_.data(), checksum.finished_not_zero());

    start_pieces();
    PieceCursor rest(packet.data);
    add_pieces(rest, field);
    add_piece(checksum_.data(), checksum_.size());
    rest.skip(checksum_.size());
    add_pieces(rest, packet.bytes - field - checksum_.size());
    out_ = {{}, std::span(pieces_.data(), piece_count_), packet.bytes};
    work_ = Work::one;
    return OffloadFault::none;
}

OffloadFault Segmenter::begin_segments(const Packet& packet, bool leave_checksums) noexcept {
    const std::size_t head_length = std::min<std::size_t>(head_bytes, packet.bytes);
    PieceCursor beginning(packet.data);
    if (beginning.copy(std::span(head_).first(head_length)) != head_length) {
        return OffloadFault::truncated;
    }
    chain_ = follow_headers(std::span<const std::byte>(head_).first(head_length), packet.bytes);
    if (const OffloadFault fault = fault_of(chain_.end); fault != OffloadFault::none) {
        return fault;
    }
    if (const OffloadFault fault = check_headers(packet.info); fault != OffloadFault::none) {
        return fault;
    }
    const bool tcp = chain_.protocol == protocol_tcp;
    std::size_t transport_bytes = udp_bytes;
    if (tcp) {
        if (chain_.transport_offset + std::size_t{tcp_bytes_min} > head_length) {
            return head_length < head_bytes ? OffloadFault::malformed_headers : OffloadFault::headers_too_long;
        }
        transport_bytes = std::size_t{load_8(transport() + tcp_data_offset)} / 16 * 4;
        if (transport_bytes < tcp_bytes_min) {
            return OffloadFault::malformed_headers;
        }
    }
    header_bytes_ = static_cast<std::uint32_t>(chain_.transport_offset + transport_bytes);
    if (header_bytes_ > head_length) {
        return head_length < head_bytes ? OffloadFault::malformed_headers : OffloadFault::headers_too_long;
    }

    body_ = PieceCursor(packet.data);
    body_.skip(header_bytes_);
    body_bytes_ = packet.bytes - header_bytes_;
    if (PieceCursor(body_).skip(body_bytes_) != body_bytes_) {
        return OffloadFault::truncated;
    }
    chunk_bytes_ = packet.info.segment_bytes;
    leave_checksums_ = leave_checksums;
    if (tcp) {
        first_sequence_ = load_32(transport() + tcp_sequence_offset);
        tcp_flags_ = load_8(transport() + tcp_flags_offset);
    }
    if (!chain_.ipv6) {
        first_identification_ = load_16(network() + 4);
    }
    fragmented_ = false;
    work_ = tcp ? Work::tcp : Work::datagrams;
    if (packet.info.gso_type == PacketInfo::gso_udp) {
        work_ = Work::fragments;
        if (const OffloadFault fault = begin_fragments(packet); fault != OffloadFault::none) {
            work_ = Work::nothing;
            return fault;
        }
    }
    const std::uint32_t segments = std::max<std::uint32_t>(1, (body_bytes_ + chunk_bytes_ - 1) / chunk_bytes_);
    const std::uint32_t before_payload = header_bytes_ - chain_.network_offset - (chain_.ipv6 ? ipv6_bytes : 0);
    if (segments > segments_max) {
        work_ = Work::nothing;
        return OffloadFault::too_many_segments;
    }
    const std::uint32_t inserted = fragmented_ ? fragment_header_bytes : 0;
    const std::uint32_t longest = std::min(chunk_bytes_, body_bytes_) + inserted;
    if (before_payload + longest > ip_length_max || header_bytes_ + longest > max_packet_bytes) {
        work_ = Work::nothing;
        return OffloadFault::segment_too_long;
    }
    done_bytes_ = 0;
    done_segments_ = 0;
    return OffloadFault::none;
}

OffloadFault Segmenter::check_headers(const PacketInfo& info) const noexcept {
    const unsigned kind = info.gso_type & ~unsigned{PacketInfo::gso_ecn};
    const bool tcp = kind == PacketInfo::gso_tcp4 || kind == PacketInfo::gso_tcp6;
    if (tcp && chain_.ipv6 != (kind == PacketInfo::gso_tcp6)) {
        return OffloadFault::wrong_network;
    }
    if (chain_.protocol != (tcp ? protocol_tcp : protocol_udp)) {
        return OffloadFault::wrong_protocol;
    }
    if (chain_.routed) {
        return OffloadFault::is_routed;
    }
    if (info.checksum_start != chain_.transport_offset ||
        info.checksum_offset != (tcp ? tcp_checksum_offset : udp_checksum_offset)) {
        return OffloadFault::wrong_checksum_field;
    }
    return OffloadFault::none;
}

OffloadFault Segmenter::begin_fragments(const Packet& packet) noexcept {
    // The datagram as a whole: its length, and its checksum, which is made before it is cut.
    const std::uint32_t datagram_bytes = packet.bytes - chain_.transport_offset;
    if (datagram_bytes > ip_length_max) {
        return OffloadFault::segment_too_long;
    }
    store_16(transport() + udp_length_offset, datagram_bytes);
    store_16(transport() + udp_checksum_offset, 0);
    InternetChecksum checksum = pseudo_header(datagram_bytes);
    checksum.add(std::span(transport(), udp_bytes));
    PieceCursor(body_).each(body_bytes_, [&](std::span<const std::byte> run) { checksum.add(run); });
    store_16(transport() + udp_checksum_offset, checksum.finished_not_zero());

    const std::size_t cut_from = chain_.ipv6 ? chain_.fragment_offset : chain_.transport_offset;
    const std::size_t cut_head = header_bytes_ - cut_from;
    std::memcpy(fragmented_head_.data(), &head_[cut_from], cut_head);
    std::size_t count = 0;
    body_pieces_[count++] = {fragmented_head_.data(), cut_head};
    body_.each(body_bytes_, [&](std::span<const std::byte> run) {
        body_pieces_[count++] = {const_cast<std::byte*>(run.data()),
                                 run.size()};  // NOLINT(*-const-cast): iovec has no const
    });
    body_ = PieceCursor(std::span<const iovec>(body_pieces_).first(count));
    body_bytes_ += static_cast<std::uint32_t>(cut_head);
    header_bytes_ = static_cast<std::uint32_t>(cut_from);

    chunk_bytes_ &= ~7U;  // RFC 791, 3.2 and RFC 8200, 4.5: offsets count in units of 8 bytes
    fragmented_ = body_bytes_ > chunk_bytes_;
    if (chunk_bytes_ == 0) {
        return OffloadFault::too_many_segments;
    }
    if (fragmented_) {
        fragment_identification_ = static_cast<std::uint32_t>(identifications_());
    }
    return OffloadFault::none;
}

const Packet* Segmenter::next() noexcept {
    if (work_ == Work::nothing) {
        return nullptr;
    }
    if (work_ == Work::one) {
        work_ = Work::nothing;
        return &out_;
    }
    const std::uint32_t payload = std::min(chunk_bytes_, body_bytes_ - done_bytes_);
    std::size_t header = header_bytes_;
    out_.info = {};
    switch (work_) {
        case Work::tcp:
            put_network_length(header, payload);
            put_tcp(payload);
            break;
        case Work::datagrams:
            put_network_length(header, payload);
            put_datagram(payload);
            break;
        default:
            header = put_fragment(payload);
            break;
    }
    start_pieces();
    add_piece(head_.data(), header);
    add_pieces(body_, payload);
    out_.data = std::span(pieces_.data(), piece_count_);
    out_.bytes = static_cast<std::uint32_t>(header) + payload;
    done_bytes_ += payload;
    ++done_segments_;
    if (done_bytes_ == body_bytes_) {
        work_ = Work::nothing;
    }
    return &out_;
}

InternetChecksum Segmenter::pseudo_header(std::uint32_t transport_length) noexcept {
    InternetChecksum checksum;
    if (chain_.ipv6) {
        checksum.add(std::span(network() + 8, 32));
    } else {
        checksum.add(std::span(network() + 12, 8));
    }
    checksum.add_16(static_cast<std::uint16_t>(transport_length));
    checksum.add_16(chain_.protocol);
    return checksum;
}

/// `header_bytes`: from the packet's beginning to its payload.
void Segmenter::put_network_length(std::size_t header_bytes, std::uint32_t payload) noexcept {
    const auto length = static_cast<unsigned>(header_bytes - chain_.network_offset + payload);
    if (chain_.ipv6) {
        store_16(network() + 4, length - ipv6_bytes);
        return;
    }
    store_16(network() + 2, length);
    if (work_ != Work::fragments) {
        store_16(network() + 4, first_identification_ + done_segments_);
    }
    store_16(network() + 10, 0);
    InternetChecksum checksum;
    checksum.add(std::span(network(), std::size_t{chain_.transport_offset} - chain_.network_offset));
    store_16(network() + 10, checksum.finished());
}

void Segmenter::put_tcp(std::uint32_t payload) noexcept {
    store_32(transport() + tcp_sequence_offset, first_sequence_ + done_bytes_);
    unsigned flags = tcp_flags_;
    if (done_bytes_ + payload != body_bytes_) {
        flags &= ~unsigned{tcp_fin | tcp_psh};
    }
    if (done_segments_ != 0) {
        flags &= ~unsigned{tcp_cwr};
    }
    store_8(transport() + tcp_flags_offset, flags);
    put_checksum(tcp_checksum_offset, payload);
}

void Segmenter::put_datagram(std::uint32_t payload) noexcept {
    store_16(transport() + udp_length_offset, udp_bytes + payload);
    put_checksum(udp_checksum_offset, payload);
}

void Segmenter::put_checksum(std::size_t field, std::uint32_t payload) noexcept {
    const std::size_t header = header_bytes_ - chain_.transport_offset;
    InternetChecksum checksum = pseudo_header(static_cast<std::uint32_t>(header) + payload);
    if (leave_checksums_) {
        store_16(transport() + field, checksum.sum());
        out_.info.flags = PacketInfo::flag_needs_checksum;
        out_.info.checksum_start = chain_.transport_offset;
        out_.info.checksum_offset = static_cast<std::uint16_t>(field);
        return;
    }
    store_16(transport() + field, 0);
    checksum.add(std::span(transport(), header));
    PieceCursor(body_).each(payload, [&](std::span<const std::byte> run) { checksum.add(run); });
    store_16(transport() + field, checksum.finished_not_zero());
}

/// Returns how long the header is now.
std::size_t Segmenter::put_fragment(std::uint32_t payload) noexcept {
    const bool last = done_bytes_ + payload == body_bytes_;
    std::size_t header = header_bytes_;
    if (chain_.ipv6 && fragmented_) {
        std::byte* const fragment = &head_[header];
        header += fragment_header_bytes;
        if (done_segments_ == 0) {
            store_8(fragment, load_8(&head_[chain_.next_header_offset]));
            store_8(fragment + 1, 0);
            store_32(fragment + 4, fragment_identification_);
            store_8(&head_[chain_.next_header_offset], protocol_ipv6_fragment);
        }
        store_16(fragment + 2, done_bytes_ | (last ? 0U : more_fragments_ipv6));
    } else if (fragmented_) {
        store_16(network() + 6, done_bytes_ / 8 | (last ? 0U : more_fragments));
    }
    put_network_length(header, payload);
    return header;
}

void Segmenter::add_piece(const std::byte* from, std::size_t bytes) noexcept {
    if (bytes != 0) {
        pieces_[piece_count_++] = {const_cast<std::byte*>(from), bytes};  // NOLINT(*-const-cast): iovec has no const
    }
}

void Segmenter::add_pieces(PieceCursor& from, std::size_t bytes) noexcept {
    from.each(bytes, [&](std::span<const std::byte> run) { add_piece(run.data(), run.size()); });
}

}  // namespace sidecore::network
