// SPDX-License-Identifier: Apache-2.0
#include "base/pieces.hh"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore {
namespace {

/// Some bytes in one block, cut into pieces; a gap of one byte before each piece so that going over its end shows.
class Pieces {
public:
    Pieces(const std::string& bytes, const std::vector<std::size_t>& lengths, std::size_t shift) {
        std::size_t room = shift;
        for (const std::size_t length : lengths) {
            room += length + 1;
        }
        block_.assign(room, std::byte{'!'});
        std::size_t place = shift;
        std::size_t from = 0;
        for (const std::size_t length : lengths) {
            std::memcpy(block_.data() + place, bytes.data() + from, length);
            segments_.push_back({block_.data() + place, length});
            place += length + 1;
            from += length;
        }
    }
    std::span<iovec> segments() { return segments_; }
    std::string block() const { return {reinterpret_cast<const char*>(block_.data()), block_.size()}; }

private:
    alignas(8) std::vector<std::byte> block_;
    std::vector<iovec> segments_;
};

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string rest_of(std::span<const iovec> segments) {
    std::string all;
    for (const iovec& segment : segments) {
        all.append(static_cast<const char*>(segment.iov_base), segment.iov_len);
    }
    return all;
}

const std::string letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

TEST(TakeFront, copies_and_takes_off_what_it_copied_however_it_is_cut) {
    const std::vector<std::vector<std::size_t>> cuts{
        {62}, {16, 46}, {1, 61}, {7, 9, 46}, {8, 8, 46}, {1, 1, 1, 1, 1, 1, 1, 1, 54}, {61, 1}};
    for (const auto& cut : cuts) {
        for (std::size_t shift = 0; shift < 8; ++shift) {
            for (const std::size_t wanted : std::initializer_list<std::size_t>{0, 1, 7, 8, 15, 16, 17, 61, 62}) {
                Pieces pieces(letters, cut, shift);
                auto segments = pieces.segments();
                std::vector<std::byte> out(wanted);
                ASSERT_EQ(take_front(segments, out), wanted);
                ASSERT_EQ(text_of(out), letters.substr(0, wanted));
                ASSERT_EQ(rest_of(segments), letters.substr(wanted));
            }
        }
    }
}

TEST(TakeFront, takes_what_there_is_if_that_is_less) {
    Pieces pieces("abcde", {2, 3}, 0);
    auto segments = pieces.segments();
    std::array<std::byte, 16> out{};
    EXPECT_EQ(take_front(segments, out), 5U);
    EXPECT_EQ(text_of(std::span(out).first(5)), "abcde");
    EXPECT_TRUE(segments.empty());
    EXPECT_EQ(take_front(segments, out), 0U);
}

TEST(TakeFront, leaves_no_empty_piece_in_front) {
    Pieces pieces("abcdef", {3, 3}, 0);
    auto segments = pieces.segments();
    std::array<std::byte, 3> out{};
    take_front(segments, out);
    ASSERT_EQ(segments.size(), 1U);
    EXPECT_EQ(segments[0].iov_len, 3U);
}

TEST(PutFront, fills_from_the_front_and_nothing_beside) {
    Pieces pieces("..........", {3, 1, 6}, 0);
    auto segments = pieces.segments();
    const std::string data = "vwxyz";
    EXPECT_EQ(put_front(segments, std::as_bytes(std::span(data))), 5U);
    EXPECT_EQ(pieces.block(), "vwx!y!z.....!");
    EXPECT_EQ(rest_of(segments), ".....");
}

TEST(PutFront, fills_what_it_is_asked_to_wherever_that_begins) {
    for (std::size_t shift = 0; shift < 8; ++shift) {
        for (const std::size_t wanted : std::initializer_list<std::size_t>{1, 3, 4, 7, 8, 10, 12, 15, 16, 17}) {
            Pieces pieces(std::string(20, '.'), {20}, shift);
            auto segments = pieces.segments();
            const std::string data = letters.substr(0, wanted);
            ASSERT_EQ(put_front(segments, std::as_bytes(std::span(data))), wanted);
            ASSERT_EQ(pieces.block(), std::string(shift, '!') + data + std::string(20 - wanted, '.') + "!");
        }
    }
}

TEST(PutFront, says_how_much_fitted) {
    Pieces pieces("...", {2, 1}, 0);
    auto segments = pieces.segments();
    const std::string data = "vwxyz";
    EXPECT_EQ(put_front(segments, std::as_bytes(std::span(data))), 3U);
    EXPECT_EQ(pieces.block(), "vw!x!");
    EXPECT_TRUE(segments.empty());
}

TEST(SkipFront, takes_off_and_leaves_the_bytes_alone) {
    Pieces pieces("abcdef", {2, 3, 1}, 0);
    auto segments = pieces.segments();
    EXPECT_EQ(skip_front(segments, 3), 3U);
    EXPECT_EQ(rest_of(segments), "def");
    EXPECT_EQ(skip_front(segments, 9), 3U);
    EXPECT_TRUE(segments.empty());
    EXPECT_EQ(pieces.block(), "ab!cde!f!");
}

TEST(SplitFront, takes_off_pieces_and_shares_one_that_it_needs_in_part) {
    Pieces pieces("abcdef", {2, 3, 1}, 0);
    auto segments = pieces.segments();
    std::array<iovec, 4> out{};
    ASSERT_EQ(split_front(segments, 4, out), 2U);
    EXPECT_EQ(rest_of(std::span(out).first(2)), "abcd");
    EXPECT_EQ(rest_of(segments), "ef");
    EXPECT_EQ(split_front(segments, 0, out), 0U);
    EXPECT_EQ(split_front(segments, 9, out), 2U);
    EXPECT_TRUE(segments.empty());
}

TEST(SplitFront, ends_where_there_is_no_room_for_another_piece) {
    Pieces pieces("abcdef", {1, 1, 4}, 0);
    auto segments = pieces.segments();
    std::array<iovec, 2> out{};
    EXPECT_EQ(split_front(segments, 6, out), 2U);
    EXPECT_EQ(rest_of(segments), "cdef");
}

TEST(PutFront, comes_to_the_same_wherever_it_begins) {
    for (std::size_t shift = 0; shift < 8; ++shift) {
        for (std::size_t length = 0; length <= letters.size(); ++length) {
            Pieces pieces(std::string(letters.size(), '.'), {5, letters.size() - 5}, shift);
            auto segments = pieces.segments();
            EXPECT_EQ(put_front(segments, std::as_bytes(std::span(letters).first(length))), length);
            const std::string written = letters.substr(0, length) + std::string(letters.size() - length, '.');
            EXPECT_EQ(pieces.block(), std::string(shift, '!') + written.substr(0, 5) + '!' + written.substr(5) + '!');
        }
    }
}

TEST(LimitTo, leaves_so_much_of_the_front_and_no_empty_piece) {
    for (std::size_t bytes = 0; bytes <= 7; ++bytes) {
        Pieces pieces("abcdef", {2, 3, 1}, 0);
        auto segments = pieces.segments();
        EXPECT_EQ(limit_to(segments, bytes), std::min<std::size_t>(bytes, 6));
        EXPECT_EQ(rest_of(segments), std::string("abcdef").substr(0, bytes));
        EXPECT_TRUE(segments.empty() || segments.back().iov_len != 0);
    }
}

TEST(TakeLastByte, shortens_the_last_piece_and_drops_it_when_it_is_empty) {
    Pieces pieces("abcd", {2, 2}, 0);
    auto segments = pieces.segments();
    store_byte(take_last_byte(segments), std::byte{'S'});
    EXPECT_EQ(pieces.block(), "ab!cS!");
    EXPECT_EQ(rest_of(segments), "abc");
    EXPECT_EQ(static_cast<char>(*take_last_byte(segments)), 'c');
    EXPECT_EQ(segments.size(), 1U);
    EXPECT_EQ(static_cast<char>(*take_last_byte(segments)), 'b');
    EXPECT_EQ(static_cast<char>(*take_last_byte(segments)), 'a');
    EXPECT_TRUE(segments.empty());
}

}  // namespace
}  // namespace sidecore
