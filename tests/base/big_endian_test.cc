// SPDX-License-Identifier: Apache-2.0
#include "base/big_endian.hh"

#include <array>

#include <gtest/gtest.h>

namespace sidecore {
namespace {

TEST(BigEndian, the_most_significant_byte_is_first) {
    const std::array bytes{std::byte{0x12}, std::byte{0x34}, std::byte{0xff}};
    EXPECT_EQ(load_big_endian(bytes), 0x1234ffU);
    EXPECT_EQ(load_big_endian<std::uint16_t>(std::span(bytes).first(2)), 0x1234U);
    EXPECT_EQ(load_big_endian(std::span(bytes).first(0)), 0U);
}

TEST(BigEndian, writes_as_many_bytes_as_there_is_room_for) {
    std::array<std::byte, 4> bytes{std::byte{0xaa}, std::byte{0xaa}, std::byte{0xaa}, std::byte{0xaa}};
    store_big_endian(std::span(bytes).subspan(1, 2), 0x123456);
    EXPECT_EQ(bytes, (std::array{std::byte{0xaa}, std::byte{0x34}, std::byte{0x56}, std::byte{0xaa}}));
}

TEST(BigEndian, eight_bytes_come_back) {
    std::array<std::byte, 8> bytes{};
    store_big_endian(bytes, 0xfedcba9876543210U);
    EXPECT_EQ(bytes[0], std::byte{0xfe});
    EXPECT_EQ(load_big_endian(bytes), 0xfedcba9876543210U);
}

}  // namespace
}  // namespace sidecore
