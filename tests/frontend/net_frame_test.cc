// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_frame.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::frontend {
namespace {

TEST(NetFrame, IsAUdpDatagram) {
    const std::array payload{std::byte{0xab}};
    const auto frame = make_udp_frame({}, payload);
    constexpr std::array<std::uint8_t, 43> expected{
        2,    0,    0,    0,    0,   2,               // to
        2,    0,    0,    0,    0,   1,               // from
        8,    0,                                      // IPv4
        0x45, 0,    0,    29,                         // version 4, 20 bytes of header; 29 bytes in all
        0,    0,    0x40, 0,                          // do not fragment
        64,   17,   0xb6, 0xcc,                       // UDP; checksum, worked out apart from the code
        192,  0,    2,    1,    192, 0, 2, 2,         // addresses
        0x12, 0x67, 0,    7,    0,   9, 0, 0, 0xab};  // ports, length, no checksum, payload
    ASSERT_EQ(frame.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(std::to_integer<unsigned>(frame[i]), expected.at(i)) << i;
    }
    EXPECT_EQ(net_udp_header_bytes, 42U);
}

TEST(NetFrame, TheChecksumIsOverTheWholeHeader) {
    NetRoute route;
    for (unsigned i = 0; i < 512; ++i) {
        route.destination = {static_cast<std::uint8_t>(255 - i % 7), static_cast<std::uint8_t>(i), 255, 255};
        const auto frame = make_udp_frame(route, std::vector<std::byte>(i * 100));
        std::uint32_t sum = 0;
        for (std::size_t at = 14; at < 34; at += 2) {
            sum += std::to_integer<unsigned>(frame[at]) * 256 + std::to_integer<unsigned>(frame[at + 1]);
        }
        // RFC 1071: the ones' complement sum of a header with its checksum is all ones.
        EXPECT_EQ((sum & 0xffffU) + (sum >> 16U), 0xffffU) << i;
    }
}

}  // namespace
}  // namespace sidecore::frontend
