// SPDX-License-Identifier: Apache-2.0
// Many requests at a time: batches, order, slots, and the calls to the driver.
#include <algorithm>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "device/blk_queue.hh"
#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using engine::TurnEnd;
using frontend::BlkStatus;
using frontend::BlkType;
using storage::FakeDisk;
using storage::FaultAction;

/// A ring of 1024 entries, so that slots run out first, and requests of one sector each.
class InFlight : public testing::Test {
protected:
    static constexpr std::uint32_t many = 600;

    /// Offers `count` writes, the i-th to sector i, and lets the device see them together.
    void offer_writes(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            data.push_back(pattern(512, data.size()));
            tickets[must(disk.requests().submit(
                {.type = BlkType::write, .sector = data.size() - 1, .out = data.back()}))] = data.size() - 1;
        }
        disk.driver().publish();
    }

    std::vector<frontend::BlkFinished> collect(std::size_t count) {
        std::vector<frontend::BlkFinished> all;
        while (all.size() < count) {
            const auto some = must(disk.requests().collect());
            all.insert(all.end(), some.begin(), some.end());
        }
        for (const auto& one : all) {
            EXPECT_EQ(one.status, BlkStatus::ok);
        }
        return all;
    }

    /// Requests that came together, in order.
    std::vector<std::size_t> batch_sizes() const {
        std::vector<std::size_t> sizes(storage->batch_count());
        for (const auto& one : storage->seen()) {
            ++sizes[one.batch];
        }
        return sizes;
    }

    std::shared_ptr<FakeDisk> storage = FakeDisk::create(mebibyte);
    DrivenDisk disk{storage->open(), {.queue = {.size = 2048}, .requests = {.slots = many, .bytes_per_slot = 4096}}};
    std::vector<std::vector<std::byte>> data;
    std::map<std::uint64_t, std::size_t> tickets;  // to sectors
};

TEST_F(InFlight, ATurnTakesItsBudgetAndSaysSo) {
    offer_writes(100);
    engine::Turn turn = disk.serve(30);
    EXPECT_EQ(turn.requests, 30U);
    EXPECT_EQ(turn.completed, 30U);
    EXPECT_EQ(turn.bytes, 30U * 512);
    EXPECT_EQ(turn.end, TurnEnd::budget);
    EXPECT_TRUE(disk.queue().has_work());
    turn = disk.serve(64);
    EXPECT_EQ(turn.requests, 64U);
    EXPECT_EQ(turn.end, TurnEnd::budget);
    turn = disk.serve(64);
    EXPECT_EQ(turn.requests, 6U);
    EXPECT_EQ(turn.end, TurnEnd::empty);
    EXPECT_FALSE(disk.queue().has_work());
    collect(100);
    // With a budget of exactly what there is, nothing is left.
    offer_writes(5);
    turn = disk.serve(5);
    EXPECT_EQ(turn.requests, 5U);
    EXPECT_EQ(turn.end, TurnEnd::empty);
}

TEST_F(InFlight, AnIdleTurnIsEmpty) {
    const engine::Turn turn = disk.serve();
    EXPECT_EQ(turn.requests, 0U);
    EXPECT_EQ(turn.completed, 0U);
    EXPECT_EQ(turn.calls, 0U);
    EXPECT_EQ(turn.end, TurnEnd::empty);
}

TEST_F(InFlight, RequestsGoToTheStorageInBatches) {
    storage->add_fault({.action = FaultAction::hold});
    offer_writes(96);
    disk.serve(96);
    EXPECT_EQ(batch_sizes(), (std::vector<std::size_t>{32, 32, 32}));
    storage->release_all();
    disk.work();
}

TEST_F(InFlight, BatchesThatAreDoneAtOnceGoThereByHalves) {
    offer_writes(96 + 9 + 3);
    disk.serve(96);
    EXPECT_EQ(batch_sizes(), (std::vector<std::size_t>{32, 16, 16, 16, 16}));
    disk.serve(9);
    disk.serve(3);
    EXPECT_EQ(batch_sizes(), (std::vector<std::size_t>{32, 16, 16, 16, 16, 5, 4, 3}));
}

