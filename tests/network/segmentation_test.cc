// SPDX-License-Identifier: Apache-2.0
#include "network/segmentation.hh"

#include <functional>
#include <vector>

// clang-format off: RapidCheck's header needs GoogleTest's before it
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
// clang-format on

#include "network/frames.hh"

namespace sidecore::network::test {
namespace {

struct Segment {
    PacketInfo info;
    Bytes bytes;
};

/// What became of a packet; stops at a fault.
struct Outcome {
    OffloadFault fault = OffloadFault::none;
    std::vector<Segment> segments;
};

Outcome work_off(const Packet& packet, const Offloads& accepted = {}) {
    static Segmenter segmenter;
    Coverage coverage;
    coverage.set(accepted);
    Outcome outcome;
    outcome.fault = segmenter.begin(packet, coverage);
    while (const Packet* segment = segmenter.next()) {
        outcome.segments.push_back({segment->info, bytes_of(*segment)});
        EXPECT_EQ(segment->bytes, outcome.segments.back().bytes.size());
        EXPECT_TRUE(coverage.covers(segment->info));
    }
    EXPECT_EQ(segmenter.next(), nullptr);
    EXPECT_EQ(outcome.segments.empty(), outcome.fault != OffloadFault::none);
    return outcome;
}

Outcome work_off(const Frame& frame, const Offloads& accepted = {}, std::size_t pieces = 1) {
    return work_off(PacketBuffer(frame.bytes, pieces, frame.info).packet(), accepted);
}

Frame make_segmented(const FrameSpec& spec, std::uint8_t kind, std::uint16_t segment_bytes) {
    Frame frame = make_frame(spec);
    frame.info.gso_type = kind;
    frame.info.segment_bytes = segment_bytes;
    return frame;
}

std::uint8_t kind_of(const FrameSpec& spec) {
    if (!spec.tcp) {
        return PacketInfo::gso_udp_l4;
    }
    return spec.ipv6 ? PacketInfo::gso_tcp6 : PacketInfo::gso_tcp4;
}

Bytes payload_of(const Frame& frame) {
    return part(frame.bytes, frame.payload_offset, frame.bytes.size());
}

constexpr Offloads only_checksums{true, false, false, false, false, false};

FrameSpec any_spec() {
    FrameSpec spec;
    spec.vlans =
        *rc::gen::resize(2, rc::gen::container<std::vector<std::uint16_t>>(rc::gen::arbitrary<std::uint16_t>()));
    spec.vlans.resize(std::min<std::size_t>(spec.vlans.size(), 2));
    spec.ipv6 = *rc::gen::arbitrary<bool>();
    spec.tcp = *rc::gen::arbitrary<bool>();
    spec.network_option_words = *rc::gen::inRange<std::uint8_t>(0, 11);
    spec.tcp_option_words = *rc::gen::inRange<std::uint8_t>(0, 11);
    spec.tcp_flags = *rc::gen::arbitrary<std::uint8_t>();
    spec.sequence = *rc::gen::arbitrary<std::uint32_t>();
    spec.identification = *rc::gen::arbitrary<std::uint16_t>();
    spec.payload_bytes = *rc::gen::inRange<std::size_t>(0, 4000);
    if (spec.ipv6) {
        const std::vector<std::vector<std::uint8_t>> chains{{}, {0}, {60}, {0, 43}, {0, 60, 43, 60}, {43, 60}};
        spec.extensions = *rc::gen::elementOf(chains);
    }
    return spec;
}

/// The network header but for what differs between segments.
Bytes without_what_changes(const ReadPacket& read) {
    Bytes header = read.network;
    if (read.ipv6) {
        set_number(header, 4, 2, 0);
    } else {
        set_number(header, 2, 4, 0);
        set_number(header, 10, 2, 0);
    }
    return header;
}

/// All that is true of segments of TCP and of datagrams alike. Returns their payload.
Bytes check_segments(const Frame& frame, const std::vector<Segment>& segments) {
    const ReadPacket original = read_packet(frame.bytes, frame.info);
    RC_ASSERT(original.transport_checksum_right);
    Bytes payload;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const ReadPacket read = read_packet(segments[i].bytes, segments[i].info);
        RC_ASSERT(read.wrong == "");
        RC_ASSERT(read.transport_checksum_right);
        RC_ASSERT(!read.fragment);
        RC_ASSERT(read.link == original.link);
        RC_ASSERT(without_what_changes(read) == without_what_changes(original));
        if (!read.ipv6) {
            RC_ASSERT(read.identification == static_cast<std::uint16_t>(original.identification + i));
        }
        const bool last = i + 1 == segments.size();
        RC_ASSERT(read.payload.size() <= frame.info.segment_bytes);
        RC_ASSERT((last || read.payload.size() == frame.info.segment_bytes));
        if (read.protocol == 6) {
            RC_ASSERT(number_at(read.transport, 4, 4) ==
                      static_cast<std::uint32_t>(number_at(original.transport, 4, 4) + payload.size()));
            const std::uint32_t flags = number_at(original.transport, 13, 1);
            const std::uint32_t expected = flags & ~(last ? 0U : 0x09U) & ~(i == 0 ? 0U : 0x80U);
            RC_ASSERT(number_at(read.transport, 13, 1) == expected);
            Bytes rest = read.transport;
            set_number(rest, 4, 4, number_at(original.transport, 4, 4));
            set_number(rest, 13, 1, flags);
            set_number(rest, 16, 2, number_at(original.transport, 16, 2));
            RC_ASSERT(rest == original.transport);
        } else {
            RC_ASSERT(number_at(read.transport, 0, 4) == number_at(original.transport, 0, 4));
        }
        payload.insert(payload.end(), read.payload.begin(), read.payload.end());
    }
    return payload;
}

RC_GTEST_PROP(SegmenterProperty, SegmentsCarryWhatThePacketCarried, ()) {
    const FrameSpec spec = any_spec();
    const Frame frame = make_segmented(spec, kind_of(spec), *rc::gen::inRange<std::uint16_t>(2, 1500));
    const Offloads accepted = *rc::gen::arbitrary<bool>() ? only_checksums : Offloads{};
    const Outcome outcome = work_off(frame, accepted, *rc::gen::inRange<std::size_t>(1, 300));
    RC_ASSERT(outcome.fault == OffloadFault::none);
    for (const Segment& segment : outcome.segments) {
        RC_ASSERT(segment.info.needs_checksum() == accepted.checksum);
    }
    RC_ASSERT(check_segments(frame, outcome.segments) == payload_of(frame));
}

RC_GTEST_PROP(SegmenterProperty, FragmentsMakeTheDatagramAgain, ()) {
    FrameSpec spec = any_spec();
    spec.tcp = false;
    const Frame frame = make_segmented(spec, PacketInfo::gso_udp, *rc::gen::inRange<std::uint16_t>(8, 1500));
    const Outcome outcome = work_off(frame, {}, *rc::gen::inRange<std::size_t>(1, 300));
    RC_ASSERT(outcome.fault == OffloadFault::none);

    Bytes datagram;
    ReadPacket first;
    for (std::size_t i = 0; i < outcome.segments.size(); ++i) {
        const ReadPacket read = read_packet(outcome.segments[i].bytes);
        if (i == 0) {
            first = read;
        }
        RC_ASSERT(read.wrong == "");
        RC_ASSERT(read.fragment == (outcome.segments.size() > 1));
        RC_ASSERT(read.fragment_offset == datagram.size());
        RC_ASSERT(read.more_fragments == (i + 1 < outcome.segments.size()));
        RC_ASSERT(read.fragment_identification == first.fragment_identification);
        RC_ASSERT(read.carried.size() <= frame.info.segment_bytes);
        RC_ASSERT(read.carried.size() % 8 == 0 || !read.more_fragments);
        RC_ASSERT(read.link == part(frame.bytes, 0, frame.network_offset));
        datagram.insert(datagram.end(), read.carried.begin(), read.carried.end());
    }
    if (!spec.ipv6) {
        RC_ASSERT(first.identification == spec.identification);
    }
    // Extension headers that belong to what is fragmented come before UDP's.
    const std::size_t carried_headers = datagram.size() - 8 - spec.payload_bytes;
    const Bytes udp = part(datagram, carried_headers, datagram.size());
    RC_ASSERT(number_at(udp, 4, 2) == udp.size());
    RC_ASSERT(transport_checksum_right(first.network, 17, udp));
    RC_ASSERT(part(udp, 8, udp.size()) == payload_of(frame));
    Bytes headers = first.network;
    headers.insert(headers.end(), datagram.begin(), datagram.begin() + static_cast<std::ptrdiff_t>(carried_headers));
    RC_ASSERT(headers.size() == frame.transport_offset - frame.network_offset);
}

TEST(Segmenter, APacketThatIsCoveredIsLeftAsItIs) {
    Frame frame = make_segmented({.payload_bytes = 3000}, PacketInfo::gso_tcp4, 1000);
    const PacketBuffer buffer(frame.bytes, 3, frame.info);
    Coverage coverage;
    coverage.set({true, true, false, false, false, false});
    Segmenter segmenter;
    ASSERT_EQ(segmenter.begin(buffer.packet(), coverage), OffloadFault::none);
    const Packet* const whole = segmenter.next();
    ASSERT_NE(whole, nullptr);
    EXPECT_EQ(whole->info, frame.info);
    EXPECT_EQ(whole->data.data(), buffer.packet().data.data()) << "not even its pieces are copied";
    EXPECT_EQ(segmenter.next(), nullptr);
}

TEST(Segmenter, PayloadIsNotCopied) {
    const Frame frame = make_segmented({.payload_bytes = 3000}, PacketInfo::gso_tcp4, 1000);
    const PacketBuffer buffer(frame.bytes, 1, frame.info);
    const auto* const from = static_cast<const std::byte*>(buffer.packet().data[0].iov_base) + frame.payload_offset;
    Segmenter segmenter;
    ASSERT_EQ(segmenter.begin(buffer.packet(), Coverage()), OffloadFault::none);
    for (std::size_t offset = 0; offset < 3000; offset += 1000) {
        const Packet* const segment = segmenter.next();
        ASSERT_NE(segment, nullptr);
        ASSERT_EQ(segment->data.size(), 2U);
        EXPECT_EQ(segment->data[1].iov_base, from + offset);
    }
    EXPECT_EQ(segmenter.next(), nullptr);
}

TEST(Segmenter, CompletesAChecksumWhereverItsFieldLies) {
    for (const std::size_t pieces : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{154}}) {
        for (const bool ipv6 : {false, true}) {
            for (const bool tcp : {false, true}) {
                const Frame frame = make_frame({.vlans = {5}, .ipv6 = ipv6, .tcp = tcp, .payload_bytes = 101});
                const Outcome outcome = work_off(frame, {}, pieces);
                ASSERT_EQ(outcome.segments.size(), 1U);
                EXPECT_EQ(outcome.segments[0].info, PacketInfo{});
                EXPECT_TRUE(read_packet(outcome.segments[0].bytes).transport_checksum_right);
                EXPECT_EQ(payload_of(frame), part(outcome.segments[0].bytes, frame.payload_offset, frame.bytes.size()));
            }
        }
    }
}

