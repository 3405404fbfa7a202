// SPDX-License-Identifier: Apache-2.0
#include "engine/call_moderation.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

TEST(CallModeration, IsOffUnlessBothLimitsLeaveRoom) {
    EXPECT_FALSE(CallModeration().active());
    EXPECT_FALSE(CallModeration(1, 1000).active());
    EXPECT_FALSE(CallModeration(32, 0).active());
    EXPECT_TRUE(CallModeration(2, 1).active());
}

TEST(CallModeration, ADriverThatWaitsForItsLastRequestIsCalledAtOnce) {
    CallModeration moderation(32, 1000);
    moderation.owe(5);
    EXPECT_TRUE(moderation.due(5, 1, false));
}

TEST(CallModeration, WaitsForMoreUntilThereAreEnough) {
    CallModeration moderation(32, 1000);
    moderation.owe(5);
    EXPECT_FALSE(moderation.due(5, 31, true));
    EXPECT_TRUE(moderation.due(5, 32, true));
}

TEST(CallModeration, NoCompletionWaitsForLongerThanTheLongestDelay) {
    CallModeration moderation(1000, 1000);
    for (std::uint64_t now = 0; now < 1'000'000;) {
        moderation.owe(now);
        moderation.owe(now + 1);  // something came, so the delay grows as far as it may
        ASSERT_TRUE(moderation.due(now + 1000, 2, true));
        now += 1000;
        moderation.told(now, true);
    }
    EXPECT_EQ(moderation.delay(), 1000U);
}

TEST(CallModeration, WaitingInVainShortensTheDelay) {
    CallModeration moderation(1000, 1000);
    for (std::uint64_t now = 0; now < 100'000; now += 2000) {
        moderation.owe(now);
        moderation.told(now + moderation.delay(), true);
    }
    EXPECT_EQ(moderation.delay(), 1000U / 16);
}

TEST(CallModeration, WhereNobodyWaitsItIsAsLateAsItMayBe) {
    CallModeration moderation(32, 1000, false);
    for (std::uint64_t now = 0; now < 100'000; now += 2000) {  // a batch at a time, and nothing more on its way
        moderation.owe(now);
        EXPECT_FALSE(moderation.due(now + 999, 31, false));
        EXPECT_TRUE(moderation.due(now + 1000, 1, false));
        EXPECT_TRUE(moderation.due(now, 32, false));
        moderation.told(now + 1000, false);
    }
    EXPECT_EQ(moderation.delay(), 1000U);
}

TEST(CallModeration, CountsTheCallsThatItSaved) {
    CallModeration moderation(1000, 1000);
    for (int batch = 0; batch < 5; ++batch) {
        moderation.owe(10);
    }
    EXPECT_EQ(moderation.told(20, true), 4U);
    EXPECT_EQ(moderation.told(30, true), 0U);
}

}  // namespace
}  // namespace sidecore::engine