TEST_F(InFlight, EarlierRequestsThatEndMeanwhileDoNotMakeABatchDoneAtOnce) {
    storage->add_fault({.action = FaultAction::hold});
    for (int i = 0; i < 4; ++i) {
        offer_writes(8);
        EXPECT_EQ(disk.serve(8).completed, i == 0 ? 0U : 8U);
        storage->release_all();
    }
    disk.work();
    EXPECT_EQ(batch_sizes(), (std::vector<std::size_t>{8, 8, 8, 8}));
}

TEST_F(InFlight, ABatchTakesOneCall) {
    must(disk.requests().submit({.type = BlkType::flush}));
    disk.driver().publish();
    disk.work();  // the first batch of a queue is always told
    must(disk.requests().collect());
    disk.driver().wait_for_call(std::chrono::milliseconds(0));

    ASSERT_FALSE(disk.driver().request_calls());
    offer_writes(32);
    const engine::Turn turn = disk.serve();
    EXPECT_EQ(turn.completed, 32U);
    EXPECT_EQ(turn.calls, 1U);
    EXPECT_TRUE(disk.driver().wait_for_call(std::chrono::milliseconds(0)));
    EXPECT_FALSE(disk.driver().wait_for_call(std::chrono::milliseconds(0)));
    collect(32);
}

TEST_F(InFlight, ADriverThatPollsIsNotCalled) {
    offer_writes(1);
    disk.work();
    collect(1);
    drain_eventfd(disk.driver().call_fd());
    disk.driver().suppress_calls();
    for (int i = 0; i < 10; ++i) {
        offer_writes(20);
        EXPECT_EQ(disk.serve().calls, 0U);
    }
    EXPECT_FALSE(drain_eventfd(disk.driver().call_fd()));
    EXPECT_EQ(disk.driver().in_flight(), 200U);
}

TEST_F(InFlight, CompletionsThatComeLaterTakeOneCallTogether) {
    offer_writes(1);
    disk.work();
    collect(1);
    drain_eventfd(disk.driver().call_fd());
    storage->add_fault({.action = FaultAction::hold});
    ASSERT_FALSE(disk.driver().request_calls());
    offer_writes(50);
    disk.work();
    EXPECT_EQ(disk.queue().in_flight(), 50U);
    EXPECT_FALSE(drain_eventfd(disk.driver().call_fd()));
    storage->release_all();
    const engine::Reaped reaped = disk.reap();
    EXPECT_EQ(reaped.requests, 50U);
    EXPECT_EQ(reaped.calls, 1U);
    EXPECT_EQ(disk.queue().in_flight(), 0U);
    collect(50);
}

TEST_F(InFlight, TheOrderOfCompletionIsTheStorages) {
    storage->add_fault({.action = FaultAction::hold});
    offer_writes(40);
    disk.work();
    storage->release_all_reversed();
    disk.work();
    const auto finished = collect(40);
    for (std::size_t i = 0; i < finished.size(); ++i) {
        EXPECT_EQ(tickets.at(finished[i].ticket), finished.size() - 1 - i);
    }
    for (std::size_t i = 0; i < data.size(); ++i) {
        EXPECT_EQ(storage->contents(i * 512, 512), data[i]);
    }
}