TEST(Segmenter, AChecksumMayBeAnywhereInAPacketThatIsNotIp) {
    Random random(3);
    const Bytes contents = make_packet(random, 9000);
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.checksum_start = 5001;
    info.checksum_offset = 3997;
    const Outcome outcome = work_off(PacketBuffer(contents, 5, info).packet());
    ASSERT_EQ(outcome.segments.size(), 1U);
    Bytes expected = contents;
    set_number(expected, 8998, 2, simple_checksum(part(contents, 5001, 9000)));
    EXPECT_EQ(outcome.segments[0].bytes, expected);
}

TEST(Segmenter, AChecksumOfZeroIsSentAsItsOtherForm) {
    Frame frame = make_frame({.tcp = false, .payload_bytes = 2});
    set_number(frame.bytes, frame.payload_offset, 2, 0);
    // The payload that makes the sum all ones.
    const std::uint16_t rest = simple_checksum(part(frame.bytes, frame.transport_offset, frame.bytes.size()));
    set_number(frame.bytes, frame.payload_offset, 2, rest);
    const Outcome outcome = work_off(frame);
    ASSERT_EQ(outcome.segments.size(), 1U);
    EXPECT_EQ(number_at(outcome.segments[0].bytes, frame.transport_offset + 6, 2), 0xffffU);
}

