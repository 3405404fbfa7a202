// SPDX-License-Identifier: Apache-2.0
#include "engine/worker.hh"

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <memory>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/format.hh"
#include "engine/fake_queue.hh"
#include "engine/wait.hh"

namespace sidecore::engine {
namespace {

using std::chrono::milliseconds;

QueueSettings with(PolicyKind kind) {
    return {.policy = {.kind = kind}};
}

QueueSettings rate(std::uint32_t start_rate, std::uint64_t stop_idle_ns) {
    return {.policy = {.kind = PolicyKind::rate,
                       .poll_start_rate = start_rate,
                       .poll_stop_idle_ns = stop_idle_ns,
                       .tick_ns = 1'000'000'000}};
}

/// What the kernel knows of a thread: how often it gave the CPU up by itself, and how often it was made to.
struct Switches {
    std::uint64_t voluntary = 0;
    std::uint64_t involuntary = 0;
};

Switches switches_of(int thread_id) {
    std::ifstream status(fmt::format("/proc/self/task/{}/status", thread_id));
    Switches switches;
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("voluntary_ctxt_switches:")) {
            switches.voluntary = std::stoull(line.substr(24));
        } else if (line.starts_with("nonvoluntary_ctxt_switches:")) {
            switches.involuntary = std::stoull(line.substr(27));
        }
    }
    return switches;
}

/// Whether the worker makes passes.
bool worker_awake(const Worker& worker) {
    const std::uint64_t before = worker.statistics().loops;
    std::this_thread::sleep_for(milliseconds(5));
    return worker.statistics().loops != before;
}

/// A worker, and queues that are detached before it goes.
class WorkerTest : public testing::Test {
protected:
    struct Attached {
        explicit Attached(bool asynchronous = false) : queue(asynchronous) {}
        FakeQueue queue;
        QueueStatistics statistics;
        QueueSnapshot snapshot() const { return statistics.read(); }
    };

    Attached& attach(const QueueSettings& settings, bool asynchronous = false) {
        auto& attached = *queues_.emplace_back(std::make_unique<Attached>(asynchronous));
        EXPECT_TRUE(worker->attach(attached.queue, {settings, &attached.statistics}));
        return attached;
    }

    void TearDown() override {
        for (const auto& attached : queues_) {
            if (attached->statistics.attached) {
                worker->detach(attached->queue);
            }
        }
    }

    /// Whatever else the machine does meanwhile.
    std::unique_ptr<Worker> worker = Worker::create({.name = "test", .settings = {.good_neighbour = false}}).value();

private:
    std::vector<std::unique_ptr<Attached>> queues_;
};

TEST_F(WorkerTest, ServesWhatWasAvailableBeforeItCame) {
    auto queue = std::make_unique<FakeQueue>();
    QueueStatistics statistics;
    queue->add(3);
    ASSERT_TRUE(worker->attach(*queue, {with(PolicyKind::never), &statistics}));
    EXPECT_TRUE(eventually([&] { return queue->completed() == 3; }));
    worker->detach(*queue);
}

TEST_F(WorkerTest, WhatOthersDidForAQueueIsCountedAsItsOwn) {
    auto& attached = attach({});
    worker->execute([&] {
        attached.queue.elsewhere.requests = attached.queue.elsewhere.completed = 7;
        attached.queue.elsewhere.bytes = 700;
        attached.queue.elsewhere.calls = 2;
    });
    worker->settle_accounts();
    worker->settle_accounts();
    const QueueSnapshot counted = attached.snapshot();
    EXPECT_EQ(counted.completions, 7U);
    EXPECT_EQ(counted.poll_requests + counted.notif_requests, 7U);
    EXPECT_EQ(counted.poll_bytes + counted.notif_bytes, 700U);
    EXPECT_EQ(counted.calls, 2U);
}

TEST_F(WorkerTest, AQueueThatIsPolledFromTheStartIsNeverKicked) {
    auto& a = attach(with(PolicyKind::always));
    for (std::uint64_t i = 1; i <= 100; ++i) {
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == i; }));
    }
    EXPECT_EQ(a.queue.kicks_sent(), 0U);
}

