// SPDX-License-Identifier: Apache-2.0
// Workers that come, go and change, and queues that move between them, while drivers are at work.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "daemon/manager_fixture.hh"

namespace sidecore::daemon {
namespace {

using control::Level;
using control::Setting;
using test::eventually;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ManagerWorkers : public ManagerTest {
protected:
    void move(const control::QueueTarget& target, const std::string& worker) {
        const auto moved = manager_->move(target, {worker});
        ASSERT_TRUE(moved) << moved.error().message;
    }
};

/// Writes and reads back, on one queue, until it is told to stop.
class DriverAtWork {
public:
    /// Uses 32 blocks from `first_block` on, which are its alone.
    explicit DriverAtWork(frontend::BlkRequests& requests, unsigned first_block = 0)
        : thread_([this, &requests, first_block] {
              for (unsigned round = 0; !stop_ && !::testing::Test::HasFailure(); ++round) {
                  test::expect_disk_works(requests, first_block + round % 32);
                  ++rounds_;
              }
          }) {}
    ~DriverAtWork() { stop(); }
    DriverAtWork(const DriverAtWork&) = delete;
    DriverAtWork& operator=(const DriverAtWork&) = delete;

    /// Waits until it has done some more.
    void let_work() {
        const unsigned wanted = rounds_ + 3;
        EXPECT_TRUE(eventually([&] { return rounds_ >= wanted; })) << "I/O goes on";
    }
    void stop() {
        stop_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    std::atomic<bool> stop_{false};
    std::atomic<unsigned> rounds_{0};
    std::thread thread_;
};

TEST_F(ManagerWorkers, ComeAndGo) {
    start();
    const auto added = manager_->add_worker({"io1", 0, {{Setting::worker_poll_budget, 50U}}});
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_EQ(added->name, "io1");
    EXPECT_EQ(added->cpu, 0U);
    EXPECT_EQ(added->queues, 0U);
    EXPECT_EQ(added->settings.at(Setting::worker_poll_budget), (control::Settings::Sourced{50U, Level::worker}));
    EXPECT_THAT(worker_names(), ElementsAre("io0", "io1"));
    EXPECT_EQ(manager_->add_worker({"io1"}).error().kind, ErrorKind::already_exists);

    ASSERT_TRUE(manager_->remove_worker("io0"));
    EXPECT_THAT(worker_names(), ElementsAre("io1"));
    EXPECT_EQ(manager_->remove_worker("io0").error().kind, ErrorKind::not_found);
    const auto last = manager_->remove_worker("io1");
    ASSERT_FALSE(last);
    EXPECT_EQ(last.error().message, "\"io1\" is the only worker; add another one before it is removed");
    EXPECT_THAT(worker_names(), ElementsAre("io1"));
}

TEST_F(ManagerWorkers, ArePinnedAndSetFree) {
    start();
    EXPECT_EQ(manager_->pin_worker("io0", {0}).value().cpu, 0U);
    const auto missing = manager_->pin_worker("io0", {1023});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().kind, ErrorKind::invalid_argument);
    EXPECT_THAT(missing.error().message, HasSubstr("there is no CPU 1023 for worker io0; the daemon may use CPU 0"));
    EXPECT_EQ(manager_->workers().at(0).cpu, 0U) << "it stays where it was";
    EXPECT_EQ(manager_->pin_worker("io0", {}).value().cpu, std::nullopt);
    EXPECT_EQ(manager_->pin_worker("io9", {0}).error().kind, ErrorKind::not_found);
    EXPECT_FALSE(manager_->add_worker({"io1", 1023}));
    EXPECT_THAT(worker_names(), ElementsAre("io0"));
}

TEST_F(ManagerWorkers, QueuesMoveWhileTheyAreAtWork) {
    start({{"io0"}, {"io1"}});
    const control::DeviceSpec device = spec("disk0", 2);
    add(device);
    frontend::BlkDriver driver = drive(device);
    DriverAtWork first(driver.requests(0));
    DriverAtWork second(driver.requests(1), 64);
    constexpr unsigned moves = 50;
    for (unsigned i = 0; i < moves; ++i) {
        move({"disk0", 0}, i % 2 == 0 ? "io1" : "io0");
        first.let_work();
    }
    EXPECT_EQ(queue("disk0", 0).worker, "io0");
    move({"disk0"}, "io1");
    first.let_work();
    second.let_work();
    EXPECT_EQ(queue("disk0", 0).worker, "io1");
    EXPECT_EQ(queue("disk0", 1).worker, "io1");
    EXPECT_THAT(manager_->workers().at(0).devices, IsEmpty());
    EXPECT_EQ(manager_->workers().at(1).queues, 2U);
    first.stop();
    second.stop();
    expect_counts("disk0", 0, "moves", moves + 1);
    expect_counts("disk0", 1, "moves", 1);
    const std::uint64_t moved = control::counter(queue("disk0", 1).counters, "moves");
    move({"disk0"}, "io1");
    EXPECT_EQ(control::counter(queue("disk0", 1).counters, "moves"), moved) << "it was there";
}

TEST_F(ManagerWorkers, MovesThatCannotBeSayWhy) {
    start({{"io0"}, {"io1"}});
    add(spec("disk0"));
    EXPECT_EQ(manager_->move({"disk1"}, {"io1"}).error().message, "there is no device \"disk1\"");
    EXPECT_EQ(manager_->move({"disk0"}, {"io9"}).error().message, "there is no worker \"io9\"");
    EXPECT_EQ(manager_->move({"disk0", 1}, {"io1"}).error().message,
              "the device \"disk0\" has no queue 1; it has queue 0");
    // A queue that no driver has started goes where it is sent, and runs there later.
    move({"disk0", 0}, "io1");
    frontend::BlkDriver driver = drive(spec("disk0"));
    test::expect_disk_works(driver.requests(), 1);
    EXPECT_EQ(manager_->workers().at(1).queues, 1U);
}

TEST_F(ManagerWorkers, ARemovedWorkersQueuesGoOnElsewhere) {
    start({{"io0"}, {"io1"}, {"io2"}});
    control::DeviceSpec device = spec("disk0", 2);
    const std::string path = folder_ / "disk0.img";
    std::ofstream(path).flush();
    std::filesystem::resize_file(path, 1U << 20U);
    device.storage = {control::StorageKind::file, path, 0, false, {}, {}};
    device.worker = "io1";
    add(device);
    control::DeviceSpec other = spec("other", 3);
    other.worker = "io0";
    add(other);
    frontend::BlkDriver driver = drive(device);
    DriverAtWork first(driver.requests(0));
    DriverAtWork second(driver.requests(1), 64);
    first.let_work();
    ASSERT_TRUE(manager_->remove_worker("io1"));
    first.let_work();
    second.let_work();
    EXPECT_EQ(queue("disk0", 0).worker, "io2");
    EXPECT_EQ(queue("disk0", 1).worker, "io2") << "io0 has more queues";

    // Also if its queues have left it just now, with I/O in flight that its thread has submitted.
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(manager_->add_worker({"short"}));
        move({"disk0"}, "short");
        first.let_work();
        move({"disk0"}, "io0");
        ASSERT_TRUE(manager_->remove_worker("short"));
        second.let_work();
    }
    first.stop();
    second.stop();
    EXPECT_THAT(worker_names(), ElementsAre("io0", "io2"));
}

TEST_F(ManagerWorkers, SettingsComeFromTheWorkerOrTheDaemon) {
    start({{"io0"}, {"io1", std::nullopt, {{Setting::wait_max, 1'000U}}}}, {{Setting::worker_poll_budget, 80U}});
    using Sourced = control::Settings::Sourced;
    const auto setting = [this](std::size_t worker, Setting which) {
        return manager_->workers().at(worker).settings.at(which);
    };
    EXPECT_EQ(setting(0, Setting::worker_poll_budget), (Sourced{80U, Level::daemon}));
    EXPECT_EQ(setting(0, Setting::wait_max), (Sourced{100'000U, Level::built_in}));
    EXPECT_EQ(setting(1, Setting::wait_max), (Sourced{1'000U, Level::worker}));

    auto changed = manager_->change_settings({.worker = "io1"}, change(R"({"wait_max": null})", Level::worker));
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->at(Setting::wait_max), (Sourced{100'000U, Level::built_in}));
    changed = manager_->change_settings({}, change(R"({"workers": {"wait_max": "2us"}})"));
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->at(Setting::wait_max), (Sourced{2'000U, Level::daemon}));
    EXPECT_EQ(setting(1, Setting::wait_max), (Sourced{2'000U, Level::daemon}));
    EXPECT_EQ(manager_->daemon().settings.at(Setting::wait_max), (Sourced{2'000U, Level::daemon}));
    EXPECT_EQ(
        manager_->change_settings({.worker = "io9"}, change(R"({"wait_max": null})", Level::worker)).error().message,
        "there is no worker \"io9\"");
}

TEST_F(ManagerWorkers, PollBudgetsHoldForRunningQueues) {
    start({{"io0"}, {"io1"}}, {{Setting::kind, "always"}});
    const control::DeviceSpec device = spec("disk0", 2);
    add(device);
    move({"disk0", 1}, "io1");
    frontend::BlkDriver driver = drive(device);
    const auto modes_become = [this](std::string_view first, std::string_view second) {
        return eventually([&] { return queue("disk0", 0).mode == first && queue("disk0", 1).mode == second; });
    };
    EXPECT_TRUE(modes_become("polled", "polled"));

    ASSERT_TRUE(manager_->change_settings({.worker = "io0"}, change(R"({"poll_budget": 0})", Level::worker)));
    EXPECT_TRUE(modes_become("notified", "polled")) << "a worker's budget is used up";
    ASSERT_TRUE(manager_->change_settings({.device = "disk0"}, change(R"({"policy": {"poll_budget": 0}})")));
    EXPECT_TRUE(modes_become("notified", "notified")) << "the device's is";
    test::expect_disk_works(driver.requests(0), 1);
    test::expect_disk_works(driver.requests(1), 2);

    ASSERT_TRUE(manager_->change_settings({.worker = "io0"}, change(R"({"poll_budget": 100})", Level::worker)));
    ASSERT_TRUE(manager_->change_settings({.device = "disk0"}, change(R"({"policy": {"poll_budget": null}})")));
    test::expect_disk_works(driver.requests(0), 3);  // work makes them polled again
    test::expect_disk_works(driver.requests(1), 4);
    EXPECT_TRUE(modes_become("polled", "polled"));
}

TEST_F(ManagerWorkers, MayBeAskedFromManyThreads) {
    start({{"io0"}, {"io1"}});
    const control::DeviceSpec device = spec("disk0");
    add(device);
    frontend::BlkDriver driver = drive(device);
    DriverAtWork work(driver.requests());
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 3; ++thread) {
        threads.emplace_back([this, thread] {
            const std::string own = fmt::format("own{}", thread);
            for (int round = 0; round < 20; ++round) {
                EXPECT_TRUE(manager_->add_worker({own}));
                EXPECT_TRUE(manager_->move({"disk0"}, {own}));
                EXPECT_TRUE(manager_->statistics(std::nullopt));
                EXPECT_TRUE(manager_->remove_worker(own));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    work.let_work();
    work.stop();
    EXPECT_THAT(worker_names(), ElementsAre("io0", "io1"));
}

}  // namespace
}  // namespace sidecore::daemon