TEST(Segmenter, WhoTakesNoChecksumsGetsNoFlags) {
    Frame frame = make_frame({});
    frame.info = {};
    frame.info.flags = PacketInfo::flag_data_valid;
    const Outcome stripped = work_off(frame);
    ASSERT_EQ(stripped.segments.size(), 1U);
    EXPECT_EQ(stripped.segments[0].info, PacketInfo{});
    EXPECT_EQ(work_off(frame, only_checksums).segments.at(0).info.flags, PacketInfo::flag_data_valid);
}

TEST(Segmenter, CongestionIsReportedOnce) {
    FrameSpec spec{.tcp_flags = 0x98, .payload_bytes = 300};
    const Frame frame = make_segmented(spec, PacketInfo::gso_tcp4 | PacketInfo::gso_ecn, 100);
    EXPECT_EQ(work_off(frame, {true, true, false, true, false, false}).segments.size(), 1U);
    const Outcome outcome = work_off(frame, {true, true, false, false, false, false});
    ASSERT_EQ(outcome.segments.size(), 3U);
    const std::size_t flags = frame.transport_offset + 13;
    EXPECT_EQ(number_at(outcome.segments[0].bytes, flags, 1), 0x90U);
    EXPECT_EQ(number_at(outcome.segments[1].bytes, flags, 1), 0x10U);
    EXPECT_EQ(number_at(outcome.segments[2].bytes, flags, 1), 0x18U);
}