TEST_F(WorkerTest, CommandsThatFoundItAwakeDoNotKeepItFromSleepingAfterwards) {
    auto& a = attach(with(PolicyKind::never));
    for (int round = 0; round < 200; ++round) {
        worker->set_queue(a.queue, with(PolicyKind::always));
        worker->set_queue(a.queue, with(PolicyKind::never));
        ASSERT_TRUE(eventually([&] { return a.snapshot().armed; }));
        const std::uint64_t before = worker->statistics().loops;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ASSERT_LE(worker->statistics().loops - before, 10U) << "a look at the last command, and then nothing";
    }
}

TEST_F(WorkerTest, ANotifiedQueueIsArmedWhenIdleAndServedWhenItKicks) {
    auto& a = attach(with(PolicyKind::never));
    ASSERT_TRUE(eventually([&] { return a.snapshot().armed; }));
    EXPECT_FALSE(a.snapshot().listed);
    a.queue.add();
    EXPECT_TRUE(eventually([&] { return a.queue.completed() == 1; }));
    EXPECT_EQ(a.queue.kicks_sent(), 1U);
    EXPECT_TRUE(eventually([&] { return a.snapshot().armed; }));
    EXPECT_EQ(a.snapshot().kicks, 1U);
    EXPECT_EQ(a.snapshot().notif_requests, 1U);
    EXPECT_EQ(a.snapshot().mode, Mode::notified);
}

TEST_F(WorkerTest, APolledQueueNeedsNoKick) {
    auto& a = attach(with(PolicyKind::always));
    ASSERT_TRUE(eventually([&] { return a.snapshot().listed && !a.queue.wants_kicks(); }));
    for (int i = 0; i < 100; ++i) {
        a.queue.add();
    }
    EXPECT_TRUE(eventually([&] { return a.queue.completed() == 100; }));
    EXPECT_EQ(a.queue.kicks_sent(), 0U);
    EXPECT_TRUE(eventually([&] { return a.snapshot().poll_requests == 100; }));
    EXPECT_TRUE(eventually([&] { return a.snapshot().poll_empty > 0; }));
}

TEST_F(WorkerTest, AQueueWithoutKickDescriptorIsPolledWhateverThePolicySays) {
    FakeQueue queue;
    queue.use_kick(Fd());
    QueueStatistics statistics;
    ASSERT_TRUE(worker->attach(queue, {with(PolicyKind::never), &statistics}));
    queue.add(5);
    EXPECT_TRUE(eventually([&] { return queue.completed() == 5; }));
    EXPECT_EQ(statistics.read().mode, Mode::polled);
    worker->detach(queue);
}

TEST_F(WorkerTest, RateStartsPollingAndStopsAfterTheIdleTime) {
    auto& a = attach(rate(3, 50'000'000));
    ASSERT_TRUE(eventually([&] { return a.snapshot().armed; }));
    for (std::uint64_t work = 1; a.snapshot().mode == Mode::notified; ++work) {
        ASSERT_LE(work, 10U);  // 3, or 6 when a tick began in between
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == work; }));
        ASSERT_TRUE(eventually([&] { return a.snapshot().armed || a.snapshot().mode == Mode::polled; }));
    }
    EXPECT_TRUE(eventually([&] { return a.snapshot().mode == Mode::notified && a.snapshot().armed; }));
    EXPECT_EQ(a.snapshot().to_polled, 1U);
    EXPECT_EQ(a.snapshot().to_notified, 1U);
    const std::uint64_t before = a.queue.completed();
    a.queue.add();
    EXPECT_TRUE(eventually([&] { return a.queue.completed() == before + 1; }));
}

