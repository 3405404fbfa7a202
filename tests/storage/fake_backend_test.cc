// SPDX-License-Identifier: Apache-2.0
#include "storage/fake_backend.hh"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "storage/queue_user.hh"
#include "storage/segmented_buffer.hh"

namespace sidecore::storage::test {
namespace {

constexpr std::uint64_t capacity = 1 << 20;

class FakeBackendTest : public testing::Test {
protected:
    /// Writes `value` to every byte of block `number` (4096 bytes); does not wait.
    BlockRequest& submit_write(std::size_t number, std::byte value) {
        auto& one = writes_.emplace_back();
        one.bytes.assign(4096, value);
        one.segment = {one.bytes.data(), one.bytes.size()};
        one.request.operation = BlockOperation::write;
        one.request.offset_bytes = number * 4096;
        one.request.length_bytes = 4096;
        one.request.segments = {&one.segment, 1};
        user_.submit(one.request);
        return one.request;
    }

    Bytes block(std::size_t number) const { return disk_->contents(number * 4096, 4096); }

    struct Write {
        Bytes bytes;
        iovec segment{};
        BlockRequest request;
    };
    const Bytes zeroes_ = Bytes(4096);
    std::shared_ptr<FakeDisk> disk_ = FakeDisk::create(capacity);
    std::unique_ptr<BlockBackend> backend_ = disk_->open();
    QueueUser user_{*backend_, 64};
    std::list<Write> writes_;
};

TEST_F(FakeBackendTest, FailsWhatItIsToldTo) {
    disk_->add_fault({.action = FaultAction::fail, .error = ENOSPC, .operation = BlockOperation::write});
    EXPECT_EQ(user_.write(0, Bytes(512, std::byte{1})), -ENOSPC);
    EXPECT_EQ(block(0), zeroes_) << "nothing was moved";
    EXPECT_EQ(user_.run(BlockOperation::flush), 0);
    disk_->clear_faults();
    EXPECT_EQ(user_.write(0, Bytes(512, std::byte{1})), 0);
}

TEST_F(FakeBackendTest, AFaultSkipsAndCounts) {
    disk_->add_fault({.error = EIO, .skip = 2, .times = 3});
    std::vector<int> results;
    for (int i = 0; i < 7; ++i) {
        results.push_back(user_.run(BlockOperation::flush));
    }
    EXPECT_EQ(results, (std::vector<int>{0, 0, -EIO, -EIO, -EIO, 0, 0}));
}

TEST_F(FakeBackendTest, AFaultMayBeAboutARange) {
    disk_->add_fault({.from_bytes = 4096, .to_bytes = 8192});
    const Bytes bytes(1024);
    EXPECT_EQ(user_.write(3584, std::span(bytes).first(512)), 0) << "ends where the range begins";
    EXPECT_EQ(user_.write(3584, bytes), -EIO);
    EXPECT_EQ(user_.write(7680, std::span(bytes).first(512)), -EIO);
    EXPECT_EQ(user_.write(8192, bytes), 0);
}

TEST_F(FakeBackendTest, FaultsAreMetInTheOrderTheyWereAdded) {
    disk_->add_fault({.error = ENOSPC, .times = 1});
    disk_->add_fault({.error = EIO});
    EXPECT_EQ(user_.run(BlockOperation::flush), -ENOSPC);
    EXPECT_EQ(user_.run(BlockOperation::flush), -EIO);
}

TEST_F(FakeBackendTest, TearsWrites) {
    disk_->add_fault({.action = FaultAction::short_transfer, .transfer_bytes = 700, .times = 1});
    const Bytes ones(4096, std::byte{1});
    EXPECT_EQ(user_.write(0, ones), -EIO);
    Bytes expected(4096);
    std::fill_n(expected.begin(), 700, std::byte{1});
    EXPECT_EQ(block(0), expected);
}

TEST_F(FakeBackendTest, HoldsUntilReleasedInAnyOrder) {
    disk_->add_fault({.action = FaultAction::hold, .operation = BlockOperation::write});
    for (std::size_t i = 0; i < 4; ++i) {
        submit_write(i, static_cast<std::byte>(i + 1));
    }
    BlockRequest* none[1];
    EXPECT_EQ(user_.queue().reap(none), 0U);
    EXPECT_FALSE(user_.readable());
    ASSERT_EQ(disk_->held().size(), 4U);
    EXPECT_EQ(disk_->held()[2].offset_bytes, 2U * 4096U);
    EXPECT_EQ(block(2), zeroes_) << "takes effect when it finishes";

    disk_->release(2);
    EXPECT_EQ(user_.wait(1).front()->offset_bytes, 2U * 4096U);
    EXPECT_EQ(block(2), Bytes(4096, std::byte{3}));
    disk_->release(0, ENOMEM);
    EXPECT_EQ(user_.wait(1).front()->result, -ENOMEM);
    EXPECT_EQ(block(0), zeroes_);
    disk_->release_all_reversed();
    const auto rest = user_.wait(2);
    EXPECT_EQ(rest[0]->offset_bytes, 3U * 4096U);
    EXPECT_EQ(rest[1]->offset_bytes, 1U * 4096U);
    EXPECT_TRUE(disk_->held().empty());
}

TEST_F(FakeBackendTest, ReleasesInOrderTakeEffectInOrder) {
    disk_->add_fault({.action = FaultAction::hold});
    submit_write(0, std::byte{1});
    submit_write(0, std::byte{2});
    disk_->release_all_reversed();
    user_.wait(2);
    EXPECT_EQ(block(0), Bytes(4096, std::byte{1}));
    submit_write(0, std::byte{1});
    submit_write(0, std::byte{2});
    disk_->release_all();
    user_.wait(2);
    EXPECT_EQ(block(0), Bytes(4096, std::byte{2}));
}

TEST_F(FakeBackendTest, AReleaseWakesAWorkerThatSleeps) {
    disk_->add_fault({.action = FaultAction::hold});
    std::thread worker([&] { EXPECT_EQ(user_.write(0, Bytes(512, std::byte{1})), 0); });
    ASSERT_TRUE(disk_->wait_until_held(1));
    disk_->release(0);
    worker.join();
    EXPECT_EQ(disk_->contents(0, 512), Bytes(512, std::byte{1}));
}

TEST_F(FakeBackendTest, DelaysWithoutHoldingUpOthers) {
    constexpr std::uint64_t delay_ns = 30'000'000;
    disk_->add_fault({.action = FaultAction::delay, .delay_ns = delay_ns, .times = 1});
    const std::uint64_t begin_ns = monotonic_ns();
    const BlockRequest& late = submit_write(0, std::byte{1});
    const BlockRequest& early = submit_write(1, std::byte{2});
    const auto done = user_.wait(2);
    EXPECT_EQ(done[0], &early);
    EXPECT_EQ(done[1], &late);
    EXPECT_GE(monotonic_ns() - begin_ns, delay_ns);
    EXPECT_FALSE(user_.readable());
}

TEST_F(FakeBackendTest, RemembersWhatItSaw) {
    BlockRequest requests[2];
    requests[0].operation = BlockOperation::flush;
    requests[1].operation = BlockOperation::write_zeroes;
    requests[1].durable = true;
    requests[1].offset_bytes = 512;
    requests[1].length_bytes = 1024;
    BlockRequest* batch[] = {&requests[0], &requests[1]};
    user_.submit(batch);
    user_.wait(2);
    Bytes found(512);
    EXPECT_EQ(user_.read(0, found), 0);
    EXPECT_TRUE(disk_->wait_until_seen(3));
    EXPECT_FALSE(disk_->wait_until_seen(4, std::chrono::milliseconds(0)));
    EXPECT_EQ(disk_->batch_count(), 2U);
    const std::vector<SeenRequest> expected{
        {BlockOperation::flush, false, 0, 0, 0, 0},
        {BlockOperation::write_zeroes, true, 512, 1024, 0, 0},
        {BlockOperation::read, false, 0, 512, 1, 1},
    };
    EXPECT_EQ(disk_->seen(), expected);
}

TEST_F(FakeBackendTest, QueuesAndResizesCanFailToo) {
    EXPECT_EQ(disk_->open_queue_count(), 1U);
    disk_->fail_next_open_queue(EMFILE);
    EXPECT_EQ(backend_->open_queue(1).error().os_error, EMFILE);
    EXPECT_TRUE(backend_->open_queue(1));
    EXPECT_EQ(disk_->open_queue_count(), 1U) << "closed again";
    disk_->fail_next_resize(ENOSPC);
    EXPECT_EQ(backend_->resize(2 * capacity).error().os_error, ENOSPC);
    EXPECT_EQ(backend_->geometry().capacity_bytes, capacity);
    EXPECT_TRUE(backend_->resize(2 * capacity));
}

TEST_F(FakeBackendTest, ARequestHeldWhileTheDiskShrinksFails) {
    disk_->add_fault({.action = FaultAction::hold});
    const BlockRequest& write = submit_write(capacity / 4096 - 1, std::byte{1});
    ASSERT_TRUE(backend_->resize(capacity / 2));
    disk_->release(0);
    user_.wait(1);
    EXPECT_EQ(write.result, -EIO);
}

TEST_F(FakeBackendTest, ContentsOutliveTheBackEnd) {
    disk_->set_contents(512, Bytes(512, std::byte{7}));
    const auto again = disk_->open();
    QueueUser user(*again, 1);
    Bytes found(512);
    EXPECT_EQ(user.read(512, found), 0);
    EXPECT_EQ(found, Bytes(512, std::byte{7}));
}

}  // namespace
}  // namespace sidecore::storage::test
