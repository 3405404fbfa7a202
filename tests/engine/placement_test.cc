// SPDX-License-Identifier: Apache-2.0
#include "engine/placement.hh"

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

using Kind = PlacementStep::Kind;

/// Queues that want so much of a CPU each, on workers that have one each: those with too much to do share it in proportion.
class World {
public:
    explicit World(const PlacementSettings& settings) : placement(settings) {
        view_.workers.push_back({0, false});
        next_worker_ = 1;
    }

    void add_queue(double wanted, std::uint32_t worker = 0, bool movable = true) {
        view_.queues.push_back({view_.queues.size(), worker, 0, movable});
        wanted_.push_back(wanted);
    }
    void want(std::size_t queue, double wanted) { wanted_.at(queue) = wanted; }

    /// Runs epochs, carrying out what is decided. The steps.
    std::vector<PlacementStep> run(int epochs) {
        std::vector<PlacementStep> steps;
        for (int i = 0; i < epochs; ++i) {
            if (auto step = placement.epoch(look())) {
                EXPECT_FALSE(step->reason.empty());
                carry_out(*step);
                steps.push_back(std::move(*step));
            }
        }
        return steps;
    }

    std::size_t workers() const { return view_.workers.size(); }
    std::uint32_t worker_of(std::size_t queue) const { return view_.queues.at(queue).worker; }
    double busiest() {
        std::map<std::uint32_t, double> sums;
        for (std::size_t i = 0; i < wanted_.size(); ++i) {
            sums[view_.queues[i].worker] += wanted_[i];
        }
        double most = 0;
        for (const auto& [worker, sum] : sums) {
            most = std::max(most, sum);
        }
        return most;
    }

    Placement placement;
    std::function<double(const PlacementView&)> slowed_to = [](const PlacementView&) {
        return 1.0;
    };  // of the completions

    const PlacementView& look() {
        std::map<std::uint32_t, double> sums;
        for (std::size_t i = 0; i < wanted_.size(); ++i) {
            sums[view_.queues[i].worker] += wanted_[i];
        }
        view_.completions_per_s = 0;
        for (std::size_t i = 0; i < wanted_.size(); ++i) {
            view_.queues[i].load = wanted_[i] / std::max(1.0, sums[view_.queues[i].worker]);
            view_.completions_per_s += 100'000 * view_.queues[i].load;
        }
        view_.completions_per_s *= slowed_to(view_);
        return view_;
    }

private:
    void carry_out(const PlacementStep& step) {
        switch (step.kind) {
            case Kind::add:
                view_.workers.push_back({next_worker_++, true});
                break;
            case Kind::remove:
                std::erase_if(view_.workers, [&](const auto& worker) { return worker.id == step.from; });
                for (const auto& [queue, to] : step.moves) {
                    EXPECT_EQ(view_.queues.at(queue).worker, step.from);
                    EXPECT_TRUE(view_.queues.at(queue).movable);
                    EXPECT_EQ(std::ranges::count(view_.workers, to, &PlacementView::Worker::id), 1);
                    view_.queues.at(queue).worker = to;
                }
                EXPECT_EQ(std::ranges::count(view_.queues, step.from, &PlacementView::Queue::worker), 0);
                break;
            case Kind::move:
                EXPECT_EQ(view_.queues.at(step.queue).worker, step.from);
                EXPECT_TRUE(view_.queues.at(step.queue).movable);
                view_.queues.at(step.queue).worker = step.to;
                break;
        }
    }

    PlacementView view_;
    std::vector<double> wanted_;
    std::uint32_t next_worker_ = 0;
};

std::size_t count(const std::vector<PlacementStep>& steps, Kind kind) {
    return static_cast<std::size_t>(std::ranges::count(steps, kind, &PlacementStep::kind));
}