TEST(Segmenter, OneSegmentIsEnoughForLittle) {
    for (const std::size_t payload : {std::size_t{0}, std::size_t{1}, std::size_t{1000}}) {
        for (const std::uint8_t kind : {PacketInfo::gso_tcp4, PacketInfo::gso_udp_l4, PacketInfo::gso_udp}) {
            const Outcome outcome =
                work_off(make_segmented({.tcp = kind == PacketInfo::gso_tcp4, .payload_bytes = payload}, kind, 1008));
            ASSERT_EQ(outcome.segments.size(), 1U) << payload;
            EXPECT_TRUE(read_packet(outcome.segments[0].bytes).transport_checksum_right);
        }
    }
}

TEST(Segmenter, TheLongestPackets) {
    // As much as IP's length can say, which is more than fits into 65535 bytes of one piece with its Ethernet header.
    const Frame tcp = make_segmented({.vlans = {1, 2}, .payload_bytes = 65535 - 40}, PacketInfo::gso_tcp4, 36);
    ASSERT_EQ(tcp.bytes.size(), max_packet_bytes);
    EXPECT_EQ(work_off(tcp, {}, 1024).segments.size(), (65535U - 40 + 35) / 36);
    const Frame udp = make_segmented({.tcp = false, .payload_bytes = 65535 - 28}, PacketInfo::gso_udp, 1480);
    EXPECT_EQ(work_off(udp).segments.size(), (65535U - 20 + 1479) / 1480);
}

TEST(Segmenter, FragmentsOfDifferentDatagramsAreNotTakenForEachOthers) {
    const Frame frame = make_segmented({.ipv6 = true, .tcp = false, .payload_bytes = 3000}, PacketInfo::gso_udp, 1000);
    const auto identification = [&] {
        return read_packet(work_off(frame).segments.at(0).bytes).fragment_identification;
    };
    EXPECT_NE(identification(), identification());
}

/// A packet whose headers lie, and what that is called.
struct Lie {
    const char* name;
    OffloadFault fault;
    std::function<void(Frame&)> tell;
    FrameSpec spec{.payload_bytes = 3000};
};

