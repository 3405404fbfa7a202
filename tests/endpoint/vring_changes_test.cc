// SPDX-License-Identifier: Apache-2.0
// Vrings that are stopped, started again, switched off and on, given other descriptors, and reset, with I/O around it.
#include <array>
#include <atomic>
#include <fcntl.h>
#include <functional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::Mode;
using engine::PolicyKind;
using frontend::BlkDriver;
using frontend::BlkType;
using storage::FakeDisk;
using storage::FaultAction;

class VringChanges : public testing::Test {
protected:
    /// Runs a verified load on queue 0 in a thread of its own for as long as `meanwhile` takes.
    void under_load(BlkDriver& driver, const std::function<void()>& meanwhile) {
        std::atomic<bool> stop{false};
        std::thread loading([&] {
            VerifiedLoad load({0, 4096}, 7);
            while (!stop) {
                const auto done = load.run(driver.requests(), 100, 8);
                EXPECT_TRUE(done) << done.error().message;
                if (!done) {
                    return;
                }
            }
            const auto compared = load.compare_all(driver.requests());
            EXPECT_TRUE(compared) << compared.error().message;
        });
        meanwhile();
        stop = true;
        loading.join();
    }

    /// Makes a flush available and tells nobody.
    void offer_silently(BlkDriver& driver) {
        must(driver.requests().submit({.type = BlkType::flush}));
        ASSERT_TRUE(driver.queue().publish_quietly());
    }

    std::unique_ptr<engine::Worker> worker = make_worker();
    std::shared_ptr<FakeDisk> storage = FakeDisk::create(4 * mebibyte);
};

// ---- GET_VRING_BASE ----

TEST_F(VringChanges, StoppingWaitsForWhatWasAcceptedAndTakesNothingMore) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    storage->add_fault({.action = FaultAction::hold});
    const auto data = pattern(512, 1);
    for (std::uint64_t i = 0; i < 3; ++i) {
        must(driver.requests().submit({.type = BlkType::write, .sector = i, .out = data}));
    }
    driver.queue().publish();
    ASSERT_TRUE(storage->wait_until_held(3));
    ASSERT_TRUE(live.eventually_armed());  // else "not armed" below could be the turn that took them
    std::atomic<bool> stopped{false};
    std::uint16_t base = 0;
    std::thread stopping([&] {
        base = must(driver.client().get_vring_base(0));
        stopped = true;
    });
    ASSERT_TRUE(eventually([&] { return !live.info().queues[0].counters.armed; }));  // the drain has begun
    worker->execute([] {});                                                          // and holds up nobody
    EXPECT_FALSE(stopped);
    must(driver.requests().submit({.type = BlkType::write, .sector = 9, .out = data}));
    driver.queue().publish();
    driver.queue().kick();
    storage->release_all();
    stopping.join();
    EXPECT_EQ(base, 3);
    EXPECT_EQ(storage->seen().size(), 3U);
    EXPECT_EQ(must(driver.requests().collect()).size(), 3U);
    EXPECT_FALSE(live.info().queues[0].started);
    EXPECT_EQ(storage->open_queue_count(), 0U);

    // From there it goes on: the fourth is taken by the next start, once.
    storage->clear_faults();
    must(driver.client().set_vring_num(0, driver.queue().size()));
    must(driver.client().set_vring_base(0, base));
    must(driver.client().set_vring_kick(0, driver.queue().kick_fd()));
    const auto finished = must(driver.requests().collect());
    ASSERT_EQ(finished.size(), 1U);
    EXPECT_EQ(finished.front().status, frontend::BlkStatus::ok);
    EXPECT_EQ(storage->seen().size(), 4U);
    EXPECT_EQ(storage->contents(9 * 512, 512), data);
}

TEST_F(VringChanges, StoppedAndStartedBetweenRequests) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.settings = with_policy(PolicyKind::always)});
    BlkDriver::Options options;
    options.queue.first_index = 65'500;
    auto driver = live.start(options);
    VerifiedLoad load({0, 4096}, 3);
    for (int round = 0; round < 10; ++round) {
        const auto done = load.run(driver.requests(), 50, 8);
        ASSERT_TRUE(done) << done.error().message;
        const std::uint16_t base = must(driver.client().get_vring_base(0));
        EXPECT_EQ(base, driver.queue().available_index());
        must(driver.client().start_vring(0, driver.memory(), driver.queue()));
    }
    const auto compared = load.compare_all(driver.requests());
    EXPECT_TRUE(compared) << compared.error().message;
    EXPECT_EQ(live.info().sessions, 1U);
    EXPECT_TRUE(live.info().last_error.empty());
}

TEST_F(VringChanges, OneQueueStopsWhileTheOthersRun) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    auto driver = live.start({.queues = 2});
    under_load(driver, [&] {
        for (int round = 0; round < 20; ++round) {
            EXPECT_EQ(must(driver.client().get_vring_base(1)), driver.queue(1).available_index());
            must(driver.client().start_vring(1, driver.memory(), driver.queue(1)));
            must(driver.requests(1).flush());
        }
    });
    EXPECT_TRUE(eventually([&] { return live.counters(1).completions == 20U; }));
}

