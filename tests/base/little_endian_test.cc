// SPDX-License-Identifier: Apache-2.0
#include "base/little_endian.hh"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore {
namespace {

using ::testing::ElementsAre;

static_assert(sizeof(LittleEndian<std::uint16_t>) == 2 && alignof(LittleEndian<std::uint16_t>) == 2);
static_assert(sizeof(LittleEndian<std::uint64_t>) == 8 && alignof(LittleEndian<std::uint64_t>) == 8);
static_assert(std::is_trivially_copyable_v<LittleEndian<std::uint32_t>>);
static_assert(std::is_standard_layout_v<LittleEndian<std::uint32_t>>);

template <typename T>
auto bytes_of(LittleEndian<T> value) {
    return std::bit_cast<std::array<std::uint8_t, sizeof(T)>>(value);
}

TEST(LittleEndian, LeastSignificantByteComesFirst) {
    EXPECT_THAT(bytes_of(LittleEndian<std::uint8_t>(0x12)), ElementsAre(0x12));
    EXPECT_THAT(bytes_of(LittleEndian<std::uint16_t>(0x1234)), ElementsAre(0x34, 0x12));
    EXPECT_THAT(bytes_of(LittleEndian<std::uint32_t>(0x12345678)), ElementsAre(0x78, 0x56, 0x34, 0x12));
    EXPECT_THAT(bytes_of(LittleEndian<std::uint64_t>(0x0123456789abcdef)),
                ElementsAre(0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01));
}

TEST(LittleEndian, ReadsBackWhatWasStored) {
    const LittleEndian<std::uint32_t> value = 0xdeadbeef;
    EXPECT_EQ(static_cast<std::uint32_t>(value), 0xdeadbeefU);
    EXPECT_EQ(static_cast<std::uint64_t>(LittleEndian<std::uint64_t>(~std::uint64_t{0})), ~std::uint64_t{0});
}

TEST(LittleEndian, StructsAreReadFromBytesAsTheyLie) {
    struct Header {
        LittleEndian<std::uint32_t> type;
        LittleEndian<std::uint32_t> reserved;
        LittleEndian<std::uint64_t> sector;
    };
    constexpr std::array<std::uint8_t, 16> wire{1, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x01, 0, 0, 0, 0, 0, 0};
    static_assert(sizeof(Header) == wire.size());
    Header header;
    std::memcpy(&header, wire.data(), wire.size());
    EXPECT_EQ(header.type, 1U);
    EXPECT_EQ(header.reserved, 0U);
    EXPECT_EQ(header.sector, 0x180U);
}

TEST(LittleEndian, IsUsableInConstantExpressions) {
    constexpr LittleEndian<std::uint16_t> value = 512;
    static_assert(value == 512);
    constexpr LittleEndian<std::uint64_t> nothing;
    static_assert(nothing == 0);
    EXPECT_EQ(value + 1, 513);
}

}  // namespace
}  // namespace sidecore