void set(Frame& frame, std::size_t offset, std::uint32_t value) {
    set_number(frame.bytes, offset, 1, value);
}

std::vector<Lie> lies() {
    const FrameSpec six{.ipv6 = true, .payload_bytes = 3000};
    const FrameSpec six_with_options{.ipv6 = true, .extensions = {60}, .payload_bytes = 3000};
    const FrameSpec udp{.tcp = false, .payload_bytes = 3000};
    return {
        {"flags", OffloadFault::wrong_info, [](Frame& f) { f.info.flags = 0x81; }},
        {"no checksum", OffloadFault::wrong_info, [](Frame& f) { f.info.flags = 0; }},
        {"no size", OffloadFault::wrong_info, [](Frame& f) { f.info.segment_bytes = 0; }},
        {"kind", OffloadFault::wrong_info, [](Frame& f) { f.info.gso_type = 2; }},
        {"checksum outside", OffloadFault::wrong_info, [](Frame& f) { f.info.checksum_start = 5000; }},
        {"checksum elsewhere", OffloadFault::wrong_checksum_field, [](Frame& f) { f.info.checksum_start = 30; }},
        {"checksum behind", OffloadFault::wrong_checksum_field, [](Frame& f) { f.info.checksum_offset = 6; }},
        {"type", OffloadFault::not_ip, [](Frame& f) { set_number(f.bytes, 12, 2, 0x0806); }},
        {"three tags", OffloadFault::not_ip, [](Frame&) {}, {.vlans = {1, 2, 3}, .payload_bytes = 3000}},
        {"six is four", OffloadFault::malformed_headers, [](Frame& f) { set_number(f.bytes, 12, 2, 0x0800); }, six},
        {"four is six", OffloadFault::malformed_headers, [](Frame& f) { set_number(f.bytes, 12, 2, 0x86dd); }},
        {"header length", OffloadFault::malformed_headers, [](Frame& f) { set(f, 14, 0x44); }},
        {"longer header", OffloadFault::wrong_checksum_field, [](Frame& f) { set(f, 14, 0x46); }},
        {"protocol", OffloadFault::wrong_protocol, [](Frame& f) { set(f, 14 + 9, 17); }},
        {"more fragments", OffloadFault::is_fragment, [](Frame& f) { set(f, 14 + 6, 0x20); }},
        {"fragment offset", OffloadFault::is_fragment, [](Frame& f) { set(f, 14 + 7, 1); }},
        {"data offset", OffloadFault::malformed_headers, [](Frame& f) { set(f, f.transport_offset + 12, 0x40); }},
        {"tcp for udp", OffloadFault::wrong_protocol, [](Frame& f) { f.info.gso_type = PacketInfo::gso_udp; }},
        {"udp for tcp", OffloadFault::wrong_protocol, [](Frame& f) { f.info.gso_type = PacketInfo::gso_tcp4; }, udp},
        {"tcp6", OffloadFault::wrong_network, [](Frame& f) { f.info.gso_type = PacketInfo::gso_tcp6; }},
        {"tcp4", OffloadFault::wrong_network, [](Frame& f) { f.info.gso_type = PacketInfo::gso_tcp4; }, six},
        {"fragment header", OffloadFault::is_fragment, [](Frame& f) { set(f, 14 + 6, 44); }, six},
        {"long options", OffloadFault::headers_too_long, [](Frame& f) { set(f, 54 + 1, 255); }, six_with_options},
        {"a longer option", OffloadFault::wrong_protocol,
         [](Frame& f) {
             set(f, 54 + 1, 1);
             f.info.checksum_start = 70;
             set(f, 54, 17);
         },
         six_with_options},
        {"routed",
         OffloadFault::is_routed,
         [](Frame& f) { set(f, 54 + 3, 1); },
         {.ipv6 = true, .extensions = {43}, .payload_bytes = 3000}},
        {"tiny segments", OffloadFault::too_many_segments, [](Frame& f) { f.info.segment_bytes = 1; }},
        {"tiny fragments", OffloadFault::too_many_segments,
         [](Frame& f) {
             f.info.gso_type = PacketInfo::gso_udp;
             f.info.segment_bytes = 7;
         },
         udp},
        {"too long a segment",
         OffloadFault::segment_too_long,
         [](Frame& f) { f.info.segment_bytes = 65535; },
         {.payload_bytes = 65535 - 39}},
    };
}

