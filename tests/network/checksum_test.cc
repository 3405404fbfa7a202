// SPDX-License-Identifier: Apache-2.0
#include "network/checksum.hh"

#include <algorithm>
#include <vector>

// clang-format off: RapidCheck's header needs GoogleTest's before it
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
// clang-format on

#include "network/frames.hh"

namespace sidecore::network::test {
namespace {

std::uint16_t checksum_of(const Bytes& bytes) {
    InternetChecksum checksum;
    checksum.add(bytes);
    return checksum.finished();
}

Bytes bytes(std::initializer_list<unsigned> values) {
    Bytes out;
    for (const unsigned value : values) {
        out.push_back(static_cast<std::byte>(value));
    }
    return out;
}

TEST(InternetChecksumTest, IsThatOfTheRfcsExample) {
    // RFC 1071, 3.
    InternetChecksum checksum;
    checksum.add(bytes({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}));
    EXPECT_EQ(checksum.sum(), 0xddf2);
    EXPECT_EQ(checksum.finished(), 0x220d);
}

TEST(InternetChecksumTest, NothingSumsUpToNothing) {
    EXPECT_EQ(InternetChecksum().sum(), 0);
    InternetChecksum checksum;
    checksum.add({});
    EXPECT_EQ(checksum.finished(), 0xffff);
}

TEST(InternetChecksumTest, CarriesAreNotLost) {
    for (const std::size_t length : {1U, 2U, 7U, 8U, 9U, 31U, 32U, 33U, 64U, 65'535U, 1'000'001U}) {
        const Bytes all(length, std::byte{0xff});
        EXPECT_EQ(checksum_of(all), simple_checksum(all)) << length;
    }
}

TEST(InternetChecksumTest, ZeroIsAvoidedWhereItMeansNoChecksum) {
    InternetChecksum checksum;
    checksum.add_16(0xffff);
    EXPECT_EQ(checksum.finished(), 0);
    EXPECT_EQ(checksum.finished_not_zero(), 0xffff);
    checksum.add_16(1);
    EXPECT_EQ(checksum.finished_not_zero(), 0xfffe);
}

RC_GTEST_PROP(InternetChecksumProperty, DoesNotDependOnHowBytesAreCut, ()) {
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    Random random(seed);
    Bytes all(*rc::gen::inRange<std::size_t>(0, 3000));
    std::generate(all.begin(), all.end(), [&] { return static_cast<std::byte>(random()); });
    InternetChecksum checksum;
    std::size_t done = 0;
    while (done < all.size()) {
        const std::size_t length = std::min<std::size_t>(random() % (random() % 2 == 0 ? 5 : 200), all.size() - done);
        checksum.add(std::span(all).subspan(done, length));
        done += length;
    }
    RC_ASSERT(checksum.finished() == simple_checksum(all));
}

}  // namespace
}  // namespace sidecore::network::test
