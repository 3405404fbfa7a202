// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <sys/uio.h>

#include "network/checksum.hh"
#include "network/coverage.hh"
#include "network/header_chain.hh"
#include "network/packet.hh"
#include "network/piece_cursor.hh"

namespace sidecore::network {

/// Why a packet cannot be made one that its receiver takes: its headers are not what its info says, or are not what this code deals with.
enum class OffloadFault : std::uint8_t {
    none,
    wrong_info,            ///< what check() says
    truncated,             ///< there are fewer bytes than it says
    too_many_pieces,       ///< more than Segmenter::pieces_max
    not_ip,                ///< to be cut into segments, but neither IPv4 nor IPv6
    malformed_headers,     ///< a length or version contradicts itself or the packet's end
    headers_too_long,      ///< more than Segmenter::head_bytes
    is_fragment,           ///< to be cut, and a part of a datagram already
    is_routed,             ///< IPv6 with a routing header that is not used up: the checksum is about another address
    wrong_network,         ///< gso_tcp4 and IPv6, or the other way round
    wrong_protocol,        ///< TCP said and something else there, or UDP
    wrong_checksum_field,  ///< the checksum to be completed is not that of the header to be repeated
    too_many_segments,     ///< more than Segmenter::segments_max
    segment_too_long,      ///< longer than IP's header can say, or than max_packet_bytes
};

std::string_view to_string(OffloadFault fault) noexcept;

/// Does in software what a packet asks for and its receiver does not: completes its checksum, or cuts it into segments, as VIRTIO 1.3,
/// 5.1.6.2 has it: TCP segments, UDP datagrams (USO), or fragments of one datagram (UFO), behind up to two VLAN tags.
///
/// Thread: one. Big: to be made once, not per packet.
///
/// Invariants:
///  1. The headers of a packet that is cut are copied once and only the copy is looked at. Payload is never copied: segments are a header
///     of this object's and slices of the packet's own memory.
///  2. Checksums are made from those slices. A guest that changes them meanwhile spoils its own packet's checksum, nothing else.
///  3. What a packet's headers say about lengths is not used but overwritten, with what its pieces say. All else that is used is checked.
class Segmenter {
public:
    static constexpr std::size_t head_bytes = 256;

    /// A chain of 1024 descriptors, and the copy of its beginning that a switch puts before it.
    static constexpr std::size_t pieces_max = 1025;

    /// A TCP segment of 64 KiB has 1820 of 36 bytes, which is the least that Linux makes.
    static constexpr std::uint32_t segments_max = 2048;

    Segmenter();

    /// Starts with `packet`, for a receiver that accepts `accepted`. With any fault next() has nothing.
    OffloadFault begin(const Packet& packet, const Coverage& accepted) noexcept;

    /// The next packet for the receiver, or null after the last one. It is valid until the next call of either function and while
    /// `packet` is; its info needs nothing that the receiver does not accept. One that is covered comes as it is.
    const Packet* next() noexcept;

private:
    enum class Work : std::uint8_t { nothing, one, tcp, datagrams, fragments };

    OffloadFault begin_checksum(const Packet& packet) noexcept;
    OffloadFault begin_segments(const Packet& packet, bool leave_checksums) noexcept;
    OffloadFault check_headers(const PacketInfo& info) const noexcept;
    OffloadFault begin_fragments(const Packet& packet) noexcept;

    std::byte* network() noexcept { return &head_[chain_.network_offset]; }
    std::byte* transport() noexcept { return &head_[chain_.transport_offset]; }
    InternetChecksum pseudo_header(std::uint32_t transport_length) noexcept;

    void put_network_length(std::size_t header_bytes, std::uint32_t payload) noexcept;
    void put_tcp(std::uint32_t payload) noexcept;
    void put_datagram(std::uint32_t payload) noexcept;
    void put_checksum(std::size_t field, std::uint32_t payload) noexcept;
    std::size_t put_fragment(std::uint32_t payload) noexcept;

    void start_pieces() noexcept { piece_count_ = 0; }
    void add_piece(const std::byte* from, std::size_t bytes) noexcept;
    void add_pieces(PieceCursor& from, std::size_t bytes) noexcept;

    Work work_ = Work::nothing;
    bool leave_checksums_ = false;  // the receiver completes them
    bool fragmented_ = false;       // there is more than one fragment
    HeaderChain chain_;
    PieceCursor body_;  // what is left to be cut
    std::uint32_t header_bytes_ = 0;
    std::uint32_t body_bytes_ = 0;
    std::uint32_t chunk_bytes_ = 0;  // of each segment but the last
    std::uint32_t done_bytes_ = 0;
    std::uint32_t done_segments_ = 0;
    std::uint32_t first_sequence_ = 0;
    std::uint16_t first_identification_ = 0;
    std::uint8_t tcp_flags_ = 0;
    std::uint32_t fragment_identification_ = 0;
    std::minstd_rand identifications_;

    Packet out_;
    std::array<std::byte, 2> checksum_{};
    static constexpr std::uint32_t fragment_header_bytes = 8;
    std::array<std::byte, head_bytes + fragment_header_bytes> head_{};
    std::array<std::byte, head_bytes> fragmented_head_{};  // UFO: the headers that are part of what is cut
    std::array<iovec, pieces_max + 1> body_pieces_{};      // UFO: those, and the packet's
    std::array<iovec, pieces_max + 3> pieces_{};           // of out_
    std::size_t piece_count_ = 0;
};

}  // namespace sidecore::network
