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

}  // namespace
}  // namespace sidecore::network::test
