// SPDX-License-Identifier: Apache-2.0
// A guest's packet, mostly a sound one with some bytes changed, for a receiver that takes little. Nothing may be read that is not there, and
// what comes out must be what a second reading of the headers takes for whole packets with right checksums.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fuzzer/FuzzedDataProvider.h>
#include <memory>

#include "network/frames.hh"
#include "network/segmentation.hh"

namespace {

using namespace sidecore::network;
using namespace sidecore::network::test;

void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", what);
        std::abort();
    }
}

FrameSpec any_spec(FuzzedDataProvider& input) {
    FrameSpec spec;
    spec.vlans.resize(input.ConsumeIntegralInRange<std::size_t>(0, 3));
    spec.ipv6 = input.ConsumeBool();
    spec.tcp = input.ConsumeBool();
    spec.network_option_words = input.ConsumeIntegralInRange<std::uint8_t>(0, 10);
    spec.tcp_option_words = input.ConsumeIntegralInRange<std::uint8_t>(0, 10);
    spec.tcp_flags = input.ConsumeIntegral<std::uint8_t>();
    spec.sequence = input.ConsumeIntegral<std::uint32_t>();
    spec.payload_bytes = input.ConsumeIntegralInRange<std::size_t>(0, 3000);
    spec.extensions.resize(spec.ipv6 ? input.ConsumeIntegralInRange<std::size_t>(0, 30) : 0);
    for (std::uint8_t& extension : spec.extensions) {
        extension = input.PickValueInArray<std::uint8_t>({0, 43, 60});
    }
    return spec;
}

PacketInfo any_info(FuzzedDataProvider& input, PacketInfo info) {
    info.gso_type = input.PickValueInArray<std::uint8_t>(
        {PacketInfo::gso_none, PacketInfo::gso_tcp4, PacketInfo::gso_tcp6, PacketInfo::gso_udp, PacketInfo::gso_udp_l4,
         PacketInfo::gso_tcp4 | PacketInfo::gso_ecn, 0x7f});
    info.segment_bytes = input.ConsumeIntegralInRange<std::uint16_t>(0, 2000);
    if (input.ConsumeIntegralInRange(0, 7) == 0) {
        info.checksum_start = input.ConsumeIntegral<std::uint16_t>();
        info.checksum_offset = input.ConsumeIntegral<std::uint16_t>();
        info.flags = input.ConsumeIntegral<std::uint8_t>();
    }
    return info;
}

void check_segment(const Bytes& bytes, const PacketInfo& info) {
    const ReadPacket read = read_packet(bytes, info);
    require(read.wrong.empty(), "what comes out is whole");
    require(read.fragment || read.transport_checksum_right, "its checksum is right");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Segmenter segmenter;
    FuzzedDataProvider input(data, size);
    Frame frame = make_frame(any_spec(input));
    frame.info = any_info(input, frame.info);
    Coverage coverage;
    coverage.set({input.ConsumeBool(), false, false, false, false, false});
    const auto pieces = input.ConsumeIntegralInRange<std::size_t>(1, 40);
    if (input.ConsumeIntegralInRange(0, 7) == 0) {
        frame.bytes.resize(input.ConsumeIntegralInRange<std::size_t>(14, frame.bytes.size()));
    }
    for (unsigned count = 0; count < 8 && input.remaining_bytes() > 2; ++count) {
        const auto offset =
            input.ConsumeIntegralInRange<std::size_t>(0, std::min<std::size_t>(frame.bytes.size(), 300) - 1);
        frame.bytes[offset] = static_cast<std::byte>(input.ConsumeIntegral<std::uint8_t>());
    }

    const PacketBuffer buffer(frame.bytes, pieces, frame.info);
    const OffloadFault fault = segmenter.begin(buffer.packet(), coverage);
    std::uint32_t count = 0;
    while (const Packet* packet = segmenter.next()) {
        const Bytes bytes = bytes_of(*packet);
        require(fault == OffloadFault::none, "a fault has no packets");
        require(coverage.covers(packet->info), "what comes out is accepted");
        require(packet->bytes == bytes.size() && packet->bytes <= max_packet_bytes, "its length is its pieces'");
        require(++count <= Segmenter::segments_max, "there is an end to it");
        if (frame.info.segmented()) {
            check_segment(bytes, packet->info);
        }
    }
    require((count == 0) == (fault != OffloadFault::none), "what has no fault has packets");
    return 0;
}
