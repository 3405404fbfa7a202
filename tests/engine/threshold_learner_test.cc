// SPDX-License-Identifier: Apache-2.0
#include "engine/threshold_learner.hh"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

// clang-format off: RapidCheck's header needs GoogleTest's before it
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
// clang-format on

namespace sidecore::engine {
namespace {

constexpr std::uint64_t B = 5'000;

/// A learner and the account of what it really costs, kept apart from its own.
struct Account {
    ThresholdLearner learner;
    // The first wake-up, which nobody is spared.
    std::uint64_t paid = 0;
    std::uint64_t optimal = 0;
    std::uint64_t threshold = 0;

    std::uint64_t begin(std::uint64_t price = B, std::uint64_t at_least = 0) {
        if (paid == 0) {
            paid = optimal = price;
        }
        price_ = price;
        return threshold = learner.begin(price, at_least);
    }

    /// Returns what the gap cost.
    std::uint64_t end(std::uint64_t gap) {
        learner.end(gap);
        const std::uint64_t cost = gap <= threshold ? gap : threshold + price_;
        paid += cost;
        optimal += std::min(gap, price_);
        return cost;
    }

    std::uint64_t gap(std::uint64_t length) {
        begin();
        return end(length);
    }

private:
    std::uint64_t price_ = 0;
};

TEST(ThresholdLearner, KnowsNothingAtFirstAndTakesThePrice) {
    ThresholdLearner learner;
    EXPECT_EQ(learner.begin(B), B);
    EXPECT_LE(sizeof learner, 1536U);
}

TEST(ThresholdLearner, SleepsAtOnceWhenGapsAreLong) {
    Account account;
    for (int i = 0; i < 3; ++i) {
        account.gap(100 * B);
    }
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(account.gap(100 * B), B);
    }
}

TEST(ThresholdLearner, LooksOnWhenGapsAreShort) {
    Account account;
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(account.gap(B / 10), B / 10);
    }
}

TEST(ThresholdLearner, TheAdversaryOfBreakEvenIsNoneOfItsOwn) {
    Account account;
    account.gap(B + B / 10);
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(account.gap(B + B / 10), B);
    }
}

TEST(ThresholdLearner, LearnsToWaitForTheShortOnesOfTwoKinds) {
    Account account;
    for (int i = 0; i < 200; ++i) {
        account.gap(i % 2 == 0 ? B / 10 : 100 * B);
    }
    EXPECT_NEAR(static_cast<double>(account.begin()), B / 10.0, B / 40.0);
}

TEST(ThresholdLearner, HasAdaptedToAnotherLoadBeforeItsExtraCostComesToTenPrices) {
    for (const auto& [before, after] :
         {std::pair{100 * B, B / 10}, {B / 10, 100 * B}, {B / 3, 10 * B}, {10 * B, B / 3}}) {
        Account account;
        for (int i = 0; i < 5'000; ++i) {
            account.gap(before);
        }
        const std::uint64_t paid_before = account.paid;
        constexpr std::uint64_t gaps = 100;
        for (std::uint64_t i = 0; i < gaps; ++i) {
            account.gap(after);
        }
        EXPECT_LE(account.paid - paid_before, gaps * std::min(after, B) + 10 * B) << before << " to " << after;
        EXPECT_LE(account.gap(after), std::min(after, B) * 5 / 4);
    }
}

TEST(ThresholdLearner, AGapOfNothingIsNone) {
    Account account;
    account.begin();
    account.learner.end(0);
    EXPECT_EQ(account.learner.figures().gaps, 0U);
    account.learner.end(B / 2);
    EXPECT_EQ(account.learner.figures().gaps, 1U);
    account.learner.end(B / 2);  // nothing has begun since
    EXPECT_EQ(account.learner.figures().gaps, 1U);
}