TEST_F(WorkerTest, AnIdlePolledQueueGoesBackToNotificationBesideOneThatIsNeverIdle) {
    auto& idle = attach(rate(1, 20'000'000));
    auto& busy = attach(with(PolicyKind::always));
    idle.queue.add();
    ASSERT_TRUE(eventually([&] { return idle.snapshot().to_polled == 1; }));
    std::atomic<bool> stop{false};
    std::thread driver([&] {
        while (!stop) {
            if (busy.queue.served() + 1000 > busy.queue.completed()) {
                busy.queue.add(1);
            }
        }
    });
    EXPECT_TRUE(eventually([&] { return idle.snapshot().mode == Mode::notified && idle.snapshot().armed; }));
    const std::uint64_t before = idle.queue.completed();
    idle.queue.add();  // its kick is seen by a worker that never sleeps
    EXPECT_TRUE(eventually([&] { return idle.queue.completed() == before + 1; }));
    stop = true;
    driver.join();
}

TEST_F(WorkerTest, RateZeroNeverPollsAndBothParametersChangeWhileRunning) {
    auto& a = attach(rate(0, 50'000'000));
    for (std::uint64_t i = 1; i <= 50; ++i) {
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == i; }));
    }
    EXPECT_EQ(a.snapshot().to_polled, 0U);
    worker->set_queue(a.queue, rate(1, 1'000'000'000'000));
    a.queue.add();
    ASSERT_TRUE(eventually([&] { return a.snapshot().mode == Mode::polled; }));
    worker->set_queue(a.queue, rate(1, 10'000'000));
    EXPECT_TRUE(eventually([&] { return a.snapshot().mode == Mode::notified && a.snapshot().armed; }));
}

TEST_F(WorkerTest, ThePolicyChangesWhileRunningInBothDirections) {
    auto& a = attach(with(PolicyKind::never));
    for (std::uint64_t round = 1; round <= 20; ++round) {
        worker->set_queue(a.queue, with(PolicyKind::always));
        EXPECT_EQ(a.snapshot().mode, Mode::polled);
        EXPECT_FALSE(a.queue.wants_kicks());
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == 2 * round - 1; }));
        worker->set_queue(a.queue, with(PolicyKind::never));
        EXPECT_EQ(a.snapshot().mode, Mode::notified);
        a.queue.add();
        ASSERT_TRUE(eventually([&] { return a.queue.completed() == 2 * round; }));
    }
}