// ---- SET_VRING_ENABLE ----

TEST_F(VringChanges, SwitchedOffItTakesNothingAndSwitchedOnAgainAll) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always}) {
        LiveDisk live(storage->open(), {worker.get()}, {.settings = with_policy(kind)});
        auto driver = live.start();
        for (int round = 0; round < 3; ++round) {
            must(driver.flush());
            must(driver.client().set_vring_enable(0, false));
            EXPECT_FALSE(live.info().queues[0].enabled);
            EXPECT_FALSE(live.counters().attached);
            const std::size_t seen = storage->seen().size();
            offer_silently(driver);
            driver.queue().kick();
            worker->execute([] {});
            EXPECT_EQ(storage->seen().size(), seen);
            EXPECT_FALSE(driver.queue().has_used());
            must(driver.client().set_vring_enable(0, true));
            EXPECT_EQ(must(driver.requests().collect()).size(), 1U);
        }
    }
}

TEST_F(VringChanges, SwitchedOffAndOnUnderLoad) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    auto driver = live.start();
    under_load(driver, [&] {
        for (int i = 0; i < 100; ++i) {
            must(driver.client().set_vring_enable(0, i % 2 != 0));
        }
    });
}

// ---- descriptors ----

TEST_F(VringChanges, OtherDescriptorsUnderLoad) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    auto driver = live.start();
    under_load(driver, [&] {
        for (int i = 0; i < 60; ++i) {
            // The same eventfds as seen by the driver, others to the worker.
            must(driver.client().set_vring_kick(0, driver.queue().kick_fd()));
            must(driver.client().set_vring_call(0, driver.queue().call_fd()));
            must(driver.client().set_vring_err(0, driver.queue().error_fd()));
        }
    });
}

TEST_F(VringChanges, AnotherKickDescriptorTakesTheOldOnesPlace) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    must(driver.flush());
    const auto other = make_eventfd().value();
    must(driver.client().set_vring_kick(0, other.get()));
    ASSERT_TRUE(live.eventually_armed());
    offer_silently(driver);
    signal_eventfd(other.get());
    EXPECT_EQ(must(driver.requests().collect()).size(), 1U);
    // The old one means nothing any more.
    ASSERT_TRUE(live.eventually_armed());
    const std::uint64_t kicks = live.counters().kicks;
    driver.queue().kick();
    worker->execute([] {});
    EXPECT_EQ(live.counters().kicks, kicks);
}

TEST_F(VringChanges, WithoutAKickDescriptorItIsPolled) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    must(driver.flush());
    must(driver.client().set_vring_kick(0, std::nullopt));
    EXPECT_EQ(live.counters().mode, Mode::polled);
    offer_silently(driver);
    EXPECT_EQ(must(driver.requests().collect()).size(), 1U);
    must(driver.client().set_vring_kick(0, driver.queue().kick_fd()));
    EXPECT_TRUE(eventually([&] { return live.counters().mode == Mode::notified && live.counters().armed; }));
    must(driver.flush());
}

TEST_F(VringChanges, AnotherCallDescriptorIsToldWhatTheOldOneMayHaveMissed) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    must(driver.flush());
    const auto other = make_eventfd().value();
    must(driver.client().set_vring_call(0, other.get()));
    EXPECT_TRUE(drain_eventfd(other.get()));
    static_cast<void>(driver.queue().request_calls());
    must(driver.requests().submit({.type = BlkType::flush}));
    driver.queue().publish();
    EXPECT_TRUE(eventually([&] { return drain_eventfd(other.get()); }));
    EXPECT_EQ(must(driver.requests().collect()).size(), 1U);
    must(driver.client().set_vring_call(0, std::nullopt));
    must(driver.requests().submit({.type = BlkType::flush}));
    driver.queue().publish();
    EXPECT_TRUE(eventually([&] { return driver.queue().has_used(); }));
    EXPECT_FALSE(drain_eventfd(other.get()));
}

