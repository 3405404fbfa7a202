// SPDX-License-Identifier: Apache-2.0
// Queues whose work has to wait for its time.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "engine/fake_queue.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::engine {
namespace {

/// Has one request at a time, which may be taken when the test says so.
class WaitingQueue final : public ServedQueue {
public:
    /// From any thread: its time has come.
    void let_go() {
        open_.store(true, std::memory_order_seq_cst);
        signal_eventfd(timer_.get());
    }
    std::uint64_t served() const { return served_.load(); }
    std::uint64_t turns() const { return turns_.load(); }
    std::uint64_t looks() const { return looks_.load(); }

    bool has_work() noexcept override {
        looks_.fetch_add(1);
        return true;
    }
    std::uint32_t pending() const noexcept override { return 0; }
    std::uint32_t capacity() const noexcept override { return 0; }
    Turn serve(std::uint32_t) noexcept override {
        turns_.fetch_add(1);
        Turn turn;
        turn.end = TurnEnd::waiting;
        if (open_.exchange(false)) {
            turn.requests = turn.completed = 1;
            served_.fetch_add(1);
        }
        return turn;
    }
    bool arm() noexcept override { return !open_.load(std::memory_order_seq_cst); }
    void disarm() noexcept override {}
    Reaped reap() noexcept override { return {}; }
    std::uint32_t in_flight() const noexcept override { return 0; }
    int kick_fd() const noexcept override { return kick_.get(); }
    int timer_fd() const noexcept override { return timer_.get(); }
    int completion_fd() const noexcept override { return -1; }
    void moderate(bool) noexcept override {}
    std::uint32_t owed() const noexcept override { return 0; }
    std::uint32_t call() noexcept override { return 0; }

private:
    const Fd kick_ = make_eventfd().value();
    const Fd timer_ = make_eventfd().value();
    std::atomic<bool> open_{false};
    std::atomic<std::uint64_t> served_{0};
    std::atomic<std::uint64_t> turns_{0};
    std::atomic<std::uint64_t> looks_{0};
};

class WorkerWaiting : public testing::TestWithParam<PolicyKind> {
protected:
    void SetUp() override { ASSERT_TRUE(worker_->attach(queue_, {{.policy = {.kind = GetParam()}}, &statistics_})); }
    void TearDown() override { owner_->detach(queue_); }

    bool waits() const {
        const QueueSnapshot now = statistics_.read();
        return now.armed && !now.listed;
    }

    WaitingQueue queue_;
    QueueStatistics statistics_;
    std::unique_ptr<Worker> worker_ = Worker::create({}).value();
    std::unique_ptr<Worker> other_ = Worker::create({}).value();
    Worker* owner_ = worker_.get();
};

TEST_P(WorkerWaiting, LeavesTheListInEveryModeAndComesBackWhenItIsTold) {
    for (std::uint64_t round = 1; round <= 100; ++round) {
        ASSERT_TRUE(eventually([&] { return waits(); }));
        queue_.let_go();
        ASSERT_TRUE(eventually([&] { return queue_.served() == round; }));
    }
}

TEST_P(WorkerWaiting, LetsTheWorkerSleep) {
    ASSERT_TRUE(eventually([&] { return waits(); }));
    // Whatever the worker did around the turn that ended so, it is over once a command has been carried out and it sleeps again.
    const std::uint64_t sleeps = worker_->statistics().switches;
    worker_->execute([] {});
    ASSERT_TRUE(eventually([&] { return worker_->statistics().switches > sleeps; }));
    const std::uint64_t looks = queue_.looks();
    worker_->execute([] {});
    EXPECT_EQ(queue_.looks(), looks);
    EXPECT_EQ(queue_.served(), 0U);
}

TEST_P(WorkerWaiting, WaitsOnAfterAMove) {
    ASSERT_TRUE(eventually([&] { return waits(); }));
    ASSERT_TRUE(worker_->move(queue_, *other_));
    owner_ = other_.get();
    ASSERT_TRUE(eventually([&] { return waits(); }));
    queue_.let_go();
    EXPECT_TRUE(eventually([&] { return queue_.served() == 1; }));
}

TEST_P(WorkerWaiting, IsListedByAKickLikeAnyOther) {
    ASSERT_TRUE(eventually([&] { return waits(); }));
    const std::uint64_t turns = queue_.turns();
    signal_eventfd(queue_.kick_fd());
    EXPECT_TRUE(eventually([&] { return queue_.turns() > turns && waits(); }));
}

INSTANTIATE_TEST_SUITE_P(Policies, WorkerWaiting,
                         testing::Values(PolicyKind::never, PolicyKind::always, PolicyKind::adaptive),
                         [](const auto& policy) { return std::string(to_string(policy.param)); });

}  // namespace
}  // namespace sidecore::engine
