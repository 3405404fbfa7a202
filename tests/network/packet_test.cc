// SPDX-License-Identifier: Apache-2.0
#include "network/packet.hh"

#include <initializer_list>

#include <gtest/gtest.h>

namespace sidecore::network::test {
namespace {

constexpr std::uint8_t segmented_kinds[] = {PacketInfo::gso_tcp4, PacketInfo::gso_tcp6, PacketInfo::gso_udp,
                                            PacketInfo::gso_udp_l4};

PacketInfo info_of(std::uint8_t gso_type) {
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.gso_type = gso_type;
    info.header_bytes = 54;
    info.segment_bytes = 1448;
    info.checksum_start = 34;
    info.checksum_offset = 16;
    return info;
}

TEST(PacketInfoTest, NothingSpecialIsAlwaysTrue) {
    EXPECT_EQ(check({}, 0), InfoFault::none);
    EXPECT_EQ(check({}, max_packet_bytes), InfoFault::none);
    PacketInfo verified;
    verified.flags = PacketInfo::flag_data_valid;
    EXPECT_EQ(check(verified, 14), InfoFault::none);
}

TEST(PacketInfoTest, EveryFlagThatIsNotDefinedIsRefused) {
    for (unsigned flags = 0; flags < 256; ++flags) {
        PacketInfo info = info_of(PacketInfo::gso_none);
        info.flags = static_cast<std::uint8_t>(flags);
        EXPECT_EQ(check(info, 1500), flags < 4 ? InfoFault::none : InfoFault::unknown_flags) << flags;
    }
}

TEST(PacketInfoTest, EveryKindOfSegmentationThatIsNotDefinedIsRefused) {
    for (unsigned type = 0; type < 256; ++type) {
        const bool known =
            type == 0 || type == 1 || type == 3 || type == 4 || type == 5 || type == 0x81 || type == 0x84;
        EXPECT_EQ(check(info_of(static_cast<std::uint8_t>(type)), 60000),
                  known ? InfoFault::none : InfoFault::unknown_gso)
            << type;
    }
}

TEST(PacketInfoTest, AChecksumLiesWithinThePacket) {
    const PacketInfo info = info_of(PacketInfo::gso_none);
    EXPECT_EQ(check(info, 52), InfoFault::none);
    EXPECT_EQ(check(info, 51), InfoFault::checksum_outside);
    EXPECT_EQ(check(info, 0), InfoFault::checksum_outside);
    PacketInfo huge = info;
    huge.checksum_start = 0xffff;
    huge.checksum_offset = 0xffff;
    EXPECT_EQ(check(huge, max_packet_bytes), InfoFault::checksum_outside) << "the sum has more than 16 bits";
    huge.flags = 0;
    EXPECT_EQ(check(huge, 14), InfoFault::none) << "what is not used may be anything";
}

TEST(PacketInfoTest, SegmentationNeedsASizeAndAChecksum) {
    for (const std::uint8_t kind : segmented_kinds) {
        PacketInfo info = info_of(kind);
        EXPECT_EQ(check(info, 60000), InfoFault::none);
        EXPECT_TRUE(info.segmented());
        info.segment_bytes = 0;
        EXPECT_EQ(check(info, 60000), InfoFault::no_segment_size);
        info.segment_bytes = 1;
        info.flags = PacketInfo::flag_data_valid;
        EXPECT_EQ(check(info, 60000), InfoFault::no_checksum);
    }
}

TEST(PacketInfoTest, EcnBelongsToTcp) {
    for (const std::uint8_t kind : segmented_kinds) {
        const bool tcp = kind == PacketInfo::gso_tcp4 || kind == PacketInfo::gso_tcp6;
        EXPECT_EQ(check(info_of(kind | PacketInfo::gso_ecn), 60000), tcp ? InfoFault::none : InfoFault::unknown_gso);
    }
    EXPECT_EQ(check(info_of(PacketInfo::gso_ecn), 60000), InfoFault::unknown_gso);
}

TEST(WireLoadTest, AWholePacketIsItself) {
    EXPECT_EQ(wire_load({}, 1514).bytes, 1514U);
    EXPECT_EQ(wire_load({}, 1514).packets, 1U);
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.segment_bytes = 100;
    EXPECT_EQ(wire_load(info, 60'000).packets, 1U) << "a segment's size without segments";
}

TEST(WireLoadTest, SegmentsEachHaveTheHeaders) {
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.gso_type = PacketInfo::gso_tcp4 | PacketInfo::gso_ecn;
    info.header_bytes = 66;  // with TCP's time stamps
    info.segment_bytes = 1448;
    info.checksum_start = 34;
    info.checksum_offset = 16;
    const auto load = [&info](std::uint32_t bytes) { return wire_load(info, bytes); };
    EXPECT_EQ(load(66 + 1448).packets, 1U);
    EXPECT_EQ(load(66 + 1448).bytes, 66U + 1448);
    EXPECT_EQ(load(66 + 1449).packets, 2U);
    EXPECT_EQ(load(66 + 1449).bytes, 2 * 66U + 1449);
    EXPECT_EQ(load(66 + 44 * 1448).packets, 44U);
    EXPECT_EQ(load(66 + 44 * 1448).bytes, 44U * 1514);
    EXPECT_EQ(load(40).packets, 1U) << "it ends in its headers";
    EXPECT_EQ(load(40).bytes, 40U);

    info.header_bytes = 0;  // does not say: as short as TCP's can be
    EXPECT_EQ(load(54 + 2 * 1448).bytes, 2U * (54 + 1448));
    info.gso_type = PacketInfo::gso_udp_l4;
    EXPECT_EQ(load(42 + 2 * 1448).bytes, 2U * (42 + 1448));
    info.gso_type = PacketInfo::gso_udp;  // UDP's header goes once
    EXPECT_EQ(load(34 + 2 * 1448).bytes, 2U * (34 + 1448));
}

TEST(WireLoadTest, HeadersCannotBeMadeUpWithoutEnd) {
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.gso_type = PacketInfo::gso_tcp6;
    info.header_bytes = 0xffff;
    info.segment_bytes = 1;
    info.checksum_start = 0xff00;
    const WireLoad load = wire_load(info, max_packet_bytes);
    EXPECT_EQ(load.packets, max_packet_bytes - 256);
    EXPECT_EQ(load.bytes, std::uint64_t{257} * (max_packet_bytes - 256));
}

}  // namespace
}  // namespace sidecore::network::test