/// As user-mode Linux has them: pipes and sockets, blocking, whose other end reads when it likes.
TEST_F(VringChanges, PipesAndSocketsServeAsWell) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    std::array<int, 2> pipe{};
    std::array<int, 2> sockets{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()), 0);
    const Fd pipe_reading(pipe[0]);
    const Fd pipe_writing(pipe[1]);
    const Fd socket_ours(sockets[0]);
    const Fd socket_theirs(sockets[1]);
    struct Pair {
        int kick_read, kick_write, call_read, call_write;
    };
    for (const Pair& pair : {Pair{pipe_reading.get(), pipe_writing.get(), socket_ours.get(), socket_theirs.get()},
                             Pair{socket_theirs.get(), socket_ours.get(), pipe_reading.get(), pipe_writing.get()}}) {
        must(driver.client().set_vring_kick(0, pair.kick_read));
        must(driver.client().set_vring_call(0, pair.call_write));
        for (int i = 0; i < 200; ++i) {
            ASSERT_TRUE(live.eventually_armed());
            static_cast<void>(driver.queue().request_calls());
            offer_silently(driver);
            const std::uint64_t one = 1;
            ASSERT_EQ(::write(pair.kick_write, &one, sizeof one), 8);
            pollfd call{.fd = pair.call_read, .events = POLLIN, .revents = 0};
            ASSERT_EQ(::poll(&call, 1, 20'000), 1);
            std::array<std::byte, 4096> sink{};
            ASSERT_GT(::read(pair.call_read, sink.data(), sink.size()), 0);
            ASSERT_TRUE(eventually([&] { return driver.queue().has_used(); }));
            ASSERT_EQ(must(driver.requests().collect()).size(), 1U);
        }
    }
}

// ---- resets ----

class Resets : public VringChanges, public testing::WithParamInterface<bool> {
protected:
    /// RESET_DEVICE, or a status of 0.
    void reset(BlkDriver& driver) {
        if (GetParam()) {
            must(driver.client().reset_device());
        } else {
            must(driver.client().set_status(0));
        }
    }
};

INSTANTIATE_TEST_SUITE_P(By, Resets, testing::Bool(),
                         [](const auto& one) { return one.param ? "reset_device" : "status"; });

/// What a driver does that comes back to a device: the features that it wants once more, then its rings anew.
TEST_P(Resets, ADriverComesBackAsOften) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    auto driver = live.start({.queues = 2});
    VerifiedLoad load({0, 4096}, 3);
    for (unsigned round = 0; round < 5; ++round) {
        ASSERT_NE(must(driver.client().get_status()), 0);
        const auto done = load.run(driver.requests(1), 100, 8);
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_TRUE(driver.client().has(frontend::feature_event_index));
        EXPECT_TRUE(eventually([&] { return live.counters(1).completions >= 100U * (round + 1U); }));
        reset(driver);
        EXPECT_EQ(must(driver.client().get_status()), 0);
        for (const QueueInfo& queue : live.info().queues) {
            EXPECT_FALSE(queue.started);
            EXPECT_FALSE(queue.counters.attached);
        }
        for (auto& queue : driver.queues()) {
            queue.reset();
        }
        must(driver.client().set_features(driver.client().features()));
        must(driver.client().set_mem_table(driver.memory().regions()));
        for (std::uint32_t i = 0; i < 2; ++i) {
            must(driver.client().start_vring(i, driver.memory(), driver.queue(i)));
        }
        must(driver.client().set_status(15));
    }
    const auto compared = load.compare_all(driver.requests());
    EXPECT_TRUE(compared) << compared.error().message;
}

/// A reset by status takes the rings and the cache mode, not what the front-end has said on its own: features and
/// enabling hold until it says otherwise.
TEST_F(VringChanges, AStatusOfZeroLeavesFeaturesAndEnabling) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    must(driver.set_writeback(false));
    must(driver.client().set_status(0));
    EXPECT_EQ(live.info().features, driver.client().features() & ~(std::uint64_t{1} << 30U));
    EXPECT_TRUE(live.info().queues[0].enabled);
    EXPECT_EQ(must(driver.config()).writeback, 1U);
    driver.queue().reset();
    must(driver.client().set_vring_num(0, driver.queue().size()));
    must(driver.client().set_vring_base(0, 0));
    must(driver.client().set_vring_kick(0, driver.queue().kick_fd()));
    must(driver.flush());
    EXPECT_FALSE(storage->seen().back().durable);
    const auto data = pattern(512, 1);
    must(driver.write(0, data));
    EXPECT_FALSE(storage->seen().back().durable);
    // Two requests in one go and one call for both: EVENT_IDX is in force.
    EXPECT_TRUE(driver.queue().event_index());
}

TEST_P(Resets, AcceptedIoIsCompletedFirst) {
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    storage->add_fault({.action = FaultAction::hold});
    const auto data = pattern(512, 1);
    must(driver.requests().submit({.type = BlkType::write, .sector = 4, .out = data}));
    driver.queue().publish();
    ASSERT_TRUE(storage->wait_until_held(1));
    ASSERT_TRUE(live.eventually_armed());
    std::atomic<bool> done{false};
    std::thread resetting([&] {
        reset(driver);
        done = true;
    });
    ASSERT_TRUE(eventually([&] { return !live.counters().armed; }));
    EXPECT_FALSE(done);
    storage->release_all();
    resetting.join();
    EXPECT_EQ(storage->contents(4 * 512, 512), data);
    EXPECT_EQ(must(driver.requests().collect()).size(), 1U);
}

}  // namespace
}  // namespace sidecore::endpoint
