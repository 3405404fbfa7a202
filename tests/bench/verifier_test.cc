// SPDX-License-Identifier: Apache-2.0
#include "verifier.hh"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::bench {
namespace {

using Bytes = std::vector<std::byte>;

class VerifierTest : public testing::Test {
protected:
    Verifier verifier{800, 4, 1024, 7};

    Bytes write(std::uint32_t block, bool well = true) {
        Bytes data(1024);
        verifier.fill(verifier.claim(block), data);
        verifier.written(block, well);
        return data;
    }
    bool reads(std::uint32_t block, const Bytes& data) { return verifier.read(verifier.claim(block), data); }
};

TEST_F(VerifierTest, WhatWasWrittenLastIsRightAndNothingElse) {
    const Bytes first = write(1);
    const Bytes other = write(2);
    EXPECT_TRUE(reads(1, first));
    EXPECT_FALSE(reads(1, other)) << "of another block";
    EXPECT_FALSE(reads(1, Bytes(1024)));
    const Bytes second = write(1);
    EXPECT_FALSE(reads(1, first)) << "an earlier write";
    EXPECT_TRUE(reads(1, second));
}

TEST_F(VerifierTest, EveryWordCounts) {
    const Bytes data = write(0);
    for (std::size_t at = 0; at < data.size(); at += 8) {
        Bytes damaged = data;
        damaged[at + at % 7] ^= std::byte{1};
        EXPECT_FALSE(reads(0, damaged)) << at;
    }
    Bytes torn = data;
    const Bytes next = write(0);
    std::copy_n(next.begin(), 512, torn.begin());
    EXPECT_FALSE(reads(0, torn));
}

TEST_F(VerifierTest, BlocksThatNobodyKnowsMayHoldAnything) {
    EXPECT_TRUE(reads(3, Bytes(1024, std::byte{9})));
    write(3, false);
    EXPECT_TRUE(reads(3, Bytes(1024, std::byte{9}))) << "after a write that failed";
    const Bytes data = write(3);
    EXPECT_TRUE(reads(3, data));
    EXPECT_FALSE(reads(3, Bytes(1024, std::byte{9})));
}

TEST_F(VerifierTest, ABlockHasOneRequestAtATime) {
    EXPECT_EQ(verifier.claim(3), 3U);
    EXPECT_EQ(verifier.claim(3), 0U);
    EXPECT_EQ(verifier.claim(3), 1U);
    verifier.give_back(3);
    EXPECT_EQ(verifier.claim(3), 3U);
}

TEST_F(VerifierTest, EachRunHasDataOfItsOwn) {
    Verifier other{800, 4, 1024, 8};
    Bytes data(1024);
    other.fill(other.claim(1), data);
    EXPECT_NE(data, write(1));
    EXPECT_EQ(verifier.sector_of(0), 800U);
    EXPECT_EQ(verifier.sector_of(3), 806U);
}

}  // namespace
}  // namespace sidecore::bench
