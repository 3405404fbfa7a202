// SPDX-License-Identifier: Apache-2.0
// What a driver or a front-end does to make a queue unusable, and who is told; and the descriptors that they pass.
#include <array>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "device/driven_disk.hh"
#include "memory/fault_guard.hh"

namespace sidecore::device {
namespace {

using engine::TurnEnd;
using frontend::BlkStatus;
using frontend::BlkType;
using frontend::Piece;
using storage::FakeDisk;
using storage::FaultAction;

class BrokenQueue : public testing::Test {
protected:
    frontend::GuestBuffer room(std::uint64_t size) { return disk.memory().allocate(size, 16).value(); }

    /// A whole request of the type, as chains are made by hand.
    std::vector<Piece> request(BlkType type) {
        const auto header = room(16);
        const frontend::BlkHeader bytes{static_cast<std::uint32_t>(type), std::uint32_t{0}, std::uint64_t{0}};
        EXPECT_TRUE(disk.memory().write(header.address, std::as_bytes(std::span(&bytes, 1))));
        return {{header.address, 16}, {room(512).address, 512}, {room(1).address, 1, true}};
    }

    void expect_broken() {
        const engine::Turn turn = disk.serve();
        EXPECT_EQ(turn.end, TurnEnd::broken);
        EXPECT_EQ(turn.calls, 0U);
        EXPECT_TRUE(disk.queue().broken());
        EXPECT_TRUE(drain_eventfd(disk.driver().error_fd()));
        EXPECT_FALSE(disk.driver().has_used());
        // It stays so, and says so once.
        EXPECT_EQ(disk.serve().end, TurnEnd::broken);
        EXPECT_FALSE(drain_eventfd(disk.driver().error_fd()));
        EXPECT_FALSE(disk.queue().has_work());
    }

    std::shared_ptr<FakeDisk> storage = FakeDisk::create(mebibyte);
    DrivenDisk disk{storage->open()};
};

TEST_F(BrokenQueue, NoRoomForAStatus) {
    disk.offer_raw(std::array{Piece{room(16).address, 16}});
    expect_broken();
}

TEST_F(BrokenQueue, NoHeader) {
    disk.offer_raw(std::array{Piece{room(1).address, 1, true}});
    expect_broken();
}

TEST_F(BrokenQueue, AHeaderThatIsTooShort) {
    disk.offer_raw(std::array{Piece{room(8).address, 8}, Piece{room(7).address, 7}, Piece{room(1).address, 1, true}});
    expect_broken();
}

TEST_F(BrokenQueue, WhatTheRingFindsWrong) {
    disk.offer_raw(std::array{Piece{{0xffff'0000'0000}, 16}, Piece{room(1).address, 1, true}});
    expect_broken();
}

TEST_F(BrokenQueue, NothingBehindTheBadChainIsCarriedOut) {
    disk.offer_raw(std::array{Piece{room(16).address, 16}});  // no status
    for (int i = 0; i < 10; ++i) {
        disk.offer_raw(request(BlkType::write));
    }
    expect_broken();
    EXPECT_TRUE(storage->seen().empty());
    EXPECT_EQ(disk.queue().in_flight(), 0U);
}

TEST_F(BrokenQueue, WhatIsInFlightIsFinishedWithoutTouchingTheRing) {
    storage->add_fault({.action = FaultAction::hold});
    disk.offer_raw(request(BlkType::write));
    disk.work();
    ASSERT_EQ(disk.queue().in_flight(), 1U);
    disk.offer_raw(std::array{Piece{room(16).address, 16}});
    expect_broken();
    EXPECT_EQ(disk.queue().in_flight(), 1U);
    storage->release_all();
    const engine::Reaped reaped = disk.reap();
    EXPECT_EQ(reaped.calls, 0U);
    EXPECT_EQ(disk.queue().in_flight(), 0U);
    EXPECT_FALSE(disk.driver().has_used());
}

TEST_F(BrokenQueue, TellsItsOwner) {
    int told = 0;
    Notifiers notifiers;
    notifiers.on_broken = [&] {
        EXPECT_TRUE(disk.queue().broken());
        ++told;
    };
    disk.restart_queue(std::move(notifiers));
    disk.offer_raw(std::array{Piece{room(16).address, 16}});
    disk.serve();
    disk.serve();
    EXPECT_EQ(told, 1);
}

TEST_F(BrokenQueue, AnErrorDescriptorThatComesLaterIsSignalledToo) {
    disk.restart_queue({});
    disk.offer_raw(std::array{Piece{room(16).address, 16}});
    EXPECT_EQ(disk.serve().end, TurnEnd::broken);
    auto error = make_eventfd().value();
    const auto copy = error.duplicate().value();
    disk.queue().replace_error(std::move(error));
    EXPECT_TRUE(drain_eventfd(copy.get()));
}

TEST_F(BrokenQueue, WithoutDescriptorsItWorksAndBreaksInSilence) {
    disk.restart_queue({});
    EXPECT_EQ(disk.flush().status, BlkStatus::ok);
    disk.offer_raw(std::array{Piece{room(16).address, 16}});
    EXPECT_EQ(disk.serve().end, TurnEnd::broken);
}

TEST_F(BrokenQueue, ANewCallDescriptorIsSignalledForWhatWasUsedBefore) {
    auto call = make_eventfd().value();
    const auto copy = call.duplicate().value();
    disk.queue().replace_call(std::move(call));
    EXPECT_TRUE(drain_eventfd(copy.get()));
    disk.queue().replace_call(Fd());
    EXPECT_EQ(disk.flush().status, BlkStatus::ok);
    EXPECT_FALSE(drain_eventfd(copy.get()));
}

/// A front-end that does not read, on descriptors that would block: the turn ends all the same.
TEST_F(BrokenQueue, AFullCallDescriptorDoesNotHoldUpTheWorker) {
    std::array<int, 2> pipe{};
    std::array<int, 2> sockets{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()), 0);
    for (const auto& ends : {pipe, sockets}) {
        const Fd reading(ends[0]);
        Notifiers notifiers;
        notifiers.call = Fd(ends[1]);
        disk.restart_queue(std::move(notifiers));
        for (int i = 0; i < 2'000; ++i) {
            ASSERT_FALSE(disk.driver().request_calls());
            must(disk.requests().submit({.type = BlkType::flush}));
            disk.driver().publish();
            ASSERT_EQ(disk.serve().calls, 1U);
            ASSERT_EQ(must(disk.requests().collect()).size(), 1U);
        }
        pollfd entry{.fd = reading.get(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&entry, 1, 0), 1);
    }
}

// ---- a front-end that cuts its memory file off ----

class TruncatedMemory : public testing::Test {
protected:
    static constexpr std::uint64_t ring_bytes = 1U << 18U;
    static constexpr std::uint64_t buffer_bytes = 4U << 20U;

