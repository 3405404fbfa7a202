// SPDX-License-Identifier: Apache-2.0
// The numbers of the specification, and the arithmetic of free-running 16-bit indexes.
#include "virtqueue/split_layout.hh"

#include <array>
#include <cstring>
#include <initializer_list>

#include <gtest/gtest.h>

namespace sidecore::virtqueue {
namespace {

using Indexes = std::initializer_list<std::uint16_t>;

TEST(SplitLayout, of_a_descriptor) {
    const Descriptor descriptor{0x1122334455667788, 0x99aabbcc, 0xddee, 0xff01};
    const std::array<unsigned char, 16> expected{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                                                 0xcc, 0xbb, 0xaa, 0x99, 0xee, 0xdd, 0x01, 0xff};
    EXPECT_EQ(std::memcmp(&descriptor, expected.data(), 16), 0);
    EXPECT_EQ(Descriptor::flag_next, 1);
    EXPECT_EQ(Descriptor::flag_write, 2);
    EXPECT_EQ(Descriptor::flag_indirect, 4);
}

TEST(SplitLayout, of_a_used_element) {
    const UsedElement element{0x11223344, 0x55667788};
    const std::array<unsigned char, 8> expected{0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55};
    EXPECT_EQ(std::memcmp(&element, expected.data(), 8), 0);
}

TEST(SplitLayout, of_the_rings_is_as_long_as_the_specifications_table_says) {
    for (std::uint32_t size = 1; size <= max_queue_size; size *= 2) {
        EXPECT_EQ(AvailableRing::bytes(size, true), 6 + 2 * size);
        EXPECT_EQ(AvailableRing::bytes(size, false), 4 + 2 * size) << "used_event is not there";
        EXPECT_EQ(AvailableRing::used_event_offset(size), 4 + 2 * size);
        EXPECT_EQ(UsedRing::bytes(size, true), 6 + 8 * size);
        EXPECT_EQ(UsedRing::bytes(size, false), 4 + 8 * size);
        EXPECT_EQ(UsedRing::avail_event_offset(size), 4 + 8 * size);
    }
}

TEST(Index, distance_is_modulo_65536) {
    EXPECT_EQ(index_distance(5, 3), 2);
    EXPECT_EQ(index_distance(3, 5), 65534);
    EXPECT_EQ(index_distance(2, 65535), 3);
    EXPECT_EQ(index_distance(0, 32768), 32768);
    EXPECT_EQ(index_plus(65535, 1), 0);
    EXPECT_EQ(index_plus(1, 0xffff), 0);
    EXPECT_EQ(index_plus(65530, 32768), 32762);
}

/// 2.7.7.2 and 2.7.10.1 word for word: of all entries written, was the index of one the event's?
bool an_entry_was_written_at(std::uint16_t event, std::uint16_t now, std::uint16_t before) {
    for (std::uint16_t index = before; index != now; ++index) {
        if (index == event) {
            return true;
        }
    }
    return false;
}

TEST(PassedEvent, agrees_with_the_specifications_words_for_every_event_and_short_batches) {
    // Every event, wherever the batch starts, for batches of 0 to 3: only differences matter, so the starts are
    // those next to the wrap and a few others.
    for (const std::uint16_t before : Indexes{0, 1, 2, 1000, 32767, 32768, 65532, 65533, 65534, 65535}) {
        for (std::uint16_t count = 0; count <= 3; ++count) {
            const auto now = static_cast<std::uint16_t>(before + count);
            for (std::uint32_t event = 0; event <= 0xffff; ++event) {
                ASSERT_EQ(passed_event(static_cast<std::uint16_t>(event), now, before),
                          an_entry_was_written_at(static_cast<std::uint16_t>(event), now, before))
                    << "event " << event << ", from " << before << " to " << now;
            }
        }
    }
}

TEST(PassedEvent, agrees_with_the_specifications_words_for_every_batch_near_the_event) {
    for (const std::uint16_t event : Indexes{0, 1, 32767, 32768, 65534, 65535}) {
        for (int start = -40; start <= 3; ++start) {
            const auto before = static_cast<std::uint16_t>(event + start);
            for (std::uint16_t count = 0; count <= 64; ++count) {
                const auto now = static_cast<std::uint16_t>(before + count);
                ASSERT_EQ(passed_event(event, now, before), an_entry_was_written_at(event, now, before))
                    << "event " << event << ", from " << before << " to " << now;
            }
        }
    }
}

TEST(PassedEvent, agrees_with_the_specifications_words_for_the_longest_batches) {
    for (const std::uint32_t count : {32767U, 32768U, 65535U}) {
        for (const std::uint16_t before : Indexes{0, 1, 40000, 65535}) {
            const auto now = static_cast<std::uint16_t>(before + count);
            for (const int at : {-2, -1, 0, 1, 2}) {
                for (const std::uint16_t around : {before, now}) {
                    const auto event = static_cast<std::uint16_t>(around + at);
                    ASSERT_EQ(passed_event(event, now, before), an_entry_was_written_at(event, now, before))
                        << "event " << event << ", from " << before << " to " << now;
                }
            }
        }
    }
}

}  // namespace
}  // namespace sidecore::virtqueue
