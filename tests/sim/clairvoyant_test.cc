// SPDX-License-Identifier: Apache-2.0
#include "sim/clairvoyant.hh"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "sim/experiment.hh"
#include "sim/random.hh"
#include "sim/suite.hh"

namespace sidecore::sim {
namespace {

const World world;
const double price = world.sleep_price_ns();

TEST(Clairvoyant, AGapCostsItsLengthOrThePriceWhicheverIsLess) {
    const auto cost_of = [](const std::vector<Arrival>& gaps) { return least_cost_ns(world, gaps); };
    EXPECT_EQ(cost_of({}), 0);
    EXPECT_EQ(cost_of({{.gap_ns = 1'000, .service_ns = 500}}), 1'000);
    EXPECT_EQ(cost_of({{.gap_ns = 1'000'000, .service_ns = 500}}), price);
    EXPECT_EQ(cost_of({{.gap_ns = 1'000'000, .service_ns = 500}, {.gap_ns = 2'000, .service_ns = 9'000}}),
              price + 2'000);
}

TEST(Clairvoyant, ForAGuestThatWaitsItIsTheSumOverTheGaps) {
    const Trace trace = poisson(1, price, 5'000);
    double sum = 0;
    for (const Arrival& arrival : trace.queues[0].arrivals) {
        sum += std::min(static_cast<double>(arrival.gap_ns), price);
    }
    EXPECT_DOUBLE_EQ(least_cost_ns(world, trace.queues), sum);
}

TEST(Clairvoyant, InAnOpenLoopASleepCoversWhatComesMeanwhile) {
    // The second comes while the worker wakes up for the first.
    const std::vector<Arrival> arrivals{{.gap_ns = 1'000'000, .service_ns = 500}, {.gap_ns = 2'500, .service_ns = 500}};
    EXPECT_EQ(least_cost_ns(world, {{.depth = 0, .arrivals = arrivals}}), price);
    EXPECT_EQ(least_cost_ns(world, {{.depth = 1, .arrivals = arrivals}}), price + 2'500);
}

TEST(Clairvoyant, TwoQueuesAreWokenForOnce) {
    const std::vector<QueueTrace> queues{{.depth = 0, .arrivals = {{.gap_ns = 1'000'000, .service_ns = 500}}},
                                         {.depth = 0, .arrivals = {{.gap_ns = 1'001'000, .service_ns = 500}}}};
    EXPECT_EQ(least_cost_ns(world, queues), price);
}

TEST(Clairvoyant, ACompletionNeedsNeitherKickNorArming) {
    const double lateness = engine::Costs::latency_weight(world.prefer) * world.costs.wake_latency_ns;
    const std::vector<QueueTrace> queues{
        {.depth = 0, .arrivals = {{.gap_ns = 1'000'000, .service_ns = 500, .completion = true}}}};
    EXPECT_EQ(least_cost_ns(world, queues), world.costs.wake_ns + lateness);
}

/// The same by trying everything: an open loop, from arrival `next` on, with the worker idle since `now`.
double by_trying(const std::vector<std::uint64_t>& times, std::uint64_t service, std::size_t next, std::uint64_t now) {
    if (next == times.size()) {
        return 0;
    }
    const auto from = [&](std::uint64_t start) {
        std::size_t served = next;
        std::uint64_t end = start;
        while (served < times.size() && times[served] <= end) {
            end += service;
            ++served;
        }
        return by_trying(times, service, served, end);
    };
    const auto latency = static_cast<std::uint64_t>(world.costs.wake_latency_ns);
    const double awake = static_cast<double>(times[next] - now) + from(times[next]);
    return std::min(awake, price + from(times[next] + latency));
}

TEST(Clairvoyant, IsWhatTryingEveryChoiceFinds) {
    Random random(1);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::uint64_t> times;
        QueueTrace queue;
        std::uint64_t now = 0;
        const double mean = random.between(500, 8'000);
        for (int i = 0; i < 12; ++i) {
            const auto gap = 1 + static_cast<std::uint64_t>(random.exponential(mean));
            queue.arrivals.push_back({.gap_ns = gap, .service_ns = 600});
            times.push_back(now += gap);
        }
        ASSERT_DOUBLE_EQ(least_cost_ns(world, {queue}), by_trying(times, 600, 0, 0)) << round;
    }
}

TEST(Clairvoyant, NobodyPaysLess) {
    for (const engine::Prefer prefer : {engine::Prefer::balanced, engine::Prefer::latency, engine::Prefer::cpu}) {
        World here;
        here.prefer = prefer;
        std::vector<Trace> traces = traces_of_gaps(here.sleep_price_ns(), 1'000);
        for (Trace& trace : traces_of_guests(here.sleep_price_ns(), 1'000)) {
            traces.push_back(std::move(trace));
        }
        for (const Trace& trace : traces) {
            const double least = has_adversary(trace) ? 0 : least_cost_ns(here, trace.queues);
            for (const Contestant& contestant : contestants()) {
                EXPECT_GE(run(here, contestant.policy, trace, least).ratio(), 0.9999)
                    << contestant.name << " on " << trace.name;
            }
            for (const double prices : {0.03, 0.3, 0.6, 3.0}) {
                const auto policy = polling_for(prices * here.sleep_price_ns());
                EXPECT_GE(run(here, policy, trace, least).ratio(), 0.9999) << prices << " B on " << trace.name;
            }
        }
    }
}

}  // namespace
}  // namespace sidecore::sim
