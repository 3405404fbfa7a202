// SPDX-License-Identifier: Apache-2.0
// The rule of the 2014 patch on a live device: when a queue is polled, when no longer, and its parameters changed while
// it runs.
#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::Mode;
using engine::PolicyKind;
using frontend::BlkDriver;

class Polling : public testing::Test {
protected:
    Mode mode(std::size_t queue = 0) const { return live.counters(queue).mode; }

    /// One request after the other until the queue is polled; false: not after `limit`.
    bool work_until_polled(BlkDriver& driver, int limit = 1000) {
        for (int i = 0; i < limit; ++i) {
            must(driver.flush());
            if (mode() == Mode::polled) {
                return true;
            }
        }
        return false;
    }

    std::unique_ptr<engine::Worker> worker = make_worker();
    LiveDisk live{memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}}};
};

/// With its defaults, for real: three seconds without work end the polling, and the next request is served by its kick.
TEST_F(Polling, EndsAfterThreeSecondsWithoutWork) {
    engine::QueueSettings settings = with_policy(PolicyKind::rate);
    ASSERT_EQ(settings.policy.poll_stop_idle_ns, 3'000'000'000U);
    settings.policy.tick_ns = 1'000'000'000;  // a slow machine makes four works in a tick, too
    live.set_all(settings);
    auto driver = live.start({.queues = 2});
    ASSERT_TRUE(work_until_polled(driver));
    const std::uint64_t polled_at = monotonic_ns();
    const std::uint64_t kicks = driver.queue().statistics().kicks_sent;
    must(driver.flush());
    EXPECT_EQ(driver.queue().statistics().kicks_sent, kicks);  // polled: nobody asked for one
    const std::uint64_t last_work = monotonic_ns();

    ASSERT_TRUE(eventually([&] { return mode() == Mode::notified && live.counters().armed; }));
    const std::uint64_t idle_ns = monotonic_ns() - last_work;
    EXPECT_GE(monotonic_ns() - polled_at, 3'000'000'000U);
    EXPECT_GE(idle_ns, 2'900'000'000U);
    EXPECT_EQ(live.counters().to_notified, 1U);
    EXPECT_EQ(worker->statistics().polled_queues, 0U);

    must(driver.flush());
    EXPECT_EQ(driver.queue().statistics().kicks_sent, kicks + 1);
    // A queue that never had work was never polled.
    EXPECT_EQ(live.counters(1).to_polled, 0U);
}

TEST_F(Polling, EndsAfterTheTimeThatWasSet) {
    live.set_all(with_rate(2, std::chrono::milliseconds(30)));
    auto driver = live.start();
    for (int round = 0; round < 5; ++round) {
        ASSERT_TRUE(work_until_polled(driver));
        ASSERT_TRUE(eventually([&] { return mode() == Mode::notified && live.counters().armed; }));
    }
    must(driver.flush());
}

TEST_F(Polling, AtAStartRateOfZeroNeverBegins) {
    live.set_all(with_rate(0, std::chrono::seconds(3)));
    auto driver = live.start();
    VerifiedLoad load({0, 4096}, 1);
    const auto done = load.run(driver.requests(), 1'000, 8);
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_EQ(live.counters().to_polled, 0U);
    EXPECT_EQ(live.counters().poll_requests, 0U);
}

TEST_F(Polling, BothParametersChangeWhileItRuns) {
    live.set_all(with_rate(0, std::chrono::hours(1)));
    auto driver = live.start();
    EXPECT_FALSE(work_until_polled(driver, 200));
    live.endpoint().set_queue(0, with_rate(1, std::chrono::hours(1)));
    must(driver.flush());  // one work is enough; the turn that served it may not be over yet
    EXPECT_TRUE(eventually([&] { return mode() == Mode::polled; }));
    EXPECT_EQ(live.endpoint().queue_settings(0).policy, with_rate(1, std::chrono::hours(1)).policy);
    EXPECT_EQ(live.endpoint().queue_settings(1).policy, with_rate(0, std::chrono::hours(1)).policy);
    // A shorter idle time, and it is over; a start rate of 0, and it is over at once.
    live.endpoint().set_queue(0, with_rate(1, std::chrono::milliseconds(10)));
    EXPECT_TRUE(eventually([&] { return mode() == Mode::notified; }));
    live.endpoint().set_queue(0, with_rate(1, std::chrono::hours(1)));
    must(driver.flush());  // one work is enough; the turn that served it may not be over yet
    EXPECT_TRUE(eventually([&] { return mode() == Mode::polled; }));
    live.endpoint().set_queue(0, with_rate(0, std::chrono::hours(1)));
    EXPECT_EQ(mode(), Mode::notified);
    must(driver.flush());
}

TEST_F(Polling, SettingsOfOneQueueAreItsOwn) {
    auto driver = live.start({.queues = 2});
    live.endpoint().set_queue(1, with_policy(PolicyKind::always));
    EXPECT_EQ(mode(0), Mode::notified);
    EXPECT_EQ(mode(1), Mode::polled);
    for (int i = 0; i < 20; ++i) {
        must(driver.requests(0).flush());
        must(driver.requests(1).flush());
    }
    EXPECT_EQ(live.counters(0).poll_requests, 0U);
    EXPECT_GT(live.counters(1).poll_requests, 0U);
}

/// In both forms of suppression: a new ring asks for kicks, and only the flag form has to be told otherwise.
TEST_F(Polling, AQueueThatIsPolledFromTheStartIsNotKicked) {
    live.set_all(with_policy(PolicyKind::always));
    for (const bool event_index : {true, false}) {
        BlkDriver::Options options;
        if (!event_index) {
            options.wishes.features &= ~frontend::feature_mask(frontend::feature_event_index);
        }
        auto driver = live.start(options);
        for (int i = 0; i < 100; ++i) {
            must(driver.flush());
        }
        EXPECT_EQ(driver.queue().statistics().kicks_sent, 0U) << event_index;
    }
}

TEST_F(Polling, SettingsMadeWhileNobodyIsThereHoldForTheNext) {
    live.endpoint().set_queue(1, with_policy(PolicyKind::always));
    EXPECT_EQ(worker->statistics().polled_queues, 0U);
    for (int session = 0; session < 2; ++session) {
        auto driver = live.start({.queues = 2});
        EXPECT_EQ(mode(0), Mode::notified);
        EXPECT_EQ(mode(1), Mode::polled);
    }
    EXPECT_TRUE(eventually([&] { return worker->statistics().polled_queues == 0; }));
}

}  // namespace
}  // namespace sidecore::endpoint
