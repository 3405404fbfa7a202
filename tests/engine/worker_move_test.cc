// SPDX-License-Identifier: Apache-2.0
// Queues that change their worker while they are in use.
#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::engine {
namespace {

class WorkerMove : public testing::TestWithParam<PolicyKind> {
protected:
    static std::unique_ptr<Worker> make(const char* name) {
        return Worker::create({.name = name, .settings = {.good_neighbour = false}}).value();
    }
    QueueSettings settings() const { return {.policy = {.kind = GetParam()}}; }

    std::unique_ptr<Worker> a = make("a");
    std::unique_ptr<Worker> b = make("b");
};

INSTANTIATE_TEST_SUITE_P(Policies, WorkerMove,
                         testing::Values(PolicyKind::never, PolicyKind::always, PolicyKind::adaptive),
                         [](const auto& instance) { return std::string(to_string(instance.param)); });

TEST_P(WorkerMove, AQueueIsServedWhereItHasGone) {
    FakeQueue queue;
    QueueStatistics statistics;
    std::thread::id server;
    queue.on_turn = [&] { server = std::this_thread::get_id(); };
    ASSERT_TRUE(a->attach(queue, {settings(), &statistics}));
    std::thread::id of_a;
    std::thread::id of_b;
    a->execute([&] { of_a = std::this_thread::get_id(); });
    b->execute([&] { of_b = std::this_thread::get_id(); });

    ASSERT_TRUE(a->move(queue, *b));
    queue.add(3);
    ASSERT_TRUE(eventually([&] { return queue.completed() == 3; }));
    std::thread::id last;
    b->execute([&] { last = server; });
    EXPECT_EQ(last, of_b);
    EXPECT_EQ(a->statistics().queues, 0U);
    EXPECT_EQ(b->statistics().queues, 1U);
    EXPECT_EQ(statistics.read().moves, 1U);

    ASSERT_TRUE(b->move(queue, *a));
    queue.add(3);
    ASSERT_TRUE(eventually([&] { return queue.completed() == 6; }));
    a->execute([&] { last = server; });
    EXPECT_EQ(last, of_a);
    a->detach(queue);
    EXPECT_EQ(b->statistics().polled_queues, 0U);
}

TEST_P(WorkerMove, WhatIsInFlightGoesAlong) {
    FakeQueue queue(true, 4);
    QueueStatistics statistics;
    ASSERT_TRUE(a->attach(queue, {settings(), &statistics}));
    queue.add(6);
    ASSERT_TRUE(eventually([&] { return queue.served() == 4 && statistics.read().held; }));
    ASSERT_TRUE(a->move(queue, *b));
    EXPECT_EQ(queue.served(), 4U);
    EXPECT_EQ(queue.completed(), 0U);
    queue.finish(4);
    ASSERT_TRUE(eventually([&] { return queue.completed() == 4 && queue.served() == 6; }));
    queue.finish(2);
    ASSERT_TRUE(eventually([&] { return queue.completed() == 6; }));
    b->detach(queue);
}

TEST_P(WorkerMove, AThousandMovesDuringUseLoseNothing) {
    FakeQueue queue;
    QueueStatistics statistics;
    ASSERT_TRUE(a->attach(queue, {settings(), &statistics}));
    std::atomic<bool> stop{false};
    std::uint64_t added = 0;
    std::atomic<bool> stalled{false};
    std::thread driver([&] {
        while (!stop && !stalled) {
            queue.add();
            ++added;
            // One at a time, so that each is a wake-up that a move could lose.
            stalled = !eventually([&] { return queue.completed() == added; });
        }
    });
    for (int round = 0; round < 500 && !stalled; ++round) {
        ASSERT_TRUE(a->move(queue, *b));
        ASSERT_TRUE(b->move(queue, *a));
    }
    stop = true;
    driver.join();
    EXPECT_FALSE(stalled) << "after " << added;
    EXPECT_EQ(queue.served(), added);
    EXPECT_EQ(statistics.read().moves, 1000U);
    a->detach(queue);
}

TEST_P(WorkerMove, AQueueThatIsNotThereCannotBeMoved) {
    FakeQueue queue;
    EXPECT_EQ(a->move(queue, *b).error().kind, ErrorKind::not_found);
    EXPECT_TRUE(a->move(queue, *a));
}

TEST_P(WorkerMove, WhatThePolicyHasLearnedGoesAlong) {
    FakeQueue queue;
    QueueStatistics statistics;
    ASSERT_TRUE(a->attach(queue, {{.policy = {.kind = PolicyKind::rate, .poll_start_rate = 1}}, &statistics}));
    queue.add();
    ASSERT_TRUE(eventually([&] { return statistics.read().mode == Mode::polled; }));
    ASSERT_TRUE(a->move(queue, *b));
    EXPECT_EQ(statistics.read().mode, Mode::polled);
    EXPECT_EQ(b->statistics().polled_queues, 1U);
    EXPECT_EQ(a->statistics().polled_queues, 0U);
    b->detach(queue);
}

}  // namespace
}  // namespace sidecore::engine