TEST(Segmenter, HeadersThatLieAreFoundOut) {
    for (const Lie& lie : lies()) {
        Frame frame = make_segmented(lie.spec, kind_of(lie.spec), 1000);
        lie.tell(frame);
        EXPECT_EQ(work_off(frame).fault, lie.fault) << lie.name << ": " << to_string(work_off(frame).fault);
        EXPECT_NE(to_string(lie.fault), "unknown");
    }
}

TEST(Segmenter, APacketMayEndAnywhere) {
    const FrameSpec specs[] = {{.vlans = {1, 2}, .payload_bytes = 0},
                               {.ipv6 = true, .extensions = {0, 60}, .payload_bytes = 0},
                               {.tcp = false, .payload_bytes = 0}};
    for (const FrameSpec& spec : specs) {
        const Frame whole = make_segmented(spec, kind_of(spec), 1000);
        for (std::size_t length = 1; length < whole.bytes.size(); ++length) {
            Frame frame = whole;
            frame.bytes.resize(length);
            const OffloadFault fault = work_off(frame, {}, 3).fault;
            EXPECT_TRUE(fault == OffloadFault::malformed_headers || fault == OffloadFault::wrong_info) << length;
            // The rest is missing from the pieces only.
            Packet packet = PacketBuffer(whole.bytes, 1, whole.info).packet();
            const iovec piece{const_cast<std::byte*>(frame.bytes.data()), length};
            packet.data = {&piece, 1};
            EXPECT_EQ(work_off(packet).fault, OffloadFault::truncated) << length;
            packet.info.gso_type = PacketInfo::gso_none;
            EXPECT_EQ(work_off(packet).fault, OffloadFault::truncated) << length;
        }
    }
}

TEST(Segmenter, TooManyPiecesAreOnlyTooManyWhereTheyHaveToBeCopied) {
    const Frame frame = make_segmented({.payload_bytes = 3000}, PacketInfo::gso_tcp4, 1000);
    EXPECT_EQ(work_off(frame, {}, Segmenter::pieces_max).fault, OffloadFault::none);
    EXPECT_EQ(work_off(frame, {}, Segmenter::pieces_max + 1).fault, OffloadFault::too_many_pieces);
    EXPECT_EQ(work_off(frame, {true, true, true, true, true, true}, Segmenter::pieces_max + 1).fault,
              OffloadFault::none);
}

/// Whatever the bytes, nothing is read that is not there (the sanitizers look) and nothing too long comes out.
RC_GTEST_PROP(SegmenterProperty, SpoiltHeadersDoNoHarm, ()) {
    FrameSpec spec = any_spec();
    spec.payload_bytes = *rc::gen::inRange<std::size_t>(0, 300);
    Frame frame = make_segmented(spec, kind_of(spec), *rc::gen::inRange<std::uint16_t>(1, 400));
    const auto spoils = *rc::gen::inRange<std::size_t>(1, 6);
    for (std::size_t i = 0; i < spoils; ++i) {
        set(frame, *rc::gen::inRange<std::size_t>(0, frame.payload_offset), *rc::gen::arbitrary<std::uint8_t>());
    }
    frame.info.gso_type = *rc::gen::elementOf(std::vector<std::uint8_t>{0, 1, 3, 4, 5, 0x81, 0x84});
    frame.bytes.resize(*rc::gen::inRange<std::size_t>(14, frame.bytes.size() + 1));
    const Outcome outcome = work_off(frame, {}, *rc::gen::inRange<std::size_t>(1, 20));
    for (const Segment& segment : outcome.segments) {
        RC_ASSERT(segment.bytes.size() <= std::min<std::size_t>(frame.bytes.size() + 8, max_packet_bytes));
        RC_ASSERT(segment.info == PacketInfo{});
    }
}

}  // namespace
}  // namespace sidecore::network::test
