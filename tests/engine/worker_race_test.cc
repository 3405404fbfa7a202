// SPDX-License-Identifier: Apache-2.0
// Lost wake-ups and double owners, sought with real threads. A stall is found by a time-out of the test, never cured by
// the product.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::engine {
namespace {

QueueSettings with(PolicyKind kind) {
    return {.policy = {.kind = kind}};
}

TEST(WorkerRace, NoWakeUpIsLostWhileADriverAddsOneRequestAtATime) {
    constexpr std::uint64_t requests = 30'000;
    const auto worker = Worker::create({}).value();
    FakeQueue queue;
    QueueStatistics statistics;
    ASSERT_TRUE(worker->attach(queue, {with(PolicyKind::never), &statistics}));
    for (std::uint64_t i = 1; i <= requests; ++i) {
        queue.add();
        // Half of the time without waiting, so that the request falls anywhere into the worker's way to sleep.
        if (i % 2 == 0) {
            ASSERT_TRUE(eventually([&] { return queue.completed() == i; })) << "stalled at request " << i;
        }
    }
    worker->detach(queue);
    EXPECT_EQ(queue.completed(), requests);
}

TEST(WorkerRace, NoWakeUpIsLostWhileThePolicyFlips) {
    constexpr std::uint64_t flips = 2'000;
    const auto worker = Worker::create({}).value();
    FakeQueue queue;
    QueueStatistics statistics;
    ASSERT_TRUE(worker->attach(queue, {with(PolicyKind::never), &statistics}));
    std::atomic<bool> stop{false};
    std::atomic<bool> stalled{false};
    std::atomic<std::uint64_t> added{0};
    std::thread driver([&] {
        while (!stop) {
            queue.add();
            const std::uint64_t expected = added.fetch_add(1) + 1;
            if (!eventually([&] { return queue.completed() >= expected; })) {
                stalled = true;
                return;
            }
        }
    });
    for (std::uint64_t i = 0; i < flips && !stalled; ++i) {
        worker->set_queue(queue, with(i % 2 == 0 ? PolicyKind::always : PolicyKind::never));
    }
    stop = true;
    driver.join();
    EXPECT_FALSE(stalled) << "after " << added << " requests";
    worker->detach(queue);
    EXPECT_EQ(queue.completed(), added);
}

TEST(WorkerRace, QueuesComeAndGoWhileOthersAreServed) {
    const auto worker = Worker::create({}).value();
    FakeQueue steady;
    QueueStatistics steady_statistics;
    ASSERT_TRUE(worker->attach(steady, {with(PolicyKind::never), &steady_statistics}));
    std::atomic<bool> stop{false};
    std::vector<std::thread> controls;
    std::atomic<std::uint64_t> rounds{0};
    for (int thread = 0; thread < 3; ++thread) {
        controls.emplace_back([&, thread] {
            while (!stop) {
                FakeQueue queue;
                QueueStatistics statistics;
                const auto kind = thread == 0 ? PolicyKind::always : PolicyKind::never;
                ASSERT_TRUE(worker->attach(queue, {with(kind), &statistics}));
                queue.add(5);
                ASSERT_TRUE(eventually([&] { return queue.completed() == 5; }));
                worker->detach(queue);
                ASSERT_EQ(queue.completed(), 5U);
                rounds.fetch_add(1);
            }
        });
    }
    for (std::uint64_t i = 1; i <= 2'000; ++i) {
        steady.add();
        ASSERT_TRUE(eventually([&] { return steady.completed() == i; }));
    }
    stop = true;
    for (auto& control : controls) {
        control.join();
    }
    EXPECT_GT(rounds, 0U);
    worker->detach(steady);
}

TEST(WorkerRace, StatisticsAreReadWhileTheyAreWritten) {
    const auto worker = Worker::create({}).value();
    FakeQueue queue;
    QueueStatistics statistics;
    ASSERT_TRUE(worker->attach(queue, {with(PolicyKind::always), &statistics}));
    std::atomic<bool> stop{false};
    std::thread reader([&] {
        std::uint64_t last = 0;
        while (!stop) {
            const std::uint64_t now = statistics.read().poll_requests;
            ASSERT_GE(now, last);
            last = now;
            ASSERT_LE(worker->statistics().polled_queues, 1U);
        }
    });
    for (std::uint64_t i = 1; i <= 20'000; ++i) {
        queue.add();
    }
    EXPECT_TRUE(eventually([&] { return queue.completed() == 20'000; }));
    stop = true;
    reader.join();
    worker->detach(queue);
    EXPECT_EQ(statistics.read().poll_requests, 20'000U);
}

}  // namespace
}  // namespace sidecore::engine
