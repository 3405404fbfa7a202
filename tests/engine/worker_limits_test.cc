// SPDX-License-Identifier: Apache-2.0
// What a worker may spend: budgets, moderated calls, and the accounts of CPU time.
#include <atomic>
#include <memory>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"
#include "engine/worker_habits.hh"

namespace sidecore::engine {
namespace {

unsigned first_allowed_cpu() {
    cpu_set_t cpus;
    EXPECT_EQ(::sched_getaffinity(0, sizeof cpus, &cpus), 0);
    unsigned cpu = 0;
    while (CPU_ISSET(cpu, &cpus) == 0) {
        ++cpu;
    }
    return cpu;
}

/// A thread that wants all of one CPU.
class Competitor {
public:
    explicit Competitor(unsigned cpu)
        : thread_([this, cpu] {
              cpu_set_t here;
              CPU_ZERO(&here);
              CPU_SET(cpu, &here);
              EXPECT_EQ(::pthread_setaffinity_np(::pthread_self(), sizeof here, &here), 0);
              while (!stop_) {
              }
          }) {}
    ~Competitor() {
        stop_ = true;
        thread_.join();
    }
    Competitor(const Competitor&) = delete;
    Competitor& operator=(const Competitor&) = delete;

private:
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

class WorkerLimits : public testing::Test {
protected:
    struct Attached {
        explicit Attached(bool asynchronous) : queue(asynchronous, 1000) {}
        FakeQueue queue;
        QueueStatistics statistics;
    };

    Attached& attach(const QueueSettings& settings, std::shared_ptr<SharedPollBudget> budget = nullptr,
                     bool asynchronous = false) {
        auto& attached = *queues_.emplace_back(std::make_unique<Attached>(asynchronous));
        EXPECT_TRUE(worker->attach(attached.queue, {settings, &attached.statistics, std::move(budget)}));
        return attached;
    }
    static QueueSettings with(PolicyKind kind) { return {.policy = {.kind = kind}}; }

    void TearDown() override {
        for (const auto& attached : queues_) {
            attached->queue.finish(static_cast<std::uint32_t>(attached->queue.served() - attached->queue.completed()));
            worker->detach(attached->queue);
        }
    }

    std::unique_ptr<Worker> worker = Worker::create({.name = "test", .settings = {.good_neighbour = false}}).value();

private:
    std::vector<std::unique_ptr<Attached>> queues_;
};

TEST_F(WorkerLimits, AWorkerThatMayNotPollSleepsWhateverThePolicy) {
    worker->set({.poll_budget_percent = 0, .good_neighbour = false});
    auto& a = attach(with(PolicyKind::always));
    ASSERT_TRUE(eventually([&] { return a.statistics.armed.load(); }));
    for (std::uint64_t i = 1; i <= 50; ++i) {
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == i && a.statistics.armed.load(); }));
    }
    EXPECT_EQ(worker->explain(a.queue)->bar, PollBar::worker_budget);
    EXPECT_GE(worker->statistics().switches, 50U);
    worker->set({.good_neighbour = false});
    a.queue.add();
    ASSERT_TRUE(eventually([&] { return a.statistics.mode == Mode::polled; }));
    EXPECT_EQ(worker->explain(a.queue)->bar, PollBar::none);
}

TEST_F(WorkerLimits, ADeviceThatMayNotPollIsNotifiedWhileOthersArePolled) {
    auto& poor = attach(with(PolicyKind::always), std::make_shared<SharedPollBudget>(0));
    auto& rich = attach(with(PolicyKind::always), std::make_shared<SharedPollBudget>(100));
    ASSERT_TRUE(eventually([&] { return poor.statistics.armed.load(); }));
    poor.queue.add();
    ASSERT_TRUE(eventually([&] { return poor.queue.completed() == 1 && poor.statistics.armed.load(); }));
    EXPECT_EQ(poor.queue.kicks_sent(), 1U);
    EXPECT_EQ(worker->explain(poor.queue)->bar, PollBar::device_budget);
    EXPECT_EQ(rich.statistics.mode, Mode::polled);
}

TEST_F(WorkerLimits, OthersThatWantTheCpuEndTheSpinningButForQueuesThatAreAlwaysPolled) {
    const unsigned cpu = first_allowed_cpu();
    ASSERT_TRUE(worker->pin(cpu));
    worker->set({.good_neighbour = true});
    const Competitor other(cpu);

    auto& patient = attach({.policy = {.kind = PolicyKind::fixed, .poll_time_ns = 3'600'000'000'000}});
    patient.queue.add();
    ASSERT_TRUE(eventually([&] { return worker->explain(patient.queue)->bar == PollBar::neighbour; }));
    EXPECT_TRUE(patient.statistics.armed.load());
    const std::uint64_t pauses = worker->statistics().neighbour_pauses;

    auto& insistent = attach(with(PolicyKind::always));
    ASSERT_TRUE(eventually([&] { return worker->statistics().neighbour_pauses > pauses; }));
    EXPECT_EQ(insistent.statistics.mode, Mode::polled);
    EXPECT_EQ(insistent.statistics.to_notified.get(), 0U);
}

