// SPDX-License-Identifier: Apache-2.0
#include "network/coverage.hh"

#include <gtest/gtest.h>

namespace sidecore::network::test {
namespace {

PacketInfo with(std::uint8_t flags, std::uint8_t gso_type) {
    PacketInfo info;
    info.flags = flags;
    info.gso_type = gso_type;
    return info;
}

TEST(CoverageTest, PlainPacketsAreAlwaysCovered) {
    const Coverage nothing;
    EXPECT_TRUE(nothing.covers({}));
    EXPECT_FALSE(nothing.covers(with(PacketInfo::flag_needs_checksum, 0)));
    EXPECT_FALSE(nothing.covers(with(PacketInfo::flag_data_valid, 0)));
}

TEST(CoverageTest, EachKindNeedsItsOffload) {
    struct Case {
        std::uint8_t gso_type;
        Offloads needed;
    };
    constexpr std::uint8_t ecn = PacketInfo::gso_ecn;
    const Case cases[] = {
        {PacketInfo::gso_none, {.checksum = true}},
        {PacketInfo::gso_tcp4, {.checksum = true, .tso4 = true}},
        {PacketInfo::gso_tcp4 | ecn, {.checksum = true, .tso4 = true, .ecn = true}},
        {PacketInfo::gso_tcp6, {.checksum = true, .tso6 = true}},
        {PacketInfo::gso_tcp6 | ecn, {.checksum = true, .tso6 = true, .ecn = true}},
        {PacketInfo::gso_udp, {.checksum = true, .ufo = true}},
        {PacketInfo::gso_udp_l4, {.checksum = true, .uso = true}},
    };
    for (const Case& offered : cases) {
        for (const Case& accepted : cases) {
            Coverage coverage;
            coverage.set(accepted.needed);
            EXPECT_EQ(coverage.covers(with(PacketInfo::flag_needs_checksum, offered.gso_type)),
                      within(offered.needed, accepted.needed))
                << int{offered.gso_type} << " with what " << int{accepted.gso_type} << " needs";
        }
    }
}

TEST(CoverageTest, UnknownKindsAreNeverCovered) {
    Coverage coverage;
    coverage.set({true, true, true, true, true, true});
    EXPECT_FALSE(coverage.covers(with(0, 2)));
    EXPECT_FALSE(coverage.covers(with(0, 0x7f)));
}

TEST(CoverageTest, AllNeedTheChecksum) {
    EXPECT_TRUE(consistent({}));
    EXPECT_TRUE(consistent({.checksum = true, .uso = true}));
    EXPECT_FALSE(consistent({.checksum = false, .uso = true}));
    EXPECT_TRUE(within({}, {}));
    EXPECT_FALSE(within({.checksum = true}, {}));
}

}  // namespace
}  // namespace sidecore::network::test
