// SPDX-License-Identifier: Apache-2.0
// Who gets how much of a worker's time, and in which order.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::engine {
namespace {

class WorkerShare : public testing::Test {
protected:
    struct Attached {
        FakeQueue queue;
        QueueStatistics statistics;
    };

    Attached& attach(const QueueSettings& settings) {
        auto& attached = *queues_.emplace_back(std::make_unique<Attached>());
        EXPECT_TRUE(worker->attach(attached.queue, {settings, &attached.statistics}));
        return attached;
    }

    static QueueSettings polled(std::uint32_t weight = 100) {
        QueueSettings settings;
        settings.policy.kind = PolicyKind::always;
        settings.schedule.weight = weight;
        return settings;
    }

    /// Requests that take some time, and always a next one.
    static void keep_busy(FakeQueue& queue, std::uint64_t request_ns) {
        queue.on_request = [&queue, length = ns_to_cycles(request_ns)] {
            const std::uint64_t end = cycles() + length;
            while (cycles() < end) {
            }
            queue.add();
        };
    }

    static std::uint64_t charged(const Attached& attached) { return attached.statistics.poll_cycles.get(); }

    void TearDown() override {
        for (const auto& attached : queues_) {
            worker->execute([&] { attached->queue.on_request = nullptr; });
            worker->detach(attached->queue);
        }
    }