/// To sleep between any two requests would take more from the others than to look on.
TEST_F(WorkerLimits, OthersThatWantTheCpuAreSparedTheSleepsThatCostMoreThanLooks) {
    Worker::Options options{.name = "costly"};
    options.costs.wake_ns = 50'000'000;
    worker = Worker::create(std::move(options)).value();
    const unsigned cpu = first_allowed_cpu();
    ASSERT_TRUE(worker->pin(cpu));
    const Competitor other(cpu);
    auto& a = attach(with(PolicyKind::adaptive));
    std::uint64_t requests = 0;
    const auto request = [&] {
        a.queue.add();
        return eventually([&] { return a.queue.completed() == requests + 1; });
    };
    for (; worker->statistics().neighbour_pauses == 0; ++requests) {
        ASSERT_TRUE(request());
    }
    const std::uint64_t sleeps = worker->statistics().switches;
    for (const std::uint64_t end = requests + 300; requests != end; ++requests) {
        ASSERT_TRUE(request());
    }
    EXPECT_LT(worker->statistics().switches - sleeps, 100U);
}

/// Else it would take a busy time for an idle one, sleep again, be kept waiting again, and go on so.
TEST_F(WorkerLimits, TheTimeForWhichOthersKeepItFromRunningIsNoTimeWithoutWork) {
    const unsigned cpu = first_allowed_cpu();
    ASSERT_TRUE(worker->pin(cpu));
    const Competitor other(cpu);
    auto& a = attach(with(PolicyKind::never));
    bool idle_class = false;
    worker->quiesced(a.queue, [&] {  // on its thread: from now on, whoever wants the CPU gets it
        const sched_param none{};
        idle_class = ::sched_setscheduler(0, SCHED_IDLE, &none) == 0;
    });
    ASSERT_TRUE(idle_class);
    std::uint64_t waited_ns = 0;
    std::uint64_t requests = 0;
    for (int delayed = 0; delayed < 12; ++requests) {
        ASSERT_LT(requests, 10'000U) << "nothing keeps it from running";
        const std::uint64_t begin = monotonic_ns();
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == requests + 1; }));
        const std::uint64_t time_ns = monotonic_ns() - begin;
        delayed += time_ns > 5'000'000 ? 1 : 0;
        waited_ns += time_ns;
    }
    EXPECT_LT(worker->explain(a.queue)->worker.mean_gap_ns,
              static_cast<double>(waited_ns) / static_cast<double>(requests) / 2);
}

TEST_F(WorkerLimits, AnAdaptiveQueueLetsTheWorkerSleepAndIsServedAfter) {
    auto& a = attach(with(PolicyKind::adaptive));
    for (std::uint64_t i = 1; i <= 200; ++i) {
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == i; }));
        if (i % 50 == 0) {
            ASSERT_TRUE(eventually([&] { return a.statistics.armed.load(); })) << i;
        }
    }
    EXPECT_TRUE(worker->explain(a.queue)->worker_decides);
    EXPECT_GT(worker->explain(a.queue)->worker.gaps, 10U);
}

TEST_F(WorkerLimits, QueuesThatItSleptOverAreLookedAtAgainForAWhile) {
    auto& busy = attach(with(PolicyKind::adaptive));
    auto& idle = attach(with(PolicyKind::adaptive));
    const auto both_armed = [&] { return busy.statistics.armed.load() && idle.statistics.armed.load(); };
    busy.queue.add();
    ASSERT_TRUE(eventually([&] { return busy.queue.completed() == 1 && both_armed(); }));
    idle.queue.add();
    ASSERT_TRUE(eventually([&] { return idle.queue.completed() == 1 && both_armed(); }));
    const std::uint64_t before = idle.statistics.to_polled.get();
    const std::uint64_t kicks = idle.queue.kicks_sent();
    for (std::uint64_t i = 2; i <= relist_patience + 20; ++i) {
        busy.queue.add();
        ASSERT_TRUE(eventually([&] { return busy.queue.completed() == i && both_armed(); }));
    }
    // Its own kick was not needed for that, and in the end it is left alone.
    EXPECT_EQ(idle.statistics.to_polled.get() - before, relist_patience);
    EXPECT_EQ(idle.queue.kicks_sent(), kicks);
    idle.queue.add();
    EXPECT_TRUE(eventually([&] { return idle.queue.completed() == 2; }));
    EXPECT_EQ(idle.queue.kicks_sent(), kicks + 1);
}

