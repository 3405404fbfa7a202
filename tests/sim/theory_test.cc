// SPDX-License-Identifier: Apache-2.0
// What is known about fixed thresholds, against formula and simulation. If generators, worker, costs or clairvoyant were wrong, the
// tables would not come out.
#include "sim/theory.hh"

#include <limits>

#include <gtest/gtest.h>

#include "sim/clairvoyant.hh"
#include "sim/experiment.hh"
#include "sim/suite.hh"

namespace sidecore::sim {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr std::size_t length = 30'000;

struct Poisson {
    double a;
    double breakeven;
    double best;
};

// The tables of the literature on ski rental, to the digits that they are given with.
constexpr Poisson poisson_table[] = {{0.1, 1.951, 1.051}, {0.3, 1.857, 1.157}, {0.5, 1.771, 1.271}, {1, 1.582, 1.582},
                                     {2, 1.313, 1.157},   {3, 1.157, 1.052},   {5, 1.034, 1.007}};

double simulated(const Trace& trace, double threshold_in_prices) {
    const World world = exact_world();
    return run(world, polling_for(threshold_in_prices * world.sleep_price_ns()), trace).ratio();
}

TEST(Theory, TheFormulaGivesThePoissonTable) {
    for (const auto& [a, breakeven, best] : poisson_table) {
        EXPECT_NEAR(expected_poisson_ratio(a, 1), breakeven, 0.0006) << a;
        EXPECT_NEAR(std::min(expected_poisson_ratio(a, 0), expected_poisson_ratio(a, infinite)), best, 0.0006) << a;
    }
}

TEST(Theory, TheSimulatorGivesThePoissonTableWithinOnePercent) {
    for (const auto& [a, breakeven, best] : poisson_table) {
        const Trace trace = poisson(a, exact_world().sleep_price_ns(), length);
        EXPECT_NEAR(simulated(trace, 1), breakeven, 0.01 * breakeven) << a;
        EXPECT_NEAR(std::min(simulated(trace, 0), simulated(trace, infinite)), best, 0.01 * best) << a;
    }
}

TEST(Theory, TheSimulatorGivesTheTableOfBurstsWithinTwoPercent) {
    struct Row {
        double share;
        double notify, quarter, half, whole;
    };
    for (const auto& [share, notify, quarter, half, whole] :
         {Row{0.5, 1.82, 1.30, 1.46, 1.91}, {0.9, 5.27, 1.49, 1.29, 1.52}, {0.99, 9.19, 1.70, 1.10, 1.09}}) {
        const Trace trace = bursty(share, exact_world().sleep_price_ns(), length);
        EXPECT_NEAR(simulated(trace, 0), notify, 0.02 * notify) << share;
        EXPECT_NEAR(simulated(trace, 0.25), quarter, 0.02 * quarter) << share;
        EXPECT_NEAR(simulated(trace, 0.5), half, 0.02 * half) << share;
        EXPECT_NEAR(simulated(trace, 1), whole, 0.02 * whole) << share;
    }
    // Always polling pays for every long gap in full, so chance weighs more: only that half of the gaps is enough of them.
    EXPECT_NEAR(simulated(bursty(0.5, exact_world().sleep_price_ns(), length), infinite), 91.4, 0.02 * 91.4);
}

TEST(Theory, TheSimulatorGivesTheFormulaForOtherThresholds) {
    for (const double threshold : {0.1, 0.7, 3.0}) {
        for (const double share : {0.5, 0.9}) {
            const double expected = expected_ratio(share, 0.1, 100, threshold);
            EXPECT_NEAR(simulated(bursty(share, exact_world().sleep_price_ns(), length), threshold), expected,
                        0.02 * expected);
        }
    }
}

}  // namespace
}  // namespace sidecore::sim