    std::unique_ptr<Worker> worker = Worker::create({.name = "test", .settings = {.good_neighbour = false}}).value();

private:
    std::vector<std::unique_ptr<Attached>> queues_;
};

TEST_F(WorkerShare, TimeIsSharedByWeightWhateverARequestTakes) {
    auto& small = attach(polled(100));
    auto& middle = attach(polled(200));
    auto& large = attach(polled(400));
    worker->execute([&] {
        // One with long requests, one with short ones.
        keep_busy(small.queue, 10'000);
        keep_busy(middle.queue, 1'000);
        keep_busy(large.queue, 3'000);
        for (auto* attached : {&small, &middle, &large}) {
            attached->queue.add(64);
        }
    });
    // What is charged is what counts. A turn in the middle of which another thread takes the CPU away is charged all of that time, and the others
    // need theirs to catch up, so the shares are right again and again, but not at every moment.
    ASSERT_TRUE(eventually([&] { return charged(small) > ns_to_cycles(150'000'000); }));
    EXPECT_TRUE(eventually([&] {
        const double unit = static_cast<double>(charged(small));
        return std::abs(static_cast<double>(charged(middle)) / unit - 2) < 0.2 &&
               std::abs(static_cast<double>(charged(large)) / unit - 4) < 0.4;
    })) << charged(small)
        << " " << charged(middle) << " " << charged(large);
}

TEST_F(WorkerShare, AQueueThatWasIdleHasNotSavedItsShareUp) {
    auto& busy = attach(polled());
    auto& late = attach(polled());
    worker->execute([&] {
        keep_busy(busy.queue, 2'000);
        busy.queue.add(64);
    });
    ASSERT_TRUE(eventually([&] { return charged(busy) > ns_to_cycles(150'000'000); }));
    std::uint64_t before = 0;
    worker->execute([&] {
        before = charged(busy);
        keep_busy(late.queue, 2'000);
        late.queue.add(64);
    });
    ASSERT_TRUE(eventually([&] { return charged(late) > ns_to_cycles(150'000'000); }));
    EXPECT_TRUE(eventually([&] {
        const double since = static_cast<double>(charged(busy) - before);
        return std::abs(since / static_cast<double>(charged(late)) - 1) < 0.1;
    })) << charged(busy) - before
        << " " << charged(late);
}

TEST_F(WorkerShare, ADeepQueueDoesNotHoldTheOthersUpForLongerThanItsTurn) {
    auto& deep = attach(polled());
    auto& shallow = attach(polled());
    std::vector<std::uint64_t> seen;  // how far the deep one was at each turn of the other
    worker->execute([&] {
        keep_busy(deep.queue, 20'000);
        deep.queue.add(1'000'000);
        shallow.queue.on_turn = [&] { seen.push_back(deep.queue.served()); };
        shallow.queue.on_request = [&shallow] { shallow.queue.add(); };
        shallow.queue.add();
    });
    ASSERT_TRUE(eventually([&] { return shallow.queue.turns() > 200; }));
    worker->execute([&] { shallow.queue.on_turn = nullptr; });
    std::vector<std::uint64_t> between;
    for (std::size_t i = 8; i < seen.size(); ++i) {  // it has to see first what a request takes
        between.push_back(seen[i] - seen[i - 1]);
    }
    std::ranges::sort(between);
    EXPECT_GE(between.back(), 1U);
    // 50 µs of 20 µs each, and what is begun is finished. A turn in which another thread took the CPU away is charged for that
    // time, so a few may be followed by longer ones.
    EXPECT_LE(between[between.size() * 9 / 10], 4U);
}

TEST_F(WorkerShare, QueuesThatAreEmptiedInEachPassDoNotHoldABusyOneUp) {
    auto& busy = attach(polled());
    auto& one = attach(polled());
    auto& other = attach(polled());
    worker->execute([&] {
        keep_busy(busy.queue, 20'000);
        busy.queue.add(1'000'000);
        // Each has a request in every pass, and none left after its turn.
        one.queue.on_turn = [&] { other.queue.add(); };
        other.queue.on_turn = [&] { one.queue.add(); };
        one.queue.add();
    });
    ASSERT_TRUE(eventually([&] { return busy.queue.turns() > 200; }));
    worker->execute([&] { one.queue.on_turn = other.queue.on_turn = nullptr; });
    // A pass has a turn of each. Were the busy one to wait until these have had as much time as it, they would have had some hundred.
    EXPECT_LT(one.queue.turns(), 10 * busy.queue.turns());
    EXPECT_GT(one.queue.turns(), busy.queue.turns() / 10);
}

TEST_F(WorkerShare, TheLatencyClassGoesFirstAndBetween) {
    auto settings = polled();
    settings.schedule.latency_class = true;
    auto bulk_settings = polled();
    bulk_settings.schedule.turn_max_ns = 1'000'000'000;  // left only for a reason
    bulk_settings.schedule.turn_requests = 32'768;
    auto& bulk = attach(bulk_settings);
    auto& urgent = attach(settings);
    std::uint64_t added_at = 0;
    std::uint64_t served_at = 0;
    worker->execute([&] {
        keep_busy(bulk.queue, 20'000);
        bulk.queue.on_request = [&, burn = bulk.queue.on_request] {
            burn();
            if (bulk.queue.served() == 100) {
                added_at = 100;
                urgent.queue.add();
            }
        };
        urgent.queue.on_request = [&] { served_at = bulk.queue.served(); };
        bulk.queue.add(1'000);
    });
    ASSERT_TRUE(eventually([&] { return urgent.queue.completed() == 1; }));
    worker->execute([] {});
    EXPECT_EQ(added_at, 100U);
    EXPECT_LE(served_at, 102U) << "without the rule it would be at the end of the turn: 1000";
}

TEST_F(WorkerShare, AQueueWhoseWorkWaitsIsNotLeftWaiting) {
    auto bulk_settings = polled();
    bulk_settings.schedule.turn_max_ns = 100'000'000;
    bulk_settings.schedule.turn_requests = 32'768;
    WorkerSettings rules{.good_neighbour = false, .wait_max_ns = 1'000'000};
    worker->set(rules);
    auto& bulk = attach(bulk_settings);
    auto& other = attach(polled());
    worker->execute([&] {
        keep_busy(bulk.queue, 20'000);
        bulk.queue.add(1'000);
        other.queue.on_request = [&other] { other.queue.add(); };
        other.queue.add();
    });
    ASSERT_TRUE(eventually([&] { return worker->statistics().stuck_works >= 2; }));
    rules.wait_max_ns = 0;
    worker->set(rules);
    const std::uint64_t before = worker->statistics().stuck_works;
    const std::uint64_t served = bulk.queue.served();
    ASSERT_TRUE(eventually([&] { return bulk.queue.served() > served + 100; }));
    EXPECT_EQ(worker->statistics().stuck_works, before) << "switched off";
}

TEST_F(WorkerShare, AStuckQueueIsServedNextUnlessItIsMerelyBursty) {
    auto bulk_settings = polled();
    bulk_settings.schedule.turn_max_ns = 100'000'000;
    bulk_settings.schedule.turn_requests = 32'768;
    WorkerSettings rules{.good_neighbour = false, .wait_max_ns = 0, .stuck_after_ns = 1'000'000, .stuck_pending = 8};
    worker->set(rules);
    auto& bulk = attach(bulk_settings);
    auto& other = attach(polled());
    worker->execute([&] {
        keep_busy(bulk.queue, 20'000);
        bulk.queue.add(1'000);
        other.queue.on_request = [&other] { other.queue.add(); };
        other.queue.add(4);
    });
    ASSERT_TRUE(eventually([&] { return other.statistics.stuck_times.get() >= 2; }));
    EXPECT_GE(other.statistics.stuck_cycles.get(), ns_to_cycles(2'000'000));
    worker->execute([&] { other.queue.add(100); });
    const std::uint64_t before = other.statistics.stuck_times.get();
    const std::uint64_t served = bulk.queue.served();
    ASSERT_TRUE(eventually([&] { return bulk.queue.served() > served + 100; }));
    EXPECT_EQ(other.statistics.stuck_times.get(), before) << "more than 8 are pending";
}

}  // namespace
}  // namespace sidecore::engine