TEST(Placement, OneWorkerIsEnoughWhileItHasTimeLeft) {
    World world({.workers_max = 4});
    for (int i = 0; i < 7; ++i) {
        world.add_queue(0.1);
    }
    EXPECT_TRUE(world.run(1'000).empty());
}

TEST(Placement, WorkersAreAddedAndQueuesMovedUntilNobodyHasTooMuchToDoAndThenThereIsPeace) {
    World world({.workers_max = 4});
    for (int i = 0; i < 6; ++i) {
        world.add_queue(0.35);
    }
    const auto steps = world.run(300);
    EXPECT_GE(count(steps, Kind::add), 2U);
    EXPECT_LE(world.busiest(), 0.8);
    EXPECT_LE(world.workers(), 4U);
    EXPECT_EQ(world.placement.regrets(), 0U);
    EXPECT_TRUE(world.run(1'000).empty());
}

TEST(Placement, NoMoreWorkersThanAllowed) {
    World world({.workers_max = 2});
    for (int i = 0; i < 8; ++i) {
        world.add_queue(0.5);
    }
    world.run(500);
    EXPECT_EQ(world.workers(), 2U);
}

TEST(Placement, OneQueueThatNeedsAWholeWorkerIsLeftAlone) {
    World world({.workers_max = 4});
    world.add_queue(1.0);
    world.add_queue(0.0);
    EXPECT_TRUE(world.run(500).empty()) << "a further worker could take nothing off it";
}

TEST(Placement, AfterTheLoadHasGoneTheWorkersGoButForTheLeastNumber) {
    World world({.workers_min = 2, .workers_max = 4});
    for (int i = 0; i < 8; ++i) {
        world.add_queue(0.35);
    }
    world.run(500);
    ASSERT_EQ(world.workers(), 4U);
    for (std::size_t i = 0; i < 8; ++i) {
        world.want(i, 0.02);
    }
    const auto steps = world.run(500);
    EXPECT_EQ(count(steps, Kind::remove), 2U);
    EXPECT_EQ(world.workers(), 2U);
}

TEST(Placement, TheQueuesOfARemovedWorkerGoToTheLeastBusyTheLargestFirst) {
    PlacementView view;
    view.workers = {{0, false}, {1, false}, {2, true}};
    view.queues = {{0, 0, 0.3, true}, {1, 1, 0.2, true}, {2, 2, 0.02, true}, {3, 2, 0.15, true}};
    PlacementSettings settings{.workers_max = 3};
    Placement placement(settings);
    std::optional<PlacementStep> step;
    for (std::uint32_t i = 0; i < settings.patience_less; ++i) {
        step = placement.epoch(view);
    }
    ASSERT_TRUE(step);
    EXPECT_EQ(step->kind, Kind::remove);
    EXPECT_EQ(step->from, 2U);
    EXPECT_EQ(step->moves, (std::vector<PlacementStep::Move>{{3, 1}, {2, 0}}));
}

TEST(Placement, AShortBurstChangesNothing) {
    World world({.workers_max = 4});
    world.add_queue(0.4);
    world.add_queue(0.3);
    for (int i = 0; i < 50; ++i) {
        world.want(1, 0.6);
        EXPECT_TRUE(world.run(4).empty());
        world.want(1, 0.3);
        EXPECT_TRUE(world.run(2).empty());
    }
}

TEST(Placement, AMoveThatMadeThingsWorseIsUndoneAndNotTriedAgainForAWhile) {
    PlacementSettings settings{.workers_max = 2};
    World world(settings);
    world.add_queue(0.6);
    world.add_queue(0.6);
    // Whoever is not on the first worker is far from its memory.
    world.slowed_to = [](const PlacementView& view) {
        return std::ranges::any_of(view.queues, [](const auto& queue) { return queue.worker != 0; }) ? 0.5 : 1.0;
    };
    const auto steps = world.run(20);
    ASSERT_EQ(count(steps, Kind::move), 2U);
    EXPECT_NE(steps.back().reason.find("undoing"), std::string::npos) << steps.back().reason;
    EXPECT_EQ(world.placement.regrets(), 1U);
    EXPECT_EQ(world.worker_of(0), 0U);
    EXPECT_EQ(world.worker_of(1), 0U);

    // The other queue may be tried, once; then there is peace until the first penalty is over.
    world.run(20);
    EXPECT_EQ(world.placement.regrets(), 2U);
    EXPECT_EQ(count(world.run(40), Kind::move), 0U);
    EXPECT_GE(count(world.run(static_cast<int>(settings.penalty)), Kind::move), 1U);
}

TEST(Placement, ARemovalThatMadeThingsWorseIsUndone) {
    World world({.workers_max = 2, .regret = 0.05});
    world.add_queue(0.5);
    world.add_queue(0.5);
    world.run(60);
    ASSERT_EQ(world.workers(), 2U);
    world.want(0, 0.3);
    world.want(1, 0.25);
    world.slowed_to = [](const PlacementView& view) { return view.workers.size() == 1 ? 0.7 : 1.0; };
    const auto steps = world.run(40);
    ASSERT_GE(steps.size(), 2U);
    EXPECT_EQ(steps[0].kind, Kind::remove);
    EXPECT_EQ(steps[1].kind, Kind::add);
    EXPECT_EQ(world.workers(), 2U);
    EXPECT_EQ(count(world.run(60), Kind::remove), 0U) << "not again for a while";
}

TEST(Placement, WhatTheOperatorHasPlacedStaysThere) {
    World world({.workers_max = 4});
    for (int i = 0; i < 4; ++i) {
        world.add_queue(0.5, 0, false);
    }
    EXPECT_TRUE(world.run(500).empty());
    world.add_queue(0.3);
    const auto steps = world.run(500);
    EXPECT_EQ(count(steps, Kind::move), 1U);
    EXPECT_EQ(world.worker_of(4), 1U);
}

TEST(Placement, AStepThatCannotBeCarriedOutIsNotTriedAllTheTime) {
    PlacementSettings settings{.workers_max = 2};
    World world(settings);
    world.add_queue(0.6);
    world.add_queue(0.6);
    int tries = 0;
    for (std::uint32_t i = 0; i < 2 * settings.penalty; ++i) {
        if (world.placement.epoch(world.look())) {
            ++tries;
            world.placement.failed();
        }
    }
    EXPECT_EQ(tries, 2);
}

}  // namespace
}  // namespace sidecore::engine
