// SPDX-License-Identifier: Apache-2.0
// Live queues handed over from worker to worker, with I/O in flight.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;
using storage::BlockOperation;
using storage::FakeDisk;
using storage::FaultAction;

frontend::BlkDriver::Options driver_options() {
    frontend::BlkDriver::Options options;
    options.queue.size = 128;
    options.requests = {.slots = 16, .bytes_per_slot = 64 * 1024};
    return options;
}

class Moves : public testing::TestWithParam<PolicyKind> {
protected:
    std::unique_ptr<engine::Worker> workers[3] = {make_worker("a"), make_worker("b"), make_worker("c")};
    std::shared_ptr<FakeDisk> storage = FakeDisk::create(8 * mebibyte);
    LiveDisk live{storage->open(), {workers[0].get()}, {.settings = with_policy(GetParam())}};
};

INSTANTIATE_TEST_SUITE_P(Policies, Moves, testing::Values(PolicyKind::never, PolicyKind::always, PolicyKind::adaptive),
                         [](const auto& instance) { return std::string(to_string(instance.param)); });

/// Every request is executed once, whichever worker took it and whichever saw it complete.
TEST_P(Moves, AThousandUnderVerifiedIoLoseAndDoubleNothing) {
    // Some take longer than a move.
    storage->add_fault({.action = FaultAction::delay, .delay_ns = 300'000, .operation = BlockOperation::write});
    auto driver = live.start(driver_options());
    VerifiedLoad load({0, 4096}, 1);
    std::atomic<bool> stop{false};
    std::atomic<bool> failed{false};
    std::atomic<std::uint64_t> made{0};
    std::uint64_t executed = 0;
    std::thread running([&] {
        while (!stop) {
            const auto done = load.run(driver.requests(), 50, 12);
            if (!done) {
                ADD_FAILURE() << done.error().message;
                failed = true;
                return;
            }
            made += 50;
        }
        executed = storage->seen().size();
        const auto compared = load.compare_all(driver.requests());
        EXPECT_TRUE(compared) << compared.error().message;
    });
    // However the machine shares its cores between the two, at least so many of each meet.
    std::size_t moves = 0;
    while ((moves < 1000 || made < 500) && !failed) {
        ++moves;
        const auto moved = live.endpoint().move_queue(0, *workers[moves % 3]);
        EXPECT_TRUE(moved) << moved.error().message;
        if (moves % 4 == 0) {  // and some before the queue has had a turn at all
            std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
    }
    stop = true;
    running.join();
    ASSERT_FALSE(failed);
    EXPECT_EQ(executed, made);
    EXPECT_TRUE(eventually([&] { return live.counters().completions == storage->seen().size(); }));
    EXPECT_EQ(live.counters().moves, moves);
    EXPECT_EQ(&live.endpoint().worker(0), workers[moves % 3].get());
}

TEST_P(Moves, WhatAHolderOfAMovedQueueOwesIsDoneElsewhere) {
    storage->add_fault({.action = FaultAction::hold, .times = 2});
    auto driver = live.start(driver_options());
    const std::vector<std::byte> first = pattern(4096, 1);
    ASSERT_TRUE(driver.requests().submit({.type = frontend::BlkType::write, .sector = 0, .out = first}));
    ASSERT_TRUE(driver.requests().submit({.type = frontend::BlkType::write, .sector = 8, .out = first}));
    driver.queue().publish();
    ASSERT_TRUE(storage->wait_until_held(2));
    ASSERT_TRUE(live.endpoint().move_queue(0, *workers[1]));
    storage->release_all_reversed();
    std::size_t finished = 0;
    while (finished < 2) {
        for (const frontend::BlkFinished& one : must(driver.requests().collect())) {
            EXPECT_EQ(one.status, frontend::BlkStatus::ok);
            ++finished;
        }
    }
    EXPECT_EQ(storage->contents(0, 4096), first);
    EXPECT_EQ(workers[0]->statistics().queues, 0U);
}

/// What the end of a worker relies on: the kernel cancels what an ended thread has submitted.
TEST_P(Moves, SettlingWaitsForWhatWasAcceptedBefore) {
    storage->add_fault({.action = FaultAction::hold, .times = 1});
    auto driver = live.start(driver_options());
    std::vector<std::byte> sector(512);
    ASSERT_TRUE(driver.requests().submit({.type = frontend::BlkType::read, .sector = 0, .in = sector}));
    driver.queue().publish();
    ASSERT_TRUE(storage->wait_until_held(1));
    ASSERT_TRUE(live.endpoint().move_queue(0, *workers[1]));
    std::atomic<bool> released{false};
    std::thread releasing([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        released = true;
        storage->release_all();
    });
    const auto settled = live.endpoint().settle(0);
    EXPECT_TRUE(settled);
    EXPECT_TRUE(released);
    releasing.join();
    EXPECT_EQ(must(driver.requests().collect()).size(), 1U);
    EXPECT_TRUE(driver.read(8, sector)) << "it is served again";
}

TEST_P(Moves, BeforeAndBetweenFrontEndsTheyAreForTheNextOne) {
    ASSERT_TRUE(live.endpoint().move_queue(0, *workers[1]));
    std::vector<std::byte> sector(512);
    {
        auto driver = live.start(driver_options());
        ASSERT_TRUE(driver.read(0, sector));
        EXPECT_EQ(workers[1]->statistics().queues, 1U);
    }
    ASSERT_TRUE(eventually([&] { return !live.info().connected; }));
    ASSERT_TRUE(live.endpoint().move_queue(0, *workers[2]));
    auto driver = live.start(driver_options());
    ASSERT_TRUE(driver.read(0, sector));
    EXPECT_EQ(workers[1]->statistics().queues, 0U);
    EXPECT_EQ(workers[2]->statistics().queues, 1U);
}

}  // namespace
}  // namespace sidecore::endpoint
