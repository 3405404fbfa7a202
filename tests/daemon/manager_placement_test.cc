// SPDX-License-Identifier: Apache-2.0
// What automatic placement sees of a manager, and what it can do with it. When it does what is engine::Placement's.
#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/manager_fixture.hh"

namespace sidecore::daemon {
namespace {

using engine::PlacementStep;
using engine::PlacementView;
using ::testing::ElementsAre;

class ManagerPlacement : public ManagerTest {
protected:
    void SetUp() override {
        // Patient for longer than any test lasts: what happens is what the test carries out.
        engine::PlacementSettings placement{.workers_min = 2, .workers_max = 4};
        placement.patience = placement.patience_less = 1'000'000;
        control::SettingValues settings;
        settings.emplace(control::Setting::good_neighbour, false);
        auto manager = Manager::create({.workers = {{"io0"}}, .settings = settings, .placement = placement});
        ASSERT_TRUE(manager) << manager.error().message;
        manager_ = std::move(*manager);
    }

    /// The worker that is not io0.
    static std::uint32_t automatic(const PlacementView& view) {
        return std::ranges::find(view.workers, true, &PlacementView::Worker::removable)->id;
    }
};

TEST_F(ManagerPlacement, StartsWithTheLeastNumberOfWorkersAndMayRemoveOnlyItsOwn) {
    EXPECT_THAT(worker_names(), ElementsAre("io0", "auto1"));
    const PlacementView view = manager_->measure();
    ASSERT_EQ(view.workers.size(), 2U);
    EXPECT_FALSE(view.workers[0].removable);
    EXPECT_TRUE(view.workers[1].removable);
}

TEST_F(ManagerPlacement, LoadsAreThoseSinceTheLastLook) {
    const control::DeviceSpec device = spec("disk0");
    add(device);
    frontend::BlkDriver driver = drive(device);
    static_cast<void>(manager_->measure());
    // The placer's own thread looks now and then, too, and then there is nothing left for us: once is enough.
    EXPECT_TRUE(test::eventually([&] {
        for (unsigned i = 0; i < 20; ++i) {
            test::expect_disk_works(driver.requests(), 1);
        }
        const PlacementView busy = manager_->measure();
        EXPECT_EQ(busy.queues.size(), 1U);
        return busy.queues[0].load > 0 && busy.completions_per_s > 0;
    }));
    EXPECT_TRUE(test::eventually([&] {
        const PlacementView idle = manager_->measure();
        return idle.queues[0].load == 0 && idle.completions_per_s == 0;
    }));
}

TEST_F(ManagerPlacement, MovesWhatTheOperatorHasNotPlaced) {
    const control::DeviceSpec free = spec("disk0");
    control::DeviceSpec placed = spec("disk1");
    placed.worker = "io0";
    control::DeviceSpec half = spec("disk2", 2);
    half.queue_specs.push_back({.index = 1, .worker = "io0", .settings = {}});
    add(free);
    add(placed);
    add(half);
    frontend::BlkDriver driver = drive(free);
    test::expect_disk_works(driver.requests(), 1);

    PlacementView view = manager_->measure();
    std::vector<bool> movable;
    for (const auto& queue : view.queues) {
        movable.push_back(queue.movable);
    }
    EXPECT_THAT(movable, ElementsAre(true, false, true, false));

    const std::uint32_t from = view.queues[0].worker;
    const std::uint32_t to = from == view.workers[0].id ? view.workers[1].id : view.workers[0].id;
    const std::string before = queue("disk0").worker;
    ASSERT_TRUE(manager_->carry_out({PlacementStep::Kind::move, view.queues[0].id, from, to, "a test"}));
    EXPECT_NE(queue("disk0").worker, before);
    test::expect_disk_works(driver.requests(), 2);
    EXPECT_TRUE(manager_->measure().queues[0].movable) << "placement's own moves are not the operator's";

    ASSERT_TRUE(manager_->move({"disk0"}, {"io0"}));
    EXPECT_FALSE(manager_->measure().queues[0].movable);
}

TEST_F(ManagerPlacement, AddsAndRemovesWorkersWhileQueuesAreServed) {
    const control::DeviceSpec device = spec("disk0");
    add(device);
    frontend::BlkDriver driver = drive(device);
    ASSERT_TRUE(manager_->carry_out({PlacementStep::Kind::add, 0, 0, 0, "a test"}));
    EXPECT_THAT(worker_names(), ElementsAre("io0", "auto1", "auto2"));
    const PlacementView view = manager_->measure();
    const std::uint32_t first = automatic(view);
    if (view.queues[0].worker != first) {
        ASSERT_TRUE(manager_->carry_out(
            {PlacementStep::Kind::move, view.queues[0].id, view.queues[0].worker, first, "a test"}));
    }
    ASSERT_EQ(queue("disk0").worker, "auto1");
    ASSERT_TRUE(manager_->carry_out(
        {PlacementStep::Kind::remove, 0, first, 0, "a test", {{view.queues[0].id, view.workers.back().id}}}));
    EXPECT_THAT(worker_names(), ElementsAre("io0", "auto2"));
    EXPECT_EQ(queue("disk0").worker, "auto2");
    test::expect_disk_works(driver.requests(), 1);
}

TEST_F(ManagerPlacement, WhatIsGoneMeanwhileIsAnErrorAndNothingElse) {
    add(spec("disk0"));
    const PlacementView view = manager_->measure();
    const auto kind_of = [this](const PlacementStep& step) { return manager_->carry_out(step).error().kind; };
    EXPECT_EQ(kind_of({PlacementStep::Kind::remove, 0, 999, 0, "a test"}), ErrorKind::not_found);
    EXPECT_EQ(kind_of({PlacementStep::Kind::move, view.queues[0].id, 0, 999, "a test"}), ErrorKind::not_found);
    EXPECT_EQ(kind_of({PlacementStep::Kind::move, 1U << 30U, 0, view.workers[0].id, "a test"}), ErrorKind::not_found);
    EXPECT_THAT(worker_names(), ElementsAre("io0", "auto1"));
}

}  // namespace
}  // namespace sidecore::daemon
