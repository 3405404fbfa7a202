// SPDX-License-Identifier: Apache-2.0
#include "capture/pcapng.hh"

#include <bit>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace sidecore::capture::pcapng {
namespace {

static_assert(std::endian::native == std::endian::little, "the golden bytes are little-endian");

std::string hex(const Bytes& bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        constexpr std::string_view digits = "0123456789abcdef";
        text += i != 0 && i % 4 == 0 ? " " : "";
        text += digits[std::to_integer<unsigned>(bytes[i]) >> 4U];
        text += digits[std::to_integer<unsigned>(bytes[i]) & 15U];
    }
    return text;
}

Bytes header() {
    Bytes file;
    append_header(file, "me", "net0", 96);
    return file;
}

/// A header, three packets with statistics before the last.
Bytes some_file() {
    Bytes file = header();
    for (std::uint32_t bytes = 14; bytes < 17; ++bytes) {
        const auto place = append_packet(file, {bytes, 1000 + bytes, bytes, 0, Direction::in});
        std::fill(place.begin(), place.end(), static_cast<std::byte>(bytes));
        if (bytes == 15) {
            append_statistics(file, 1, {7, 5});
        }
    }
    return file;
}

TEST(Pcapng, TheHeaderIsAsTheFormatSays) {
    EXPECT_EQ(hex(header()),
              // section header: length, byte order, version 1.0, section length unknown, application "me"
              "0a0d0d0a 28000000 4d3c2b1a 01000000 ffffffff ffffffff 04000200 6d650000 00000000 28000000 "
              // interface: Ethernet, snap length, name "net0", resolution 10^-9
              "01000000 28000000 01000000 60000000 02000400 6e657430 09000100 09000000 00000000 28000000");
}

TEST(Pcapng, APacketIsAsTheFormatSays) {
    Bytes file;
    const Record record{0x0123456789abcdef, 1514, 5, 3, Direction::out};
    const auto place = append_packet(file, record);
    std::memcpy(place.data(), "abcde", place.size());
    EXPECT_EQ(hex(file),
              "06000000 3c000000 00000000 67452301 efcdab89 05000000 ea050000 61626364 65000000 "
              "02000400 02000000 06000400 03000000 00000000 3c000000");
    EXPECT_EQ(packet_block_bytes(record), file.size());
}

TEST(Pcapng, StatisticsAreAsTheFormatSaysAndCanBeReadBack) {
    Bytes file;
    append_statistics(file, 0x0123456789abcdef, {258, 1});
    EXPECT_EQ(hex(file),
              "05000000 34000000 00000000 67452301 efcdab89 04000800 02010000 00000000 05000800 01000000 00000000 "
              "00000000 34000000");
    EXPECT_EQ(read_statistics({BlockType::interface_statistics, file}), (Statistics{258, 1}));
    EXPECT_EQ(read_statistics({BlockType::enhanced_packet, file}), std::nullopt);
    file.resize(24);
    EXPECT_EQ(read_statistics({BlockType::interface_statistics, file}), std::nullopt);
}

TEST(Pcapng, BlocksAreCutOutOfPiecesOfAnyLength) {
    const Bytes file = some_file();
    for (std::size_t length = 1; length <= file.size(); ++length) {
        BlockCutter cutter;
        Bytes again;
        std::size_t packets = 0;
        std::optional<Statistics> statistics;
        for (std::size_t at = 0; at < file.size(); at += length) {
            const auto piece = std::span(file).subspan(at, std::min(length, file.size() - at));
            ASSERT_TRUE(cutter.feed(piece, [&](const Block& block) {
                again.insert(again.end(), block.bytes.begin(), block.bytes.end());
                packets += block.type == BlockType::enhanced_packet ? 1 : 0;
                statistics = read_statistics(block) ? read_statistics(block) : statistics;
                return true;
            }));
        }
        ASSERT_EQ(again, file) << length;
        EXPECT_EQ(packets, 3U);
        EXPECT_EQ(statistics, (Statistics{7, 5}));
    }
}

TEST(Pcapng, CuttingEndsWhenNoMoreIsWanted) {
    BlockCutter cutter;
    int seen = 0;
    ASSERT_TRUE(cutter.feed(some_file(), [&](const Block&) { return ++seen < 3; }));
    EXPECT_EQ(seen, 3);
}

TEST(Pcapng, WhatIsNoneIsRefused) {
    const auto refused = [](Bytes file) {
        const auto fed = BlockCutter().feed(file, [](const Block&) { return true; });
        return !fed && fed.error().kind == ErrorKind::protocol_violation;
    };
    EXPECT_FALSE(refused(some_file()));
    EXPECT_TRUE(refused(Bytes(64, std::byte{'x'})));
    const std::size_t second = header().size();
    for (const std::uint32_t length : {0U, 8U, 61U, 1U << 31U}) {
        Bytes file = some_file();
        std::memcpy(file.data() + second + 4, &length, sizeof length);
        EXPECT_TRUE(refused(file)) << length;
    }
    Bytes other_order = some_file();
    std::reverse(other_order.begin() + 8, other_order.begin() + 12);
    EXPECT_TRUE(refused(other_order));
    Bytes no_section = some_file();
    no_section.erase(no_section.begin(), no_section.begin() + 40);
    EXPECT_TRUE(refused(no_section));
}

}  // namespace
}  // namespace sidecore::capture::pcapng
