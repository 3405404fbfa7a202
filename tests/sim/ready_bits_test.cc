// SPDX-License-Identifier: Apache-2.0
#include "sim/ready_bits.hh"

#include <gtest/gtest.h>

namespace sidecore::sim {
namespace {

TEST(ReadyBits, FindsTheNextPlaceThatIsReady) {
    ReadyBits bits;
    bits.resize(200);
    for (const std::size_t place : {0U, 5U, 63U, 64U, 199U}) {
        bits.set(place, true);
    }
    std::vector<std::size_t> found;
    for (std::size_t place = bits.next(0, 200); place != 200; place = bits.next(place + 1, 200)) {
        found.push_back(place);
    }
    EXPECT_EQ(found, (std::vector<std::size_t>{0, 5, 63, 64, 199}));
    bits.set(64, false);
    EXPECT_EQ(bits.next(64, 200), 199U);
    EXPECT_EQ(bits.next(200, 200), 200U);
    EXPECT_EQ(bits.next(1'000, 200), 200U);
}

TEST(ReadyBits, GrowingKeepsWhatIsReadyAndResizingDoesNot) {
    ReadyBits bits;
    EXPECT_EQ(bits.next(0, 0), 0U);
    bits.grow(3);
    bits.set(2, true);
    bits.grow(300);
    EXPECT_EQ(bits.next(0, 300), 2U);
    EXPECT_EQ(bits.next(3, 300), 300U);
    bits.resize(300);
    EXPECT_EQ(bits.next(0, 300), 300U);
}

}  // namespace
}  // namespace sidecore::sim
