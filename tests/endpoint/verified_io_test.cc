// SPDX-License-Identifier: Apache-2.0
// Data written through a live endpoint is what is read back, whatever finds the work and however the ring is used.
#include <atomic>
#include <ostream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "base/format.hh"
#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::Mode;
using engine::PolicyKind;

constexpr std::uint64_t sectors_per_load = 4096;

frontend::BlkDriver::Options driver_options(std::uint16_t queues, bool event_index = true, bool indirect = true) {
    frontend::BlkDriver::Options options;
    options.queues = queues;
    options.queue.size = 128;
    options.queue.event_index = event_index;
    options.requests = {.slots = 16, .bytes_per_slot = 64 * 1024};
    if (!indirect) {
        options.wishes.features &= ~frontend::feature_mask(frontend::feature_indirect);
    }
    return options;
}

/// `count` requests on each queue of `driver`, a thread for each queue, and a look at all data afterwards.
/// Queue i uses its own part of the disk.
void load_all_queues(frontend::BlkDriver& driver, std::uint64_t count, std::size_t depth, std::uint64_t seed) {
    const bool indirect = driver.client().has(frontend::feature_indirect);
    std::vector<std::thread> threads;
    for (std::size_t queue = 0; queue < driver.queues().size(); ++queue) {
        threads.emplace_back([&driver, count, depth, seed, indirect, queue] {
            VerifiedLoad load({queue * sectors_per_load, sectors_per_load}, seed + queue, indirect);
            const auto done = load.run(driver.requests(queue), count, depth);
            EXPECT_TRUE(done) << "queue " << queue << ": " << done.error().message;
            const auto compared = done ? load.compare_all(driver.requests(queue)) : done;
            EXPECT_TRUE(compared) << "queue " << queue << ": " << compared.error().message;
            EXPECT_GT(load.reads(), 0U);
            EXPECT_GT(load.writes(), 0U);
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
}

class VerifiedIo : public testing::TestWithParam<std::tuple<PolicyKind, bool, bool, std::uint16_t>> {};

INSTANTIATE_TEST_SUITE_P(Ways, VerifiedIo,
                         testing::Combine(testing::Values(PolicyKind::never, PolicyKind::always, PolicyKind::rate),
                                          testing::Bool(), testing::Bool(), testing::Values(1, 4)),
                         [](const auto& one) {
                             return fmt::format("{}{}{}_{}_queues", engine::to_string(std::get<0>(one.param)),
                                                std::get<1>(one.param) ? "_event_index" : "_flags",
                                                std::get<2>(one.param) ? "_indirect" : "_direct",
                                                std::get<3>(one.param));
                         });

TEST_P(VerifiedIo, ReadsWhatItWrote) {
    const auto [policy, event_index, indirect, queues] = GetParam();
    const auto worker = make_worker();
    LiveDisk live(memory_storage(16 * mebibyte), {worker.get()},
                  {.device = {.queues = queues}, .settings = with_policy(policy)});
    auto driver = live.start(driver_options(queues, event_index, indirect));
    EXPECT_EQ(driver.client().has(frontend::feature_event_index), event_index);
    EXPECT_EQ(driver.client().has(frontend::feature_indirect), indirect);
    load_all_queues(driver, 250, 8, 1);
    for (std::uint16_t queue = 0; queue < queues; ++queue) {
        // A turn is counted after the driver has seen what it did.
        EXPECT_TRUE(eventually([&] {
            const auto now = live.counters(queue);
            return now.completions >= 250U && now.completions == now.poll_requests + now.notif_requests;
        }));
        const auto counters = live.counters(queue);
        EXPECT_FALSE(counters.broken);
        if (policy == PolicyKind::never) {
            EXPECT_EQ(counters.poll_requests, 0U);
            EXPECT_GT(counters.kicks, 0U);
        } else if (policy == PolicyKind::always) {
            EXPECT_GT(counters.poll_requests, 0U);
            EXPECT_EQ(counters.mode, Mode::polled);
        }
    }
}

TEST(VerifiedIoMany, SixtyFourQueues) {
    const auto worker = make_worker();
    LiveDisk live(memory_storage(128 * mebibyte), {worker.get()},
                  {.device = {.queues = 64}, .settings = with_rate(4, std::chrono::milliseconds(10))});
    auto options = driver_options(64);
    options.requests = {.slots = 8, .bytes_per_slot = 64 * 1024};
    auto driver = live.start(options);
    EXPECT_EQ(must(driver.config()).num_queues, 64U);
    std::vector<std::thread> threads;
    for (std::size_t first = 0; first < 4; ++first) {
        threads.emplace_back([&driver, first] {
            for (std::size_t queue = first; queue < 64; queue += 4) {
                VerifiedLoad load({queue * sectors_per_load, sectors_per_load}, queue);
                const auto done = load.run(driver.requests(queue), 40, 8);
                EXPECT_TRUE(done) << "queue " << queue << ": " << done.error().message;
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (std::size_t i = 0; i < 64; ++i) {
        EXPECT_TRUE(eventually([&] { return live.counters(i).completions == 40U; })) << i;
        const QueueInfo queue = live.info().queues.at(i);
        EXPECT_EQ(queue.size, 128U);
        EXPECT_TRUE(queue.started);
        EXPECT_TRUE(queue.enabled);
    }
}

TEST(VerifiedIoMany, IndexesThatWrapAround) {
    const auto worker = make_worker();
    for (const bool event_index : {true, false}) {
        LiveDisk live(memory_storage(4 * mebibyte), {worker.get()},
                      {.settings = with_rate(2, std::chrono::milliseconds(1))});
        auto options = driver_options(1, event_index);
        options.queue.first_index = 65'300;
        auto driver = live.start(options);
        load_all_queues(driver, 600, 8, 3);
        EXPECT_LT(driver.queue().available_index(), 65'300);
    }
}

TEST(VerifiedIoMany, ThePolicyFlipsEveryFewMilliseconds) {
    const auto worker = make_worker();
    LiveDisk live(memory_storage(16 * mebibyte), {worker.get()}, {.device = {.queues = 4}});
    auto driver = live.start(driver_options(4));
    std::atomic<bool> stop{false};
    std::thread flipping([&] {
        const std::vector<engine::QueueSettings> all{
            with_policy(PolicyKind::always), with_policy(PolicyKind::never), with_rate(1, std::chrono::milliseconds(1)),
            with_policy(PolicyKind::always), with_rate(0, std::chrono::milliseconds(1))};
        for (std::size_t i = 0; !stop; ++i) {
            // One queue at a time in between, all together now and then.
            if (i % 3 == 0) {
                live.set_all(all[i / 3 % all.size()]);
            } else {
                live.endpoint().set_queue(static_cast<std::uint16_t>(i % 4), all[i % all.size()]);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
        }
    });
    load_all_queues(driver, 2'000, 8, 4);
    EXPECT_TRUE(eventually([&] {
        std::uint64_t changes = 0;
        for (const QueueInfo& queue : live.info().queues) {
            changes += queue.counters.to_polled + queue.counters.to_notified;
        }
        return changes > 10;
    }));
    stop = true;
    flipping.join();
}

TEST(VerifiedIoMany, SeveralDevicesOnOneWorker) {
    const auto worker = make_worker();
    std::vector<std::unique_ptr<LiveDisk>> disks;
    std::vector<frontend::BlkDriver> drivers;
    for (int i = 0; i < 4; ++i) {
        const auto kind = i % 2 == 0 ? PolicyKind::never : PolicyKind::always;
        disks.push_back(std::make_unique<LiveDisk>(
            memory_storage(4 * mebibyte), std::vector{worker.get()},
            LiveDisk::Setup{.device = {.name = fmt::format("disk{}", i), .queues = 2}, .settings = with_policy(kind)}));
        drivers.push_back(disks.back()->start(driver_options(2)));
    }
    EXPECT_EQ(worker->statistics().queues, 8U);
    EXPECT_EQ(worker->statistics().polled_queues, 4U);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < drivers.size(); ++i) {
        threads.emplace_back([&driver = drivers[i], i] { load_all_queues(driver, 300, 4, 100 * i); });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (std::size_t i = 0; i < drivers.size(); ++i) {
        EXPECT_EQ(must(drivers[i].get_id()), fmt::format("disk{}", i));
        EXPECT_TRUE(eventually([&] { return disks[i]->counters(1).completions >= 300U; }));
    }
}

TEST(VerifiedIoMany, OneDeviceOnTwoWorkers) {
    const auto first = make_worker("first");
    const auto second = make_worker("second");
    LiveDisk live(memory_storage(16 * mebibyte), {first.get(), second.get()},
                  {.device = {.queues = 4}, .settings = with_rate(8, std::chrono::milliseconds(5))});
    auto driver = live.start(driver_options(4));
    const auto queues = live.info().queues;
    EXPECT_EQ(queues[0].worker, "first");
    EXPECT_EQ(queues[1].worker, "second");
    EXPECT_EQ(queues[2].worker, "first");
    EXPECT_EQ(queues[3].worker, "second");
    EXPECT_EQ(first->statistics().queues, 2U);
    EXPECT_EQ(second->statistics().queues, 2U);
    load_all_queues(driver, 500, 8, 5);
}

/// Storage that completes later and in another order.
TEST(VerifiedIoMany, StorageThatTakesItsTime) {
    const auto worker = make_worker();
    const auto storage = storage::FakeDisk::create(8 * mebibyte);
    for (const std::uint64_t delay_us : {0U, 50U, 300U, 1000U}) {
        storage->add_fault(
            {.action = storage::FaultAction::delay, .delay_ns = delay_us * 1000, .skip = delay_us % 7, .times = 400});
    }
    LiveDisk live(storage->open(), {worker.get()}, {.device = {.queues = 2}});
    auto driver = live.start(driver_options(2));
    std::atomic<bool> stop{false};
    std::thread flipping([&] {
        for (int i = 0; !stop; ++i) {
            live.set_all(with_policy(i % 2 == 0 ? PolicyKind::always : PolicyKind::never));
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
    load_all_queues(driver, 800, 16, 6);
    stop = true;
    flipping.join();
}

TEST(VerifiedIoMany, ADriverThatPollsGetsNoCalls) {
    const auto worker = make_worker();
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.settings = with_policy(PolicyKind::always)});
    auto options = driver_options(1);
    options.requests.polling = true;
    auto driver = live.start(options);
    load_all_queues(driver, 500, 8, 7);
    // The first completion is always told; and a kick comes with the start.
    EXPECT_LE(live.counters().calls, 2U);
    EXPECT_LE(live.counters().kicks, 2U);
    EXPECT_EQ(driver.queue().statistics().calls_received, 0U);
}

}  // namespace
}  // namespace sidecore::endpoint