    TruncatedMemory() { must(memory::install_fault_guard()); }

    /// The ring in one region and file, buffers in another.
    static DrivenDisk::Options options() {
        return {.queue = {.region = 0},
                .requests = {.slots = 4},
                .memory = {{.guest_address = {0x10'0000}, .size = ring_bytes, .user_address = {}},
                           {.guest_address = {0x4000'0000}, .size = buffer_bytes, .user_address = {}}}};
    }

    std::shared_ptr<FakeDisk> storage = FakeDisk::create(mebibyte);
    DrivenDisk disk{storage->open(), options()};
};

TEST_F(TruncatedMemory, UnderTheRing) {
    EXPECT_EQ(disk.flush().status, BlkStatus::ok);
    must(disk.memory().truncate_file(0, 0));
    const engine::Turn turn = disk.serve();
    EXPECT_EQ(turn.end, TurnEnd::broken);
    EXPECT_TRUE(drain_eventfd(disk.driver().error_fd()));
    EXPECT_FALSE(disk.queue().has_work());
}

/// As a poll finds it: by looking for work.
TEST_F(TruncatedMemory, UnderTheRingOfAQueueThatIsPolled) {
    must(disk.memory().truncate_file(0, 0));
    static_cast<void>(disk.queue().has_work());
    EXPECT_EQ(disk.serve().end, TurnEnd::broken);
}

/// With the available index at 0 the zero pages look like a ring without work.
TEST_F(TruncatedMemory, UnderARingThatWasNeverUsed) {
    must(disk.memory().truncate_file(0, 0));
    EXPECT_EQ(disk.serve().end, TurnEnd::broken);
}

TEST_F(TruncatedMemory, UnderAHeader) {
    const auto header = disk.memory().allocate(16, 16, 1).value();
    const auto status = disk.memory().allocate(1, 1, 0).value();
    disk.offer_raw(std::array{Piece{header.address, 16}, Piece{status.address, 1, true}});
    must(disk.memory().truncate_file(1, 0));
    EXPECT_EQ(disk.serve().end, TurnEnd::broken);
}

TEST_F(TruncatedMemory, UnderTheBufferOfARequestInFlight) {
    storage->add_fault({.action = FaultAction::hold});
    const auto header = disk.memory().allocate(16, 16, 0).value();
    const frontend::BlkHeader read{std::uint32_t{0}, std::uint32_t{0}, std::uint64_t{0}};
    ASSERT_TRUE(disk.memory().write(header.address, std::as_bytes(std::span(&read, 1))));
    const auto buffer = disk.memory().allocate(65536, 4096, 1).value();
    const auto status = disk.memory().allocate(1, 1, 1).value();
    disk.offer_raw(
        std::array{Piece{header.address, 16}, Piece{buffer.address, 65536, true}, Piece{status.address, 1, true}});
    disk.work();
    ASSERT_EQ(disk.queue().in_flight(), 1U);
    must(disk.memory().truncate_file(1, 4096));
    storage->release_all();
    EXPECT_EQ(disk.reap().requests, 1U);
    EXPECT_EQ(disk.queue().in_flight(), 0U);
    EXPECT_EQ(disk.serve().end, TurnEnd::broken);
    EXPECT_TRUE(drain_eventfd(disk.driver().error_fd()));
}

}  // namespace
}  // namespace sidecore::device
