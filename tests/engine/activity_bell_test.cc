// SPDX-License-Identifier: Apache-2.0
#include "engine/activity_bell.hh"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::engine {
namespace {

TEST(ActivityBell, StopEndsAllWaiting) {
    ActivityBell bell;
    std::thread waiting([&] { EXPECT_FALSE(bell.wait()); });
    std::thread pausing([&] { EXPECT_FALSE(bell.pause(std::chrono::hours(1))); });
    bell.stop();
    waiting.join();
    pausing.join();
    EXPECT_FALSE(bell.wait());
}

TEST(ActivityBell, APauseLastsWhateverRings) {
    ActivityBell bell;
    const auto start = std::chrono::steady_clock::now();
    bell.ring();
    EXPECT_TRUE(bell.pause(std::chrono::milliseconds(5)));
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(5));
}

TEST(ActivityBell, AWorkerRingsWhenAQueueHasWorkAndNotWhenItIsAsked) {
    const auto bell = std::make_shared<ActivityBell>();
    const auto worker = Worker::create({.name = "test", .settings = {.good_neighbour = false}, .bell = bell}).value();
    FakeQueue queue;
    QueueStatistics statistics;
    ASSERT_TRUE(worker->attach(queue, {{.policy = {.kind = PolicyKind::never}}, &statistics}));
    ASSERT_TRUE(eventually([&] { return statistics.armed.load(); }));
    worker->settle_accounts();  // what attaching has cost

    std::atomic<int> woken{0};
    std::thread watcher([&] {
        while (bell->wait()) {
            ++woken;
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (int i = 0; i < 10; ++i) {
        worker->settle_accounts();
    }
    EXPECT_EQ(woken, 0);
    EXPECT_TRUE(eventually([&] {
        queue.add();
        return woken > 0;
    }));
    bell->stop();
    watcher.join();
    worker->detach(queue);
}

}  // namespace
}  // namespace sidecore::engine
