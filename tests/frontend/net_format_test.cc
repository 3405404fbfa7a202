// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_format.hh"

#include <array>
#include <cstring>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

namespace sidecore::frontend {
namespace {

TEST(NetFormat, FeaturesAreTheBitsOfTheSpecification) {
    // VIRTIO 5.1.3, and bits 28, 29 and 32 of VIRTIO 6.
    std::uint64_t expected = 0;
    for (const unsigned bit : {0U,  1U,  2U,  3U,  5U,  7U,  8U,  9U,  10U, 11U, 12U, 13U, 14U, 15U, 16U,
                               17U, 18U, 19U, 20U, 21U, 22U, 23U, 28U, 29U, 32U, 54U, 55U, 56U, 59U, 63U}) {
        expected |= 1ULL << bit;
    }
    EXPECT_EQ(net_default_features, expected);
    EXPECT_EQ(net_guest_segmentation, 0xC0'0000'0000'0580ULL);
}

TEST(NetFormat, HeaderBytesAreWhereTheyBelong) {
    const NetHeader header{.flags = 0x01,
                           .gso_type = 0x83,
                           .header_length = std::uint16_t{0x0504},
                           .gso_size = std::uint16_t{0x0706},
                           .csum_start = std::uint16_t{0x0908},
                           .csum_offset = std::uint16_t{0x0b0a},
                           .buffers = std::uint16_t{0x0d0c}};
    constexpr std::array<std::uint8_t, 12> bytes{1, 0x83, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    EXPECT_EQ(std::memcmp(&header, bytes.data(), bytes.size()), 0);
    EXPECT_EQ(net_header_bytes(1ULL << 32U), 12U);
    EXPECT_EQ(net_header_bytes(1ULL << 15U), 12U);
    EXPECT_EQ(net_header_bytes(1ULL << 17U), 10U) << "legacy, not merged";
}

TEST(NetFormat, ConfigurationBytesAreWhereTheyBelong) {
    EXPECT_EQ(net_config_bytes, 17U);
    std::array<std::uint8_t, sizeof(NetConfig)> bytes{};
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    NetConfig config;
    std::memcpy(&config, bytes.data(), sizeof config);
    EXPECT_EQ(config.mac, (std::array<std::uint8_t, 6>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(config.status, 0x0706);
    EXPECT_EQ(config.max_virtqueue_pairs, 0x0908);
    EXPECT_EQ(config.mtu, 0x0b0a);
    EXPECT_EQ(config.speed, 0x0f0e0d0cU);
    EXPECT_EQ(config.duplex, 16);
}

TEST(NetFormat, FeaturesGoWithWhatTheyNeed) {
    EXPECT_EQ(net_without_orphans(net_default_features), net_default_features);
    const std::uint64_t without_csum = net_default_features & ~(1ULL << 0U);
    EXPECT_EQ(net_without_orphans(without_csum), without_csum & ~(0xfULL << 11U | 1ULL << 56U)) << "and ECN with TSO";
    const std::uint64_t without_guest_csum = net_default_features & ~(1ULL << 1U);
    EXPECT_EQ(net_without_orphans(without_guest_csum), without_guest_csum & ~(0xfULL << 7U | 3ULL << 54U));
    const std::uint64_t without_control = net_default_features & ~(1ULL << 17U);
    EXPECT_EQ(net_without_orphans(without_control),
              without_control & ~(1ULL << 2U | 1ULL << 18U | 1ULL << 19U | 1ULL << 20U | 1ULL << 21U | 1ULL << 23U))
        << "MQ stays";
    const std::uint64_t one_is_enough = 1ULL << 1U | 1ULL << 8U | 1ULL << 9U;
    EXPECT_EQ(net_without_orphans(one_is_enough), one_is_enough);
}

TEST(NetFormat, BuffersHoldWhatMayCome) {
    EXPECT_EQ(net_receive_bytes(0), 1526U);
    for (const unsigned bit : {7U, 8U, 10U, 54U, 55U}) {
        EXPECT_EQ(net_receive_bytes(1ULL << bit), 65601U) << bit;
    }
}

TEST(NetFormat, HeadersMustHaveBeenNegotiated) {
    constexpr std::uint64_t csum = 1U << 1U;
    constexpr std::uint64_t tso4 = csum | 1U << 7U;
    const NetHeader plain{};
    EXPECT_EQ(net_header_violation(plain, 0), "");
    const NetHeader valid{.flags = NetHeader::flag_data_valid};
    EXPECT_EQ(net_header_violation(valid, csum), "");
    EXPECT_NE(net_header_violation(valid, 0), "");
    EXPECT_NE(net_header_violation({.flags = NetHeader::flag_rsc_info}, csum), "");

    NetHeader segmented{.flags = 1, .gso_type = NetHeader::gso_tcp4, .gso_size = std::uint16_t{1460}};
    EXPECT_EQ(net_header_violation(segmented, tso4), "");
    EXPECT_NE(net_header_violation(segmented, csum), "") << "without TSO4";
    segmented.gso_type |= NetHeader::gso_ecn;
    EXPECT_NE(net_header_violation(segmented, tso4), "") << "without ECN";
    EXPECT_EQ(net_header_violation(segmented, tso4 | 1U << 9U), "");
    segmented.flags = 0;
    EXPECT_NE(net_header_violation(segmented, tso4 | 1U << 9U), "") << "without NEEDS_CSUM";
    segmented.flags = 1;
    segmented.gso_size = std::uint16_t{0};
    EXPECT_NE(net_header_violation(segmented, tso4 | 1U << 9U), "") << "segments of nothing";

    NetHeader other{.flags = 1, .gso_size = std::uint16_t{100}};
    const auto allowed = [&other](std::uint8_t type, std::uint64_t features) {
        other.gso_type = type;
        return net_header_violation(other, features | csum).empty();
    };
    EXPECT_TRUE(allowed(3, 1U << 10U));
    EXPECT_TRUE(allowed(4, 1U << 8U));
    EXPECT_TRUE(allowed(5, 1ULL << 54U));
    EXPECT_TRUE(allowed(5, 1ULL << 55U));
    EXPECT_FALSE(allowed(3, net_default_features & ~(1ULL << 10U)));
    EXPECT_FALSE(allowed(4, net_default_features & ~(1ULL << 8U)));
    EXPECT_FALSE(allowed(5, net_default_features & ~(3ULL << 54U)));
    EXPECT_FALSE(allowed(2, net_default_features)) << "no such type";
}

}  // namespace
}  // namespace sidecore::frontend
