// SPDX-License-Identifier: Apache-2.0
// Whether a worker with nothing to poll looks for kicks or sleeps.
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::engine {
namespace {

using std::chrono::milliseconds;

/// A worker to whom a sleep costs so much that it looks for kicks for nearly a second instead.
class WorkerSleepTest : public testing::Test {
protected:
    struct Attached {
        FakeQueue queue;
        QueueStatistics statistics;
    };

    /// A queue that is never polled.
    Attached& attach() {
        auto& attached = *queues_.emplace_back(std::make_unique<Attached>());
        const QueueSettings settings{.policy = {.kind = PolicyKind::never}};
        EXPECT_TRUE(worker->attach(attached.queue, {settings, &attached.statistics}));
        return attached;
    }

    std::uint64_t sleeps() const { return worker->statistics().switches; }

    void TearDown() override {
        for (const auto& attached : queues_) {
            worker->detach(attached->queue);
        }
    }

    std::unique_ptr<Worker> worker =
        Worker::create({.name = "test", .costs = {.wake_ns = 900'000'000}, .settings = {.good_neighbour = false}})
            .value();

private:
    std::vector<std::unique_ptr<Attached>> queues_;
};

TEST_F(WorkerSleepTest, SeesKicksThatComeSoonWithoutASleep) {
    auto& attached = attach();
    ASSERT_TRUE(eventually([&] { return attached.queue.wants_kicks(); }));
    attached.queue.add();
    ASSERT_TRUE(eventually([&] { return attached.queue.completed() == 1; }));
    const std::uint64_t before = sleeps();
    for (std::uint64_t i = 2; i <= 100; ++i) {
        ASSERT_TRUE(eventually([&] { return attached.queue.wants_kicks(); }));
        attached.queue.add();
        ASSERT_TRUE(eventually([&] { return attached.queue.completed() == i; }));
    }
    EXPECT_EQ(attached.queue.kicks_sent(), 100U);
    EXPECT_EQ(attached.statistics.read().poll_kicks, 0U);
    EXPECT_EQ(sleeps(), before);
}

TEST_F(WorkerSleepTest, SleepsAfterWorkThatNobodyWaitsFor) {
    auto& attached = attach();
    ASSERT_TRUE(eventually([&] { return attached.queue.wants_kicks(); }));
    worker->execute([&] { attached.queue.awaited = false; });
    attached.queue.add();
    const std::uint64_t before = sleeps();
    EXPECT_TRUE(eventually([&] {
        attached.queue.add();
        std::this_thread::sleep_for(milliseconds(1));
        return sleeps() > before + 10;
    }));
}

TEST_F(WorkerSleepTest, HearsCommandsWhileItLooksForKicks) {
    auto& attached = attach();
    attached.queue.add();
    ASSERT_TRUE(eventually([&] { return attached.queue.completed() == 1; }));
    for (int i = 0; i < 100; ++i) {
        int ran = 0;
        worker->execute([&] { ++ran; });
        ASSERT_EQ(ran, 1);
    }
}

TEST_F(WorkerSleepTest, SleepsWithoutAPollBudget) {
    worker->set({.poll_budget_percent = 0, .good_neighbour = false});
    auto& attached = attach();
    attached.queue.add();
    ASSERT_TRUE(eventually([&] { return attached.queue.completed() == 1; }));
    const std::uint64_t before = sleeps();
    ASSERT_TRUE(eventually([&] {
        attached.queue.add();
        std::this_thread::sleep_for(milliseconds(1));
        return sleeps() > before + 10;
    }));
}

}  // namespace
}  // namespace sidecore::engine
