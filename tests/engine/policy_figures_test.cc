// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_figures.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/policy.hh"

namespace sidecore::engine {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr PolicyFigures learned{.price_ns = 5'440,
                                .threshold_ns = 1'234,
                                .learned_threshold_ns = 1'234,
                                .credit_ns = 9'000,
                                .gaps = 17,
                                .mean_gap_ns = 2'500,
                                .paid_ns = 130,
                                .optimal_ns = 100};

TEST(Explain, EveryKindHasASentence) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always, PolicyKind::rate, PolicyKind::fixed,
                                  PolicyKind::grow_shrink, PolicyKind::breakeven, PolicyKind::adaptive}) {
        const PolicySettings settings{.kind = kind};
        const std::string text = explain(settings, make_policy(settings, Costs{})->figures());
        EXPECT_GT(text.size(), 30U);
        EXPECT_EQ(text.back(), '.') << text;
    }
}

TEST(Explain, NamesTheParametersThatMatter) {
    EXPECT_EQ(explain({.kind = PolicyKind::rate}, {}),
              "The queue is polled from 4 works within 1 ms on, until it has had none for 3 s.");
    EXPECT_EQ(explain({.kind = PolicyKind::fixed}, {.threshold_ns = 50'000}),
              "The queue is polled for 50 us after its last work.");
    EXPECT_THAT(explain({.kind = PolicyKind::grow_shrink}, {}), HasSubstr("longer than 200 us"));
    EXPECT_THAT(explain({.kind = PolicyKind::grow_shrink}, {.threshold_ns = 20'000}), HasSubstr("polled for 20 us"));
    EXPECT_THAT(explain({.kind = PolicyKind::breakeven}, {.threshold_ns = 5'440}), HasSubstr("5.44 us"));
}

TEST(Explain, SaysWhatTheLearnedThresholdRestsOn) {
    EXPECT_EQ(explain({.kind = PolicyKind::adaptive}, learned),
              "While its worker is awake, the queue looks on for 1.23 us after its last work, then waits for a kick: "
              "gaps lately "
              "were 2.5 us on average, and being woken costs as much as looking on for "
              "5.44 us; so far that cost 1.30 times the least possible.");
    EXPECT_THAT(explain_spinning(learned),
                HasSubstr("The worker looks on for 1.23 us after its last work, then sleeps: "));
}

TEST(Explain, SaysWhenTheBoundStoodInTheWay) {
    EXPECT_THAT(explain_spinning(learned), Not(HasSubstr("bound")));
    PolicyFigures bounded = learned;
    bounded.learned_threshold_ns = 0;
    bounded.credit_ns = 4'206;
    EXPECT_THAT(explain_spinning(bounded),
                HasSubstr("0 ns would be cheapest, but the bound allows no more than 4.21 us off the price"));
}

TEST(Explain, SaysWhenItDoesNotLookOnAtAll) {
    PolicyFigures rare = learned;
    rare.threshold_ns = rare.learned_threshold_ns = 0;
    EXPECT_THAT(explain_spinning(rare), HasSubstr("The worker does not look on after its last work: "));
}

}  // namespace
}  // namespace sidecore::engine