TEST_F(WorkerTest, ATurnIsBoundedSoThatOthersGetTheirs) {
    auto settings = with(PolicyKind::never);
    settings.schedule.turn_requests = 8;
    auto& flooded = attach(settings);
    auto& other = attach(settings);
    std::uint64_t flooded_when_other_was_served = 0;
    worker->execute([&] {
        other.queue.on_turn = [&] {
            if (flooded_when_other_was_served == 0) {
                flooded_when_other_was_served = flooded.queue.served();
            }
        };
        // Both become available between two passes.
        flooded.queue.add(10'000);
        other.queue.add(1);
    });
    ASSERT_TRUE(eventually([&] { return flooded.queue.completed() == 10'000 && other.queue.completed() == 1; }));
    EXPECT_EQ(flooded.queue.longest_turn(), 8U);
    EXPECT_GE(flooded.snapshot().notif_limited, 10'000U / 8 - 1);
    worker->execute([&] { EXPECT_LE(flooded_when_other_was_served, 16U); });
}

TEST_F(WorkerTest, AHeldQueueKeepsItsModeLeavesTheListAndIsResumed) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always}) {
        auto& a = attach(with(kind), true);
        a.queue.add(10);  // 4 fit
        ASSERT_TRUE(eventually([&] { return a.snapshot().held; }));
        EXPECT_FALSE(a.snapshot().listed);
        EXPECT_EQ(a.snapshot().mode, kind == PolicyKind::always ? Mode::polled : Mode::notified);
        EXPECT_EQ(a.queue.served(), 4U);
        a.queue.kick();  // a stray kick must not give it a turn
        a.queue.finish(1);
        ASSERT_TRUE(eventually([&] { return a.queue.served() == 5; }));
        for (std::uint64_t finished = 2; finished <= 10; ++finished) {
            a.queue.finish(1);
            ASSERT_TRUE(eventually([&] { return a.queue.completed() == finished; }));
        }
        EXPECT_EQ(a.queue.served(), 10U);
        EXPECT_TRUE(eventually([&] { return !a.snapshot().held; }));
    }
}

TEST_F(WorkerTest, DetachWaitsForAcceptedIoAndTakesNothingNew) {
    auto& a = attach(with(PolicyKind::never), true);
    a.queue.add(3);
    ASSERT_TRUE(eventually([&] { return a.queue.served() == 3 && a.snapshot().armed; }));
    std::atomic<bool> detached{false};
    std::thread control([&] {
        worker->detach(a.queue);
        detached = true;
    });
    ASSERT_TRUE(eventually([&] { return !a.snapshot().armed; }));  // draining has begun
    worker->execute([] {});                                        // the worker goes on while somebody waits for it
    a.queue.add(1);
    a.queue.finish(2);
    ASSERT_TRUE(eventually([&] { return a.queue.completed() == 2; }));
    EXPECT_FALSE(detached);
    a.queue.finish(1);
    control.join();
    EXPECT_EQ(a.queue.completed(), 3U);
    EXPECT_EQ(a.queue.served(), 3U);
    EXPECT_FALSE(a.snapshot().attached);
}

TEST_F(WorkerTest, QuiescedChangesAQueueBetweenAcceptedAndNewIo) {
    auto& a = attach(with(PolicyKind::always), true);
    a.queue.add(2);
    ASSERT_TRUE(eventually([&] { return a.queue.served() == 2; }));
    std::thread control([&] {
        worker->quiesced(a.queue, [&] {
            EXPECT_EQ(a.queue.completed(), 2U);
            EXPECT_EQ(a.queue.in_flight(), 0U);
            EXPECT_EQ(a.queue.served(), 2U);
        });
    });
    worker->execute([] {});
    a.queue.finish(2);
    control.join();
    a.queue.add(1);
    ASSERT_TRUE(eventually([&] { return a.queue.served() == 3; }));
    a.queue.finish(1);
}

TEST_F(WorkerTest, ABrokenQueueGetsNoMoreTurnsAndTheOthersGoOn) {
    auto& bad = attach(with(PolicyKind::always));
    auto& good = attach(with(PolicyKind::always));
    worker->execute([&] { bad.queue.break_next = true; });
    bad.queue.add();
    ASSERT_TRUE(eventually([&] { return bad.snapshot().broken; }));
    const std::uint64_t turns = bad.queue.turns();
    bad.queue.add(5);
    bad.queue.kick();
    good.queue.add(1000);
    ASSERT_TRUE(eventually([&] { return good.queue.completed() == 1000; }));
    EXPECT_EQ(bad.queue.turns(), turns);
    EXPECT_FALSE(bad.snapshot().listed);
}

TEST_F(WorkerTest, AKickDescriptorThatIsAPipeIsEmptied) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    Fd write_end(ends[1]);
    FakeQueue queue;
    queue.use_kick(Fd(ends[0]));
    QueueStatistics statistics;
    ASSERT_TRUE(worker->attach(queue, {with(PolicyKind::never), &statistics}));
    const std::vector<char> kicks(60'000);
    for (int i = 0; i < 10; ++i) {  // more than a pipe holds
        ASSERT_EQ(::write(write_end.get(), kicks.data(), kicks.size()), static_cast<ssize_t>(kicks.size()));
        queue.add();
        const auto expected = static_cast<std::uint64_t>(i) + 1;
        signal_eventfd(write_end.get());
        ASSERT_TRUE(eventually([&] { return queue.completed() == expected; }));
        int left = 1;
        ASSERT_TRUE(eventually([&] { return ::ioctl(queue.kick_fd(), FIONREAD, &left) == 0 && left == 0; }));
    }
    worker->detach(queue);
}

TEST_F(WorkerTest, AChangedKickDescriptorIsWatchedAndNoKickIsLostMeanwhile) {
    auto& a = attach(with(PolicyKind::never));
    ASSERT_TRUE(eventually([&] { return a.snapshot().armed; }));
    auto fresh = make_eventfd().value();
    ASSERT_TRUE(worker->change_descriptors(a.queue, [&] {
        a.queue.add();  // kicks the old descriptor, at the worst moment
        a.queue.use_kick(std::move(fresh));
    }));
    EXPECT_TRUE(eventually([&] { return a.queue.completed() == 1; }));
    ASSERT_TRUE(eventually([&] { return a.snapshot().armed; }));
    a.queue.add();
    EXPECT_TRUE(eventually([&] { return a.queue.completed() == 2; }));
}

TEST_F(WorkerTest, ALateSignalOfTheStorageDoesNotKeepTheWorkerAwake) {
    auto& a = attach(with(PolicyKind::never), true);
    a.queue.add(1);
    ASSERT_TRUE(eventually([&] { return a.queue.served() == 1; }));
    a.queue.finish(1);
    ASSERT_TRUE(eventually([&] { return a.queue.completed() == 1; }));
    a.queue.finish(0);  // signalled with nothing in flight
    ASSERT_TRUE(eventually([&] { return !worker_awake(*worker); }));
}

TEST_F(WorkerTest, WithNothingToDoItDoesNothing) {
    std::vector<Attached*> queues;
    for (int i = 0; i < 32; ++i) {
        queues.push_back(&attach({.policy = {.kind = PolicyKind::rate}}));
    }
    for (const auto* queue : queues) {
        ASSERT_TRUE(eventually([&] { return queue->snapshot().armed; }));
    }
    ASSERT_TRUE(eventually([&] { return !worker_awake(*worker); }));
    const auto before = switches_of(worker->thread_id());
    const std::uint64_t cpu_before = worker->cpu_time_ns();
    std::this_thread::sleep_for(milliseconds(1500));
    const auto after = switches_of(worker->thread_id());
    ASSERT_GT(before.voluntary, 0U);  // else the file was not read
    EXPECT_EQ(after.voluntary, before.voluntary);
    EXPECT_EQ(after.involuntary, before.involuntary);
    EXPECT_EQ(worker->cpu_time_ns(), cpu_before);
}

TEST_F(WorkerTest, CountsItsTimeAwakeAndAsleep) {
    auto& a = attach(with(PolicyKind::always));
    ASSERT_TRUE(eventually([&] { return worker->statistics().empty_polls > 1000; }));
    worker->set_queue(a.queue, with(PolicyKind::never));
    ASSERT_TRUE(eventually([&] { return a.snapshot().armed; }));
    a.queue.add();
    ASSERT_TRUE(eventually([&] { return a.snapshot().armed && a.queue.completed() == 1; }));
    const auto statistics = worker->statistics();
    EXPECT_GT(statistics.cycles, 0U);
    EXPECT_GT(statistics.switches, 0U);
    EXPECT_GT(statistics.enabled_interrupts, 0U);
    EXPECT_EQ(statistics.queues, 1U);
    EXPECT_EQ(statistics.polled_queues, 0U);
    EXPECT_GT(a.snapshot().poll_empty_cycles, 0U);
}

TEST(Worker, IsPinnedToItsCpuOrSaysWhyNot) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
    unsigned cpu = 0;
    while (!CPU_ISSET(cpu, &allowed)) {
        ++cpu;
    }
    const auto worker = Worker::create({.name = "pinned", .cpu = cpu}).value();
    worker->execute([&] { EXPECT_EQ(::sched_getcpu(), static_cast<int>(cpu)); });

    const auto impossible = Worker::create({.name = "lost", .cpu = 1023});
    ASSERT_FALSE(impossible);
    EXPECT_NE(impossible.error().message.find("pinning worker lost to CPU 1023"), std::string::npos);
}

}  // namespace
}  // namespace sidecore::engine
