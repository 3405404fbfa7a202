// SPDX-License-Identifier: Apache-2.0
#include "daemon/placer.hh"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "engine/wait.hh"

namespace sidecore::daemon {
namespace {

using std::chrono::milliseconds;
using Kind = engine::PlacementStep::Kind;

/// Two queues on one worker, with loads that the test sets.
class FakePlaceable final : public Placeable {
public:
    engine::PlacementView measure() override {
        ++measured;
        const std::lock_guard lock(mutex_);
        engine::PlacementView view;
        for (std::uint32_t worker = 0; worker < workers_; ++worker) {
            view.workers.push_back({worker, worker != 0});
        }
        view.queues = {{0, 0, load, true}, {1, 0, load, true}};
        view.completions_per_s = load * 1'000'000;
        return view;
    }

    Result<void> carry_out(const engine::PlacementStep& step) override {
        const std::lock_guard lock(mutex_);
        steps.push_back(step.kind);
        if (refuses) {
            return failure(ErrorKind::timed_out, "a front-end is changing it");
        }
        workers_ += step.kind == Kind::add ? 1 : 0;
        return {};
    }

    std::vector<Kind> steps_so_far() {
        const std::lock_guard lock(mutex_);
        return steps;
    }

    std::atomic<std::uint64_t> measured{0};
    std::atomic<double> load{0};
    std::atomic<bool> refuses{false};

private:
    std::mutex mutex_;
    std::uint32_t workers_ = 1;
    std::vector<Kind> steps;
};

class PlacerTest : public testing::Test {
protected:
    FakePlaceable placeable;
    std::shared_ptr<engine::ActivityBell> bell = std::make_shared<engine::ActivityBell>();

    bool eventually_rests() {
        return eventually([&] {
            const std::uint64_t before = placeable.measured;
            std::this_thread::sleep_for(milliseconds(20));
            return before == placeable.measured;
        });
    }
};

TEST_F(PlacerTest, CarriesOutWhatIsDecidedFromTheLoads) {
    placeable.load = 0.45;
    const Placer placer({.workers_max = 2}, placeable, bell, milliseconds(1));
    ASSERT_TRUE(eventually([&] { return placeable.steps_so_far().size() >= 2; }));
    EXPECT_EQ(placeable.steps_so_far()[0], Kind::add);
    EXPECT_EQ(placeable.steps_so_far()[1], Kind::move);
}

TEST_F(PlacerTest, SleepsWhileAllIsIdleAndIsBackWhenTheBellRings) {
    const Placer placer({.workers_max = 2}, placeable, bell, milliseconds(1));
    ASSERT_TRUE(eventually_rests());
    placeable.load = 0.45;
    bell->ring();
    EXPECT_TRUE(eventually([&] { return !placeable.steps_so_far().empty(); }));
}

TEST_F(PlacerTest, AStepThatIsRefusedIsNotRepeatedAtOnce) {
    placeable.load = 0.45;
    placeable.refuses = true;
    const Placer placer({.workers_max = 2, .penalty = 1'000'000}, placeable, bell, milliseconds(1));
    ASSERT_TRUE(eventually([&] { return placeable.measured > 50; }));
    EXPECT_EQ(placeable.steps_so_far(), std::vector{Kind::add});
}

}  // namespace
}  // namespace sidecore::daemon