TEST_F(InFlight, WithAllSlotsTakenTheTurnIsHeldAndAnyCompletionOwesTheResume) {
    storage->add_fault({.action = FaultAction::hold});
    offer_writes(many);
    engine::Turn turn;
    do {
        turn = disk.serve(64);
    } while (turn.end == TurnEnd::budget);
    EXPECT_EQ(turn.end, TurnEnd::held);
    EXPECT_EQ(disk.queue().in_flight(), BlkQueue::max_in_flight);
    EXPECT_FALSE(disk.reap().resume);
    EXPECT_EQ(disk.serve().end, TurnEnd::held);

    storage->release(100);
    const engine::Reaped reaped = disk.reap();
    EXPECT_EQ(reaped.requests, 1U);
    EXPECT_TRUE(reaped.resume);
    turn = disk.serve(64);
    EXPECT_EQ(turn.requests, 1U);
    EXPECT_EQ(turn.end, TurnEnd::held);
    EXPECT_EQ(storage->held().size(), BlkQueue::max_in_flight);

    std::size_t done = 1;
    while (done < many) {
        storage->release_all();
        const engine::Reaped some = disk.reap();
        ASSERT_TRUE(some.resume);
        done += some.requests;
        while (disk.serve(64).end == TurnEnd::budget) {
        }
    }
    collect(many);
    EXPECT_EQ(disk.queue().in_flight(), 0U);
    EXPECT_EQ(disk.serve().end, TurnEnd::empty);
}

TEST_F(InFlight, ASmallRingHasAsManySlotsAsEntries) {
    DrivenDisk small(storage->open(), {.queue = {.size = 4}, .requests = {.slots = 4}});
    storage->add_fault({.action = FaultAction::hold});
    for (int i = 0; i < 4; ++i) {
        must(small.requests().submit({.type = BlkType::flush, .layout = {.indirect = true}}));
    }
    small.driver().publish();
    const engine::Turn turn = small.serve();
    EXPECT_EQ(turn.requests, 4U);
    EXPECT_EQ(turn.end, TurnEnd::empty);  // and no held: the driver cannot have offered more
    EXPECT_EQ(small.queue().in_flight(), 4U);
    storage->release_all();
    small.work();
    EXPECT_EQ(small.queue().in_flight(), 0U);
}

TEST_F(InFlight, ARingOfOneEntryWorks) {
    DrivenDisk one(storage->open(), {.queue = {.size = 1}, .requests = {.slots = 1}});
    const auto sector = pattern(512, 1);
    for (std::uint64_t i = 0; i < 100; ++i) {
        const auto finished =
            one.run({.type = BlkType::write, .sector = i, .out = sector, .layout = {.indirect = true}});
        ASSERT_EQ(finished.status, BlkStatus::ok);
    }
    EXPECT_EQ(storage->contents(99 * 512, 512), sector);
}

TEST_F(InFlight, TheLargestRingWrapsItsIndexes) {
    DrivenDisk large(storage->open(), {.queue = {.size = 32768, .first_index = 65'000},
                                       .requests = {.slots = 256, .bytes_per_slot = 4096}});
    std::size_t finished = 0;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 256; ++i) {
            must(large.requests().submit({.type = BlkType::flush}));
        }
        large.driver().publish();
        large.work();
        while (large.requests().in_flight() != 0) {
            finished += must(large.requests().collect()).size();
        }
    }
    EXPECT_EQ(finished, 20U * 256U);
}

TEST_F(InFlight, ARequestThatIsRefusedDoesNotHoldUpItsBatch) {
    std::vector<std::uint64_t> bad;
    const auto sector = pattern(512, 7);
    for (std::uint64_t i = 0; i < 64; ++i) {
        const bool beyond = i % 3 == 0;
        const auto ticket =
            must(disk.requests().submit({.type = BlkType::write, .sector = beyond ? mebibyte : i, .out = sector}));
        if (beyond) {
            bad.push_back(ticket);
        }
    }
    disk.driver().publish();
    disk.work();
    std::size_t finished = 0;
    while (finished < 64) {
        for (const auto& one : must(disk.requests().collect())) {
            const bool refused = std::find(bad.begin(), bad.end(), one.ticket) != bad.end();
            EXPECT_EQ(one.status, refused ? BlkStatus::io_error : BlkStatus::ok);
            ++finished;
        }
    }
    EXPECT_EQ(storage->seen().size(), 64U - bad.size());
}

}  // namespace
}  // namespace sidecore::device