TEST_F(WorkerLimits, ModeratedCallsStandForSeveralBatchesAndNoneIsForgotten) {
    QueueSettings settings = with(PolicyKind::always);
    settings.calls = {.max_requests = 8, .max_delay_ns = 1'000'000'000};
    auto& busy = attach(with(PolicyKind::always));  // keeps the worker from having nothing to do
    auto& a = attach(settings, nullptr, true);
    a.queue.add(20);
    ASSERT_TRUE(eventually([&] { return a.queue.served() == 20; }));
    worker->execute([&] { busy.queue.add(); });
    for (int i = 0; i < 20; ++i) {
        a.queue.finish(1);
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == static_cast<std::uint64_t>(i) + 1; }));
    }
    // 8, 16, and the last, after which nothing more is on its way.
    ASSERT_TRUE(eventually([&] { return a.queue.owed() == 0; }));
    EXPECT_EQ(a.queue.calls(), 3U);
    EXPECT_EQ(a.statistics.calls_merged.get(), 17U);
}

TEST_F(WorkerLimits, CallsThatAreOwedAreMadeBeforeTheWorkerSleepsAndWhenModerationEnds) {
    QueueSettings settings = with(PolicyKind::never);
    settings.calls = {.max_requests = 8, .max_delay_ns = 1'000'000'000};
    auto& a = attach(settings, nullptr, true);
    a.queue.add(4);
    ASSERT_TRUE(eventually([&] { return a.queue.served() == 4; }));
    a.queue.finish(1);
    ASSERT_TRUE(eventually([&] { return a.queue.calls() == 1; })) << "nothing else keeps the worker awake";

    auto& awake = attach(with(PolicyKind::always));
    a.queue.finish(1);
    ASSERT_TRUE(eventually([&] { return a.queue.owed() == 1; }));
    worker->set_queue(a.queue, with(PolicyKind::never));
    EXPECT_EQ(a.queue.calls(), 2U);
    EXPECT_EQ(a.queue.owed(), 0U);
    static_cast<void>(awake);
}

TEST_F(WorkerLimits, ModeratedCallsOfAQueueForWhichNobodyWaitsAreLateThoughItIsEmpty) {
    QueueSettings settings = with(PolicyKind::always);
    settings.calls = {.max_requests = 8, .max_delay_ns = 1'000'000'000};
    const auto add_each = [](FakeQueue& queue, std::uint64_t count) {
        for (std::uint64_t i = 1; i <= count; ++i) {
            queue.add();
            ASSERT_TRUE(eventually([&] { return queue.completed() == i; }));
        }
    };
    auto& awaited = attach(settings);
    add_each(awaited.queue, 20);
    ASSERT_TRUE(eventually([&] { return awaited.queue.owed() == 0; }));

    auto& other = attach(with(PolicyKind::never));
    worker->execute([&] { other.queue.awaited = false; });
    worker->set_queue(other.queue, settings);
    add_each(other.queue, 20);
    ASSERT_TRUE(eventually([&] { return other.queue.owed() == 4; }));  // 8, 16, and four that wait
    EXPECT_EQ(other.queue.calls(), 2U);
}

TEST_F(WorkerLimits, ADriverThatMayRunOutOfBuffersIsCalledSooner) {
    QueueSettings settings = with(PolicyKind::always);
    settings.calls = {.max_requests = 64, .max_delay_ns = 1'000'000'000};
    auto& small = attach(with(PolicyKind::never));
    worker->execute([&] {
        small.queue.awaited = false;
        small.queue.ring_size = 16;
    });
    worker->set_queue(small.queue, settings);
    for (std::uint64_t i = 1; i <= 16; ++i) {
        small.queue.add();
        ASSERT_TRUE(eventually([&] { return small.queue.completed() == i; }));
    }
    EXPECT_TRUE(eventually([&] { return small.queue.calls() == 4; }));
}

TEST_F(WorkerLimits, TheAccountsAddUpToTheThreadsCpuTime) {
    auto& polled = attach(with(PolicyKind::always));
    auto& notified = attach(with(PolicyKind::never));
    for (std::uint64_t i = 1; i <= 2000; ++i) {
        polled.queue.add();
        notified.queue.add();
        ASSERT_TRUE(eventually([&] { return polled.queue.completed() == i && notified.queue.completed() == i; }));
    }
    worker->settle_accounts();
    const WorkerSnapshot all = worker->statistics();
    const QueueSnapshot p = polled.statistics.read();
    const QueueSnapshot n = notified.statistics.read();
    const std::uint64_t sum = p.cpu_serving_ns + p.cpu_polling_ns + p.cpu_waking_ns + n.cpu_serving_ns +
                              n.cpu_polling_ns + n.cpu_waking_ns + all.cpu_other_ns;
    EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(all.cpu_ns), 0.01 * static_cast<double>(all.cpu_ns));
    EXPECT_LE(all.cpu_ns, worker->cpu_time_ns());
    EXPECT_GT(p.cpu_polling_ns, 0U);
    EXPECT_GT(p.cpu_serving_ns, 0U);
    EXPECT_GT(n.cpu_serving_ns, 0U);
    EXPECT_EQ(n.cpu_polling_ns, 0U) << "nobody looks at a notified queue in vain";
}

}  // namespace
}  // namespace sidecore::engine