TEST(ThresholdLearner, ItsFiguresAreTheAccount) {
    Account account;
    std::mt19937_64 random(1);
    for (int i = 0; i < 1'000; ++i) {
        account.gap(1 + random() % (3 * B));
    }
    const PolicyFigures figures = account.learner.figures();
    EXPECT_EQ(figures.price_ns, B);
    EXPECT_EQ(figures.threshold_ns, account.threshold);
    EXPECT_EQ(figures.gaps, 1'000U);
    EXPECT_EQ(figures.paid_ns, static_cast<double>(account.paid));
    EXPECT_EQ(figures.optimal_ns, static_cast<double>(account.optimal));
    EXPECT_NEAR(figures.mean_gap_ns, 1.5 * B, 0.1 * B);
}

TEST(ThresholdLearner, TheBoundHoldsAgainstWorkThatAlwaysComesJustAfterItGaveUp) {
    Account account;
    for (int i = 0; i < 100'000; ++i) {
        account.gap(account.begin() + 1);
        ASSERT_LE(account.paid, 2 * account.optimal) << "after gap " << i;
    }
}

TEST(ThresholdLearner, TheBoundHoldsFromAnyMomentOnButForTheCredit) {
    Account account;
    for (int i = 0; i < 10'000; ++i) {
        account.gap(B / 2);
    }
    ASSERT_EQ(account.learner.figures().credit_ns, ThresholdLearner::most_credit * B);
    const Account before = account;
    for (int i = 0; i < 10'000; ++i) {
        account.gap(account.begin() + 1);
        ASSERT_LE(account.paid - before.paid,
                  2 * (account.optimal - before.optimal) + ThresholdLearner::most_credit * B);
    }
}

TEST(ThresholdLearner, TheSmallestCreditDoublesWithEachLongGap) {
    Account account;
    // Until hardly anything is left of the credit.
    for (int i = 0; i < 10'000; ++i) {
        account.gap(account.begin() + 1);
        if (account.learner.figures().credit_ns < 10) {
            break;
        }
    }
    const std::uint64_t least = account.learner.figures().credit_ns;
    ASSERT_GT(least, 0U);
    ASSERT_LT(least, B / 10);
    for (int i = 0; i < 40; ++i) {
        account.gap(100 * B);
    }
    EXPECT_LE(account.gap(100 * B), B + B / 16);
}

/// What somebody may do who sees the threshold and wants to hurt, or does not care.
enum class Move : std::uint8_t { just_missed, just_found, price, just_above_price, short_gap, long_gap, anything };

struct Step {
    Move move;
    std::uint64_t price;
    std::uint64_t random;

    std::uint64_t gap(std::uint64_t threshold) const {
        switch (move) {
            case Move::just_missed:
                return threshold + 1;
            case Move::just_found:
                return std::max<std::uint64_t>(threshold, 1);
            case Move::price:
                return price;
            case Move::just_above_price:
                return price + 1;
            case Move::short_gap:
                return 1 + random % std::max<std::uint64_t>(price / 8, 1);
            case Move::long_gap:
                return price * (2 + random % 1'000);
            case Move::anything:
                break;
        }
        return 1 + random % (4 * price);
    }
};

void showValue(const Step& step, std::ostream& out) {
    out << "{move " << static_cast<int>(step.move) << ", price " << step.price << ", random " << step.random << "}";
}

rc::Gen<std::vector<Step>> steps(rc::Gen<std::uint64_t> prices) {
    const auto step = rc::gen::build<Step>(
        rc::gen::set(&Step::move,
                     rc::gen::map(rc::gen::inRange(0, 7), [](int move) { return static_cast<Move>(move); })),
        rc::gen::set(&Step::price, std::move(prices)),
        rc::gen::set(&Step::random, rc::gen::inRange<std::uint64_t>(0, 1'000'000)));
    // Each step many times over, so that a habit forms before it is broken.
    return rc::gen::map(
        rc::gen::container<std::vector<std::pair<Step, int>>>(rc::gen::pair(step, rc::gen::inRange(1, 30))),
        [](const std::vector<std::pair<Step, int>>& habits) {
            std::vector<Step> all;
            for (const auto& [habit, times] : habits) {
                all.insert(all.end(), static_cast<std::size_t>(times), habit);
            }
            return all;
        });
}

void check_bound(const std::vector<Step>& trace) {
    Account account;
    for (const Step& step : trace) {
        const std::uint64_t threshold = account.begin(step.price);
        account.end(step.gap(threshold));
        RC_ASSERT(account.paid <= 2 * account.optimal);
        RC_ASSERT(account.learner.figures().credit_ns > 0U);
        RC_ASSERT(account.learner.figures().credit_ns <= 2 * account.optimal - account.paid);
    }
}

RC_GTEST_PROP(ThresholdLearnerProperty, NeverPaysMoreThanTwiceWhatAClairvoyantPays, ()) {
    check_bound(*steps(rc::gen::just(B)));
}

RC_GTEST_PROP(ThresholdLearnerProperty, NorWhenThePriceChangesAllTheTime, ()) {
    check_bound(*steps(rc::gen::inRange<std::uint64_t>(1, 100'000)));
}

RC_GTEST_PROP(ThresholdLearnerProperty, NorWhenItMustWaitForSomeTime, ()) {
    Account account;
    for (const Step& step : *steps(rc::gen::just(B))) {
        const std::uint64_t at_least = step.random % (2 * B);  // as if it were B, if it is more
        const std::uint64_t threshold = account.begin(step.price, at_least);
        RC_ASSERT(threshold >= std::min(at_least, B));
        account.end(step.gap(threshold));
        RC_ASSERT(account.paid <= 2 * account.optimal);
    }
}

RC_GTEST_PROP(ThresholdLearnerProperty, GapsThatAreAllAlikeAndRandomCostLittleMoreThanTheBestThreshold, ()) {
    const double mean = static_cast<double>(*rc::gen::inRange<std::uint64_t>(B / 10, 10 * B));
    std::mt19937_64 random(*rc::gen::inRange<std::uint64_t>(0, 1'000'000));
    Account account;
    constexpr int gaps = 20'000;
    double always = 0;
    double never = 0;
    for (int i = 0; i < gaps; ++i) {
        // Exponential: then one of the two ends is the best, whatever the mean.
        const double uniform = static_cast<double>((random() >> 11U) + 1) * 0x1p-53;
        const auto gap = 1 + static_cast<std::uint64_t>(-mean * std::log(uniform));
        account.gap(gap);
        always += static_cast<double>(gap);
        never += static_cast<double>(B);
    }
    RC_ASSERT(static_cast<double>(account.paid) <= 1.05 * std::min(always, never));
}

}  // namespace
}  // namespace sidecore::engine
