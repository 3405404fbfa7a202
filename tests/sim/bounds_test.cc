// SPDX-License-Identifier: Apache-2.0
// What `adaptive` promises, over all traces.
#include <algorithm>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "sim/clairvoyant.hh"
#include "sim/experiment.hh"
#include "sim/suite.hh"

namespace sidecore::sim {
namespace {

constexpr std::size_t length = 4'000;

const engine::PolicySettings& adaptive() {
    static const engine::PolicySettings settings = contestants().back().policy;
    return settings;
}

std::vector<Trace> all(const World& world) {
    std::vector<Trace> traces = traces_of_gaps(world.sleep_price_ns(), length);
    for (Trace& trace : traces_of_guests(world.sleep_price_ns(), length)) {
        traces.push_back(std::move(trace));
    }
    return traces;
}

/// A worker reads the clock once in so many looks, so its sleep comes later than the rule says by up to this part of a price,
/// and half of that on average.
double granularity(const World& world) {
    return world.looks_per_clock * (static_cast<double>(world.pass_ns) + world.costs.check_ns) / world.sleep_price_ns();
}

TEST(Bounds, AdaptivePaysAtMostTwiceWhatTheClairvoyantPays) {
    const World world;
    for (const Trace& trace : all(world)) {
        EXPECT_LE(run(world, adaptive(), trace).ratio(), 2 + granularity(world)) << trace.name;
    }
}

TEST(Bounds, WhereTheClockIsReadAllTheTimeItIsTwoAndNothingMore) {
    for (const engine::Prefer prefer : {engine::Prefer::balanced, engine::Prefer::latency, engine::Prefer::cpu}) {
        World world = exact_world();
        world.prefer = prefer;
        for (const Trace& trace : traces_of_gaps(world.sleep_price_ns(), length)) {
            // The credit begins with the price of the first sleep, which on these traces nobody has to pay. And around a sleep there
            // are passes and looks for kicks, less than a thousandth of its price.
            const Result result = run(world, adaptive(), trace);
            const double around_sleeps = static_cast<double>(result.outcome.sleeps) * world.sleep_price_ns() / 1'000;
            EXPECT_LE(result.cost_ns, 2 * result.least_ns + world.sleep_price_ns() + around_sleeps) << trace.name;
        }
    }
}

TEST(Bounds, TheAdversaryIsOne) {
    // If it did no harm, the bound would show nothing.
    const World world;
    double worst = 0;
    for (const Trace& trace : traces_of_gaps(world.sleep_price_ns(), length)) {
        if (has_adversary(trace)) {
            worst = std::max(worst, run(world, adaptive(), trace).ratio());
            engine::PolicySettings longer = polling_for(2 * world.sleep_price_ns());
            EXPECT_GT(run(world, longer, trace).ratio(), 2.3) << trace.name;
        }
    }
    EXPECT_GT(worst, 1.9);
}

TEST(Bounds, OnStationaryGapsAdaptiveIsWithinFivePercentOfTheBestFixedThreshold) {
    const World world;
    int compared = 0;
    for (const Trace& trace : traces_of_gaps(world.sleep_price_ns(), 3 * length)) {
        if (trace.stationary) {
            const double least = least_cost_ns(world, trace.queues);
            const double best = best_fixed_threshold(world, trace, least).result.cost_ns;
            EXPECT_LE(run(world, adaptive(), trace, least).cost_ns, 1.05 * best) << trace.name;
            ++compared;
        }
    }
    EXPECT_EQ(compared, 17);
}

TEST(Bounds, OverAllTracesAdaptiveIsBetterThanEveryOtherPolicy) {
    const World world;
    std::map<std::string, double> sums;
    for (const Trace& trace : all(world)) {
        const double least = has_adversary(trace) ? 0 : least_cost_ns(world, trace.queues);
        for (const Contestant& contestant : contestants()) {
            sums[contestant.name] += run(world, contestant.policy, trace, least).ratio();
        }
    }
    for (const auto& [name, sum] : sums) {
        if (name != "adaptive") {
            EXPECT_LT(1.1 * sums["adaptive"], sum) << name;
        }
    }
    EXPECT_EQ(sums.size(), 10U);
}

TEST(Bounds, AfterAChangeOfLoadMostOfTheGainIsThereBeforeTenPricesAreLost) {
    const World world;
    for (const auto& [before, after] : {std::pair{100.0, 0.1}, {0.1, 100.0}, {3.0, 0.3}}) {
        const Adaptation adaptation = adapt(world, adaptive(), before, after, 60'000);
        EXPECT_LT(adaptation.extra(), 10) << before << " to " << after;
        EXPECT_LT(adaptation.gaps_to_most_of_the_gain(), 25U) << before << " to " << after;
    }
}

}  // namespace
}  // namespace sidecore::sim
