// SPDX-License-Identifier: Apache-2.0
#include "sim/worker_model.hh"

#include <gtest/gtest.h>

#include "sim/experiment.hh"
#include "sim/random.hh"

namespace sidecore::sim {
namespace {

using engine::PolicyKind;
using engine::PolicySettings;

const World world;  // check 2, pass 8, arm 40, kick 600, wake 1800, wake_latency 3000, see_kick 400

PolicySettings of_kind(PolicyKind kind) {
    PolicySettings settings;
    settings.kind = kind;
    return settings;
}

QueueTrace arrivals_at(const std::vector<std::uint64_t>& times, std::uint32_t service_ns = 500) {
    QueueTrace trace;
    std::uint64_t before = 0;
    for (const std::uint64_t time : times) {
        trace.arrivals.push_back({.gap_ns = time - before, .service_ns = service_ns});
        before = time;
    }
    return trace;
}

Outcome run(PolicyKind kind, const std::vector<QueueTrace>& queues, const World& here = world) {
    return WorkerModel(here, of_kind(kind), queues).run();
}

TEST(WorkerModel, ASleepCostsItsPriceAndNothingMore) {
    World here;
    here.lingers = false;
    const Outcome outcome = run(PolicyKind::never, {arrivals_at({1'000'000})}, here);
    EXPECT_EQ(outcome.sleeps, 1U);
    EXPECT_EQ(outcome.kicks, 1U);
    EXPECT_EQ(outcome.late_ns, 3'000U);
    EXPECT_EQ(outcome.serving_ns, 500U);
    EXPECT_EQ(outcome.requests, 1U);
    // Beside the price: a pass with a look before the sleep, another after it, and the second arming.
    EXPECT_NEAR(outcome.cost_ns(world), world.sleep_price_ns() + 40, 60);
}

TEST(WorkerModel, KicksThatComeSoonAreSeenWithoutASleep) {
    QueueTrace trace;
    trace.depth = 1;
    trace.arrivals.assign(1'000, {.gap_ns = 700, .service_ns = 500});
    World here;
    here.lingers = false;
    const Outcome sleeping = run(PolicyKind::never, {trace}, here);
    const Outcome looking = run(PolicyKind::never, {trace});
    EXPECT_EQ(looking.sleeps, 1U);  // before the first
    EXPECT_EQ(sleeping.sleeps, 1'000U);
    EXPECT_EQ(looking.kicks, sleeping.kicks);
    EXPECT_LE(looking.late_ns, 3'000 + 1'000U * 400);  // a wake-up, and a look each
    EXPECT_LT(looking.end_ns, sleeping.end_ns / 2);
    EXPECT_LT(looking.cost_ns(world), sleeping.cost_ns(world) / 2);
}

TEST(WorkerModel, AWorkerDoesNotLookForKicksThatComeLate) {
    std::vector<std::uint64_t> late;
    for (std::uint64_t time = 1'000'000; time < 500'000'000; time += 1'000'000) {
        late.push_back(time);
    }
    World here;
    here.lingers = false;
    const Outcome sleeping = run(PolicyKind::never, {arrivals_at(late)}, here);
    const Outcome looking = run(PolicyKind::never, {arrivals_at(late)});
    EXPECT_EQ(looking.sleeps, late.size());
    EXPECT_LT(looking.cost_ns(world), 1.02 * sleeping.cost_ns(world));
    EXPECT_LE(looking.kick_checks, 20U);  // until it has found that out
}

TEST(WorkerModel, PollingCostsTheGap) {
    const Outcome outcome = run(PolicyKind::always, {arrivals_at({1'000'000})});
    EXPECT_EQ(outcome.sleeps + outcome.kicks + outcome.late_ns, 0U);
    EXPECT_NEAR(outcome.cost_ns(world), 1'000'000, world.costs.see_kick_ns + 20);  // it looks for kicks once at first
    EXPECT_LE(outcome.waits_ns, 10U);                                              // a pass
}

TEST(WorkerModel, AnIdleHourIsSimulatedInNoTime) {
    const std::vector<QueueTrace> queues{arrivals_at({3'600'000'000'000})};
    WorkerModel model(world, of_kind(PolicyKind::always), queues);
    int steps = 0;
    while (model.step()) {
        ++steps;
    }
    EXPECT_LT(steps, 20);
    EXPECT_EQ(model.outcome().requests, 1U);
    EXPECT_GE(model.outcome().end_ns, 3'600'000'000'000U);
}

TEST(WorkerModel, TheSameAgainIsTheSameAgain) {
    Random random(1);
    std::vector<QueueTrace> queues(5);
    for (QueueTrace& queue : queues) {
        for (int i = 0; i < 2'000; ++i) {
            queue.arrivals.push_back(
                {.gap_ns = 1 + static_cast<std::uint64_t>(random.exponential(9'000)), .service_ns = 700});
        }
    }
    const Outcome once = run(PolicyKind::adaptive, queues);
    const Outcome again = run(PolicyKind::adaptive, queues);
    EXPECT_EQ(once.end_ns, again.end_ns);
    EXPECT_EQ(once.cost_ns(world), again.cost_ns(world));
    EXPECT_EQ(once.waits.counts, again.waits.counts);
    EXPECT_EQ(once.requests, 10'000U);
}

TEST(WorkerModel, EveryRequestIsAnsweredUnderEveryPolicy) {
    Random random(2);
    std::vector<QueueTrace> queues(7);
    std::size_t completions = 0;
    for (std::size_t i = 0; i < queues.size(); ++i) {
        queues[i].depth = i;
        for (int k = 0; k < 500; ++k) {
            const bool completion = i == 0 && k % 2 == 1;
            completions += completion ? 1 : 0;
            const double mean = 2'000.0 * static_cast<double>(1 + i * i * i);
            queues[i].arrivals.push_back({.gap_ns = static_cast<std::uint64_t>(random.exponential(mean)),
                                          .service_ns = 600,
                                          .completion = completion});
        }
    }
    for (const Contestant& contestant : contestants()) {
        const Outcome outcome = WorkerModel(world, contestant.policy, queues).run();
        EXPECT_EQ(outcome.requests, 3'500 - completions) << contestant.name;
        EXPECT_EQ(outcome.completions, completions) << contestant.name;
        EXPECT_EQ(outcome.serving_ns, 3'500U * 600) << contestant.name;
        EXPECT_EQ(outcome.waits.count(), outcome.requests) << contestant.name;
        EXPECT_GE(outcome.awake_ns, outcome.serving_ns) << contestant.name;
        EXPECT_LE(outcome.awake_ns, outcome.end_ns) << contestant.name;
    }
}

TEST(WorkerModel, WorkThatComesBehindTheLookIsFoundInTheNextPass) {
    // 64 polled queues: a pass takes 136 ns. Nothing else happens that could wake the worker up.
    for (std::uint64_t offset = 0; offset < 140; ++offset) {
        std::vector<QueueTrace> queues(64);
        queues[0] = arrivals_at({1'000'000 + offset});
        const Outcome outcome = run(PolicyKind::always, queues);
        ASSERT_LE(outcome.waits_ns, 136U) << offset;
    }
}

TEST(WorkerModel, AnAwakeWorkerSeesKicksWithinTheInterval) {
    // The first queue keeps the worker awake. The second one has work for a while, so that no queue is armed and looks for kicks
    // are rare; then it has none, is armed, and gets work again.
    QueueTrace busy;
    busy.depth = 1;
    busy.arrivals.assign(400, {.gap_ns = 1'000, .service_ns = 500});
    std::vector<std::uint64_t> times;
    for (std::uint64_t time = 100'000; time < 150'000; time += 1'000) {
        times.push_back(time);
    }
    World here;
    here.lingers = false;
    PolicySettings settings = of_kind(PolicyKind::fixed);
    settings.poll_time_ns = 5'000;
    for (std::uint64_t time = 300'000; time < 340'000; time += 999) {
        times.push_back(time);
        const std::vector<QueueTrace> queues{busy, arrivals_at(times)};
        times.pop_back();
        WorkerModel model(here, settings, queues);
        const Outcome& outcome = model.run();
        ASSERT_EQ(outcome.requests, 451U);
        // One wake-up, and two kicks at most that wait for the interval, a turn that is going on, and the look itself.
        ASSERT_LE(outcome.late_ns, 3'000 + 2 * (world.busy_kick_check_ns + 1'500)) << time;
        ASSERT_GE(outcome.late_ns, 3'000U);
    }
}

TEST(WorkerModel, WorkThatComesDuringTheArmingIsFoundByTheSecondLook) {
    // Under never the queue is armed at once: from 10 to 50 ns, give or take a pass.
    const Outcome outcome = run(PolicyKind::never, {arrivals_at({30})});
    EXPECT_EQ(outcome.sleeps + outcome.kicks, 0U);
    EXPECT_EQ(outcome.requests, 1U);
}

TEST(WorkerModel, ACompletionWakesUpWithoutAKick) {
    QueueTrace trace = arrivals_at({1'000'000, 1'100'000});
    trace.arrivals[1].completion = true;
    const Outcome outcome = run(PolicyKind::never, {trace});
    EXPECT_EQ(outcome.kicks, 1U);
    EXPECT_EQ(outcome.sleeps, 2U);
    EXPECT_EQ(outcome.completions, 1U);
    EXPECT_EQ(outcome.late_ns, 6'000U);
}

TEST(WorkerModel, RequestsThatCameWhileItWokeUpAreServedTogether) {
    const Outcome outcome = run(PolicyKind::never, {arrivals_at({1'000'000, 1'001'000, 1'002'000})});
    EXPECT_EQ(outcome.sleeps, 1U);
    EXPECT_EQ(outcome.kicks, 1U);
    EXPECT_EQ(outcome.turns, 1U);
    EXPECT_EQ(outcome.late_ns, 3'000U);                             // once
    EXPECT_NEAR(static_cast<double>(outcome.waits_ns), 6'000, 50);  // 3000 + 2000 + 1000
}

TEST(WorkerModel, AClosedLoopNeverHasMoreRequestsUnderWayThanItsDepth) {
    QueueTrace trace;
    trace.depth = 4;
    trace.arrivals.assign(400, {.gap_ns = 1, .service_ns = 1'000});
    const Outcome outcome = run(PolicyKind::always, {trace});
    EXPECT_EQ(outcome.turns, 100U);  // of four each
    EXPECT_LE(outcome.waits.quantile(1), 4'100U);
}

TEST(WorkerModel, ATurnHasItsBudget) {
    QueueTrace trace;
    trace.arrivals.assign(640, {.gap_ns = 0, .service_ns = 100});
    EXPECT_EQ(run(PolicyKind::always, {trace}).turns, 10U);
    // With others on the list, a turn's time is limited too: 50 us are 25 requests of 2 us.
    QueueTrace slow;
    slow.arrivals.assign(100, {.gap_ns = 0, .service_ns = 2'000});
    EXPECT_EQ(run(PolicyKind::always, {slow, arrivals_at({1'000'000})}).turns, 5U);
}

TEST(WorkerModel, QueuesWithWorkShareTheTime) {
    // One has 64 requests in every turn, the other one at a time.
    QueueTrace greedy;
    greedy.depth = 64;
    greedy.arrivals.assign(20'000, {.gap_ns = 1, .service_ns = 500});
    QueueTrace modest;
    modest.depth = 1;
    modest.arrivals.assign(100, {.gap_ns = 20'000, .service_ns = 500});
    const std::vector<QueueTrace> queues{greedy, modest};
    WorkerModel model(world, of_kind(PolicyKind::always), queues);
    const Outcome& outcome = model.run(2'000'000);
    // All of the time is used.
    EXPECT_GT(outcome.serving_ns, 1'950'000U);
}

TEST(WorkerModel, ManyThatComeAndGoDoNotKeepABusyOneFromItsShare) {
    // Each of the 1500 has had less time than the busy one, and in nearly every pass some of them have work. But none of them has any
    // left when the pass is over, so none has a claim that could keep the busy one waiting.
    std::vector<QueueTrace> queues(1'501);
    queues[0].depth = 64;
    queues[0].arrivals.assign(20'000, {.gap_ns = 1, .service_ns = 400});
    Random random(3);
    for (std::size_t i = 1; i < queues.size(); ++i) {
        for (int k = 0; k < 8; ++k) {
            queues[i].arrivals.push_back(
                {.gap_ns = static_cast<std::uint64_t>(random.exponential(3'000'000)), .service_ns = 400});
        }
    }
    WorkerModel model(world, of_kind(PolicyKind::always), queues);
    const Outcome& outcome = model.run(4'000'000);
    EXPECT_GT(static_cast<double>(outcome.serving_ns), 0.75 * 4'000'000);
}

TEST(WorkerModel, AnAdversaryComesWhenTheWorkerHasGivenUp) {
    std::vector<QueueTrace> queues(1);
    queues[0].depth = 1;
    queues[0].arrivals.assign(100, {.gap_ns = Arrival::when_given_up, .service_ns = 500});
    WorkerModel model(world, of_kind(PolicyKind::breakeven), queues, 1'000'000);
    const Outcome& outcome = model.run();
    EXPECT_EQ(outcome.sleeps, 100U);
    ASSERT_EQ(model.arrived().size(), 100U);
    for (std::size_t i = 1; i < 100; ++i) {
        // After the threshold, at most 16 looks later, and the arming.
        EXPECT_GE(static_cast<double>(model.arrived()[i].gap_ns), world.sleep_price_ns());
        EXPECT_LE(static_cast<double>(model.arrived()[i].gap_ns), world.sleep_price_ns() + 300);
    }
    // Who never gives up meets it when its patience is at its end.
    WorkerModel patient(world, of_kind(PolicyKind::always), queues, 1'000'000);
    EXPECT_EQ(patient.run().sleeps, 0U);
    EXPECT_EQ(patient.arrived().at(7).gap_ns, 1'000'000U);
}

TEST(WorkerModel, ToldWrongCostsItBehavesAccordingly) {
    QueueTrace trace;
    trace.depth = 1;
    trace.arrivals.assign(100, {.gap_ns = 8'000, .service_ns = 500});
    World misled = world;
    misled.believed = world.costs;
    misled.believed->wake_ns *= 4;
    EXPECT_GT(run(PolicyKind::breakeven, {trace}).sleeps, 90U);
    EXPECT_LE(run(PolicyKind::breakeven, {trace}, misled).sleeps, 1U);
}

TEST(WorkerModel, ListingQueuesAgainAfterASleepSavesTheirKicks) {
    // Two queues get work together, the second one shortly after, again and again after long pauses.
    QueueTrace first;
    QueueTrace second;
    for (int i = 0; i < 50; ++i) {
        first.arrivals.push_back({.gap_ns = 200'000, .service_ns = 500});
        first.arrivals.push_back({.gap_ns = 1'000, .service_ns = 500});
        first.arrivals.push_back({.gap_ns = 6'000, .service_ns = 500});
        second.arrivals.push_back({.gap_ns = i == 0 ? 205'000 : 207'000U, .service_ns = 500});
    }
    World forgetful = world;
    forgetful.relist_patience = 0;
    const Outcome listed = run(PolicyKind::adaptive, {first, second});
    const Outcome kicked = run(PolicyKind::adaptive, {first, second}, forgetful);
    EXPECT_EQ(kicked.requests, listed.requests);
    EXPECT_LT(listed.kicks, kicked.kicks);
    EXPECT_LT(listed.late_ns, kicked.late_ns);
}

}  // namespace
}  // namespace sidecore::sim
