// SPDX-License-Identifier: Apache-2.0
#include "daemon/manager.hh"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "daemon/engine_settings.hh"
#include "daemon/manager_fixture.hh"
#include "vhost_user/socket.hh"

namespace sidecore::daemon {
namespace {

using control::Level;
using control::Setting;
using test::eventually;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(ManagerTest, AddsAndDescribesADevice) {
    start();
    control::DeviceSpec device = spec("disk0", 2);
    device.settings[Setting::turn_requests] = 16U;
    const auto added = manager_->add_device(device);
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_EQ(added->name, "disk0");
    EXPECT_EQ(added->type, "blk");
    EXPECT_EQ(added->state, "waiting");
    EXPECT_EQ(added->socket, device.socket);
    EXPECT_EQ(added->socket_mode, "listen");
    EXPECT_EQ(added->sessions, 0U);
    ASSERT_TRUE(added->disk);
    EXPECT_FALSE(added->disk->read_only);
    EXPECT_EQ(added->disk->serial, "disk0");
    EXPECT_EQ(added->disk->capacity_bytes, 1U << 20U);
    EXPECT_EQ(added->disk->storage_kind, "memory");
    EXPECT_EQ(added->settings.number(Setting::turn_requests), 16U);
    ASSERT_EQ(added->queues.size(), 2U);
    EXPECT_EQ(added->queues[1].index, 1);
    EXPECT_EQ(added->queues[1].worker, "io0");
    EXPECT_FALSE(added->queues[1].attached);
    EXPECT_EQ(added->queues[1].mode_age_ns, 0U);
    EXPECT_EQ(added->queues[1].counters.front().first, "poll_kicks");
    EXPECT_EQ(manager_->devices().size(), 1U);

    const control::DaemonInfo daemon = manager_->daemon();
    EXPECT_EQ(daemon.process_id, ::getpid());
    EXPECT_GT(daemon.uptime_ns, 0U);
    EXPECT_EQ(daemon.settings.at(Setting::kind), built_in_queue_settings().at(Setting::kind));
}

TEST_F(ManagerTest, ServesADriver) {
    start();
    const control::DeviceSpec device = spec("disk0", 2);
    add(device);
    frontend::BlkDriver driver = drive(device);
    test::expect_disk_works(driver.requests(0), 1);
    test::expect_disk_works(driver.requests(1), 2);
    EXPECT_THAT(driver.get_id().value(), testing::StartsWith("disk0"));

    const control::DeviceInfo info = manager_->device("disk0").value();
    EXPECT_EQ(info.state, "running");
    EXPECT_EQ(info.sessions, 1U);
    EXPECT_NE(info.features, 0U);
    EXPECT_TRUE(info.queues[1].attached);
    EXPECT_EQ(info.queues[1].size, 16U);
    expect_counts("disk0", 1, "completions", 2);

    const control::Statistics statistics = manager_->statistics(std::nullopt).value();
    EXPECT_GT(statistics.time_ns, 0U);
    EXPECT_GT(statistics.cycles_per_ns, 0.0);
    EXPECT_EQ(statistics.workers.at(0).queues, 2U);
    EXPECT_GT(statistics.workers.at(0).cpu_time_ns, 0U);
    EXPECT_TRUE(std::filesystem::exists(fmt::format("/proc/self/task/{}", statistics.workers.at(0).thread_id)));
}

TEST_F(ManagerTest, RemovingADeviceEndsItsSession) {
    start();
    const control::DeviceSpec device = spec("disk0");
    add(device);
    add(spec("disk1"));
    frontend::BlkDriver driver = drive(device);
    test::expect_disk_works(driver.requests(), 1);
    ASSERT_TRUE(manager_->remove_device("disk0"));
    EXPECT_FALSE(std::filesystem::exists(device.socket));
    EXPECT_FALSE(driver.config());
    EXPECT_EQ(manager_->devices().size(), 1U);
    EXPECT_THAT(manager_->workers().at(0).devices, ElementsAre("disk1"));
    // The name and the socket are free again.
    add(device);
    frontend::BlkDriver next = drive(device);
    test::expect_disk_works(next.requests(), 2);
}

TEST_F(ManagerTest, NamesAndSocketsStayUnique) {
    start();
    const control::DeviceSpec first = spec("disk0");
    add(first);
    EXPECT_EQ(manager_->add_device(first).error().kind, ErrorKind::already_exists);
    control::DeviceSpec second = spec("disk1");
    second.socket = first.socket;
    const auto added = manager_->add_device(second);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().kind, ErrorKind::already_exists);
    EXPECT_THAT(added.error().message, HasSubstr("disk0"));
    EXPECT_TRUE(std::filesystem::exists(first.socket));
}

TEST_F(ManagerTest, WhatCannotBeAddedSaysWhyAndLeavesNothing) {
    start();
    control::DeviceSpec device = spec("disk0");
    device.storage = {control::StorageKind::file, folder_ / "none.img", 0, false, {}, {}};
    const auto missing = manager_->add_device(device);
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().message, testing::AllOf(HasSubstr("disk0: "), HasSubstr("none.img")));

    device = spec("disk0");
    device.worker = "io9";
    EXPECT_EQ(manager_->add_device(device).error().kind, ErrorKind::not_found);
    device = spec("disk0");
    device.queue_specs.push_back({0, "io9", {}});
    EXPECT_EQ(manager_->add_device(device).error().kind, ErrorKind::not_found);
    device = spec("disk0");
    device.socket_group = "no such group";
    EXPECT_EQ(manager_->add_device(device).error().kind, ErrorKind::not_found);
    device = spec("disk0");
    device.socket = folder_ / "none/of/these/disk0.sock";
    EXPECT_FALSE(manager_->add_device(device));
    EXPECT_THAT(manager_->devices(), IsEmpty());
    EXPECT_THAT(manager_->workers().at(0).devices, IsEmpty());
    add(spec("disk0"));
}

TEST_F(ManagerTest, WhatIsNotThereIsNotFound) {
    start();
    add(spec("disk0"));
    EXPECT_EQ(manager_->device("disk1").error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->remove_device("disk1").error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->resize_device("disk1", {512}).error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->statistics("disk1").error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->change_settings({"disk1", {}}, change(R"({"policy": {"kind": "never"}})")).error().kind,
              ErrorKind::not_found);
    const auto no_queue = manager_->change_settings({"disk0", 1}, change(R"({"policy": {"kind": "never"}})"));
    ASSERT_FALSE(no_queue);
    EXPECT_EQ(no_queue.error().kind, ErrorKind::not_found);
}

TEST_F(ManagerTest, SettingsComeFromTheLowestLevelThatSpeaks) {
    start({{"io0"}}, {{Setting::poll_start_rate, 7U}});
    control::DeviceSpec device = spec("disk0", 2);
    device.settings[Setting::tick] = 5'000'000U;
    device.queue_specs.push_back({1, std::nullopt, {{Setting::kind, "always"}}});
    add(device);
    using Sourced = control::Settings::Sourced;
    const auto setting = [this](std::string_view of, std::size_t index, Setting which) {
        return queue(of, index).settings.at(which);
    };

    EXPECT_EQ(setting("disk0", 1, Setting::kind), (Sourced{"always", Level::queue}));
    EXPECT_EQ(setting("disk0", 1, Setting::tick), (Sourced{5'000'000U, Level::device}));
    EXPECT_EQ(setting("disk0", 1, Setting::poll_start_rate), (Sourced{7U, Level::daemon}));
    EXPECT_EQ(setting("disk0", 0, Setting::kind), (Sourced{"adaptive", Level::built_in}));

    auto changed = manager_->change_settings({}, change(R"({"policy": {"kind": "never", "poll_start_rate": null}})"));
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->at(Setting::kind), (Sourced{"never", Level::daemon}));
    EXPECT_EQ(changed->at(Setting::poll_start_rate).source, Level::built_in);
    EXPECT_EQ(setting("disk0", 0, Setting::kind).value, control::SettingValue("never"));
    EXPECT_EQ(setting("disk0", 1, Setting::kind).value, control::SettingValue("always"));

    changed = manager_->change_settings({"disk0", std::nullopt}, change(R"({"policy": {"kind": "rate"}})"));
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->at(Setting::kind).source, Level::device);
    changed = manager_->change_settings({"disk0", 1}, change(R"({"policy": {"kind": null}})"));
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->at(Setting::kind), (Sourced{"rate", Level::device}));

    // A device that comes later lives under the daemon's settings as they are now.
    add(spec("disk1"));
    EXPECT_EQ(setting("disk1", 0, Setting::kind), (Sourced{"never", Level::daemon}));
}

TEST_F(ManagerTest, AChangeOfPolicyHoldsForRunningQueues) {
    start({{"io0"}}, {{Setting::kind, "never"}});
    const control::DeviceSpec device = spec("disk0", 2);
    add(device);
    frontend::BlkDriver driver = drive(device);
    test::expect_disk_works(driver.requests(0), 1);
    EXPECT_EQ(queue("disk0", 0).mode, "notified");

    ASSERT_TRUE(manager_->change_settings({"disk0", 1}, change(R"({"policy": {"kind": "always"}})")));
    EXPECT_EQ(queue("disk0", 0).mode, "notified");
    EXPECT_EQ(queue("disk0", 1).mode, "polled");
    test::expect_disk_works(driver.requests(0), 2);
    test::expect_disk_works(driver.requests(1), 3);
    expect_counts("disk0", 1, "poll_requests", 2);

    ASSERT_TRUE(manager_->change_settings({"disk0", 1}, change(R"({"policy": {"kind": null}})")));
    EXPECT_TRUE(eventually([this] { return queue("disk0", 1).mode == "notified"; }));
    ASSERT_TRUE(manager_->change_settings({}, change(R"({"policy": {"kind": "always"}})")));
    EXPECT_TRUE(
        eventually([this] { return queue("disk0", 0).mode == "polled" && queue("disk0", 1).mode == "polled"; }));
    EXPECT_GT(queue("disk0", 0).mode_age_ns, 0U);
    test::expect_disk_works(driver.requests(1), 4);
}

TEST_F(ManagerTest, TheRateRuleCanBeTunedWhileItRuns) {
    start({{"io0"}}, {{Setting::kind, "rate"}, {Setting::poll_start_rate, 1U}, {Setting::poll_stop_idle, 20'000'000U}});
    const control::DeviceSpec device = spec("disk0");
    add(device);
    frontend::BlkDriver driver = drive(device);
    test::expect_disk_works(driver.requests(), 1);
    EXPECT_TRUE(eventually([this] { return control::counter(queue("disk0").counters, "to_polled") > 0; }));
    EXPECT_TRUE(eventually([this] { return queue("disk0").mode == "notified"; })) << "after poll_stop_idle";
    test::expect_disk_works(driver.requests(), 2);

    ASSERT_TRUE(manager_->change_settings({}, change(R"({"policy": {"poll_start_rate": 0}})")));
    EXPECT_TRUE(eventually([this] { return queue("disk0").mode == "notified"; }));
    const std::uint64_t before = control::counter(queue("disk0").counters, "to_polled");
    for (unsigned i = 0; i < 50; ++i) {
        test::expect_disk_works(driver.requests(), i);
    }
    EXPECT_EQ(control::counter(queue("disk0").counters, "to_polled"), before) << "poll_start_rate 0 never polls";
}

TEST_F(ManagerTest, QueuesGoToTheWorkerWithTheFewest) {
    start({{"io0"}, {"io1"}, {"io2"}});
    add(spec("a", 4));
    add(spec("b", 1));
    add(spec("c", 2));
    add(spec("d", 1));
    control::DeviceSpec chosen = spec("e", 3);
    chosen.worker = "io0";
    chosen.queue_specs.push_back({1, "io2", {}});
    add(chosen);
    const auto worker_of = [this](std::string_view device, std::size_t index) { return queue(device, index).worker; };
    EXPECT_EQ(worker_of("a", 3), "io0");
    EXPECT_EQ(worker_of("b", 0), "io1");
    EXPECT_EQ(worker_of("c", 1), "io2");
    EXPECT_EQ(worker_of("d", 0), "io1");
    EXPECT_EQ(worker_of("e", 0), "io0");
    EXPECT_EQ(worker_of("e", 1), "io2");
    EXPECT_EQ(worker_of("e", 2), "io0");
    EXPECT_THAT(manager_->workers().at(2).devices, ElementsAre("c", "e"));

    const control::Statistics statistics = manager_->statistics("e").value();
    ASSERT_EQ(statistics.workers.size(), 2U);
    EXPECT_EQ(statistics.workers[1].name, "io2");
    ASSERT_EQ(statistics.devices.size(), 1U);

    frontend::BlkDriver driver = drive(chosen);
    test::expect_disk_works(driver.requests(0), 1);
    test::expect_disk_works(driver.requests(1), 2);
}

TEST_F(ManagerTest, AWorkerThatCannotBePinnedIsAnError) {
    const auto manager = Manager::create({.workers = {{"io0", 1023}}});
    ASSERT_FALSE(manager);
    EXPECT_THAT(manager.error().message, HasSubstr("there is no CPU 1023 for worker io0; the daemon may use CPU "));
    start({{"io0", 0}});
    EXPECT_EQ(manager_->workers().at(0).cpu, 0U);
}

TEST_F(ManagerTest, ExplainsItsQueues) {
    start({{"io0"}}, {{Setting::kind, "always"}});
    const control::DeviceSpec device = spec("disk0", 2);
    add(device);
    EXPECT_THAT(manager_->explain({"disk0"}).value().queues.at(1).text,
                ElementsAre("Nobody serves it: its driver has not started it."));
    frontend::BlkDriver driver = drive(device);
    test::expect_disk_works(driver.requests(0), 1);
    expect_counts("disk0", 0, "poll_requests", 2);

    const auto all = manager_->explain({"disk0"});
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_EQ(all->device, "disk0");
    ASSERT_EQ(all->queues.size(), 2U);
    const control::QueueReasons& reasons = all->queues[0];
    EXPECT_EQ(reasons.mode, "polled");
    EXPECT_EQ(reasons.policy, "always");
    EXPECT_GT(reasons.mode_age_ns, 0U);
    EXPECT_GE(reasons.kicks_avoided, 1U);
    EXPECT_GT(reasons.saved_ns, 0U);
    EXPECT_GT(reasons.request_ns, 0);
    EXPECT_THAT(reasons.text, testing::Contains("The queue is polled: its policy is to do so always."));

    const auto one = manager_->explain({"disk0", 1});
    ASSERT_TRUE(one);
    ASSERT_EQ(one->queues.size(), 1U);
    EXPECT_EQ(one->queues[0].index, 1);
    EXPECT_EQ(manager_->explain({"disk0", 2}).error().message,
              "the device \"disk0\" has no queue 2; it has queues 0 to 1");
    EXPECT_EQ(manager_->explain({"none"}).error().kind, ErrorKind::not_found);
}

TEST_F(ManagerTest, LatenciesAreCountedAndCpuTimeAddsUp) {
    start({{"io0"}, {"io1"}});
    control::DeviceSpec first = spec("disk0", 2);
    first.vm = "web";
    first.queue_specs = {{0, "io0", {}}, {1, "io1", {}}};
    add(first);
    control::DeviceSpec second = spec("disk1");
    second.vm = "web";
    add(second);
    frontend::BlkDriver drivers[] = {drive(first), drive(second)};
    // Workers that sleep when they are asked use nothing between the reading of one figure and of the next.
    const auto decide = [this](const control::SettingsTarget& target, const char* policy) {
        ASSERT_TRUE(manager_->change_settings(target, {{{Setting::kind, policy}}, {}}));
    };
    decide({}, "never");
    const control::Statistics before = manager_->statistics(std::nullopt).value();
    decide({.device = "disk0", .queue = 0}, "always");
    // Each queue its own blocks: what orders two workers here goes through the guest, where ThreadSanitizer does not look.
    for (unsigned i = 0; i < 200; ++i) {
        test::expect_disk_works(drivers[0].requests(0), i % 32);
        test::expect_disk_works(drivers[0].requests(1), 64 + i % 32);
        test::expect_disk_works(drivers[1].requests(), i % 32);
    }
    decide({.device = "disk0", .queue = 0}, "never");
    const control::Statistics after = manager_->statistics(std::nullopt).value();

    const control::QueueInfo& queue = after.devices.at(0).queues.at(0);
    EXPECT_GE(queue.service_times.count(), 400U);
    EXPECT_GT(queue.wait_times.count(), 0U);
    EXPECT_GT(queue.service_times.quantile_ns(0.5), 0U);
    EXPECT_LE(queue.service_times.quantile_ns(0.5), queue.service_times.quantile_ns(0.999));
    EXPECT_LT(queue.service_times.quantile_ns(1), 20'000'000'000U);

    const control::CpuInfo cpu = after.devices[0].cpu;
    EXPECT_GT(cpu.serving_ns, 0U);
    EXPECT_GT(cpu.polling_ns, 0U) << "queue 0 is polled always";
    EXPECT_GT(cpu.waking_ns, 0U) << "queue 1 wakes its worker up";
    ASSERT_EQ(after.vms.size(), 1U);
    EXPECT_EQ(after.vms[0].name, "web");
    EXPECT_EQ(after.vms[0].cpu.total_ns(), cpu.total_ns() + after.devices[1].cpu.total_ns());

    // What queues and nobody have used is what the threads have used.
    const auto accounted = [](const control::Statistics& statistics) {
        std::uint64_t sum_ns = 0;
        for (const control::DeviceInfo& device : statistics.devices) {
            sum_ns += device.cpu.total_ns();
        }
        for (const control::WorkerInfo& worker : statistics.workers) {
            sum_ns += control::counter(worker.counters, "cpu_other_ns");
        }
        return static_cast<double>(sum_ns);
    };
    const auto used = [](const control::Statistics& statistics) {
        std::uint64_t sum_ns = 0;
        for (const control::WorkerInfo& worker : statistics.workers) {
            sum_ns += worker.cpu_time_ns;
        }
        return static_cast<double>(sum_ns);
    };
    const double used_ns = used(after) - used(before);
    EXPECT_GT(used_ns, 5e6);
    EXPECT_NEAR(accounted(after) - accounted(before), used_ns,
                used_ns * 0.01 + 500e3);  // and going to sleep after having been asked
}

TEST_F(ManagerTest, AResizeReachesTheDriver) {
    start();
    const control::DeviceSpec device = spec("disk0");
    add(device);
    frontend::BlkDriver driver = drive(device);
    const auto resized = manager_->resize_device("disk0", {4U << 20U});
    ASSERT_TRUE(resized) << resized.error().message;
    EXPECT_EQ(resized->disk->capacity_bytes, 4U << 20U);
    const auto announced = driver.client().wait_for_backend_request(std::chrono::seconds(10));
    ASSERT_TRUE(announced) << announced.error().message;
    EXPECT_EQ(driver.config().value().capacity, (4U << 20U) / 512);
    std::vector<std::byte> sector(512);
    EXPECT_TRUE(driver.read((4U << 20U) / 512 - 1, sector));
}

TEST_F(ManagerTest, AFileThatHasGrownIsTakenOver) {
    start();
    const std::string path = folder_ / "disk.img";
    std::ofstream(path).flush();
    std::filesystem::resize_file(path, 1U << 20U);
    control::DeviceSpec device = spec("disk0");
    device.storage = {control::StorageKind::file, path, 0, false, {}, {}};
    add(device);
    EXPECT_EQ(manager_->device("disk0").value().disk->capacity_bytes, 1U << 20U);
    EXPECT_THAT(manager_->device("disk0").value().disk->storage_description, HasSubstr(path));
    std::filesystem::resize_file(path, 3U << 20U);
    const auto resized = manager_->resize_device("disk0", {});
    ASSERT_TRUE(resized) << resized.error().message;
    EXPECT_EQ(resized->disk->capacity_bytes, 3U << 20U);
    frontend::BlkDriver driver = drive(device);
    test::expect_disk_works(driver.requests(), 3);
}

TEST_F(ManagerTest, ANetworkDeviceHasLimitsThatCanBeChanged) {
    start();
    control::DeviceSpec device = spec("net0");
    device.type = "net";
    device.queues = 3;
    device.net.limits = {.transmit_rate_bits = 1'000'000, .burst_ns = 1'000'000};
    const auto added = manager_->add_device(device);
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_EQ(added->net->limits, device.net.limits);
    EXPECT_EQ(control::counter(added->net->transmitted, "throttled"), 0U);

    const auto changed = manager_->limit_device("net0", {.receive_packets = 1000, .burst_ns = 0});
    ASSERT_TRUE(changed) << changed.error().message;
    EXPECT_EQ(changed->net->limits, (control::NetLimits{.transmit_rate_bits = 1'000'000, .receive_packets = 1000}));
    EXPECT_EQ(manager_->device("net0").value().net->limits, changed->net->limits);

    add(spec("disk0"));
    EXPECT_EQ(manager_->limit_device("disk0", {.burst_ns = 0}).error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(manager_->limit_device("none", {.burst_ns = 0}).error().kind, ErrorKind::not_found);
}

TEST_F(ManagerTest, ConnectsToAFrontEndThatListens) {
    start();
    control::DeviceSpec device = spec("disk0");
    device.mode = control::SocketMode::connect;
    device.retry_interval_ns = 10'000'000;
    add(device);
    EXPECT_EQ(manager_->device("disk0").value().socket_mode, "connect");
    const Fd listener = vhost_user::listen_unix(device.socket).value();
    frontend::Client client(vhost_user::accept_unix(listener.get()).value());
    auto driver = frontend::BlkDriver::start(std::move(client), test::small_driver());
    ASSERT_TRUE(driver) << driver.error().message;
    test::expect_disk_works(driver->requests(), 1);
}

TEST_F(ManagerTest, SocketsHaveThePermissionsOfTheSpec) {
    start();
    control::DeviceSpec device = spec("disk0");
    add(device);
    struct stat status {};
    ASSERT_EQ(::lstat(device.socket.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    device = spec("disk1");
    device.socket_permissions = 0666;
    device.socket_group = "root";
    add(device);
    ASSERT_EQ(::lstat(device.socket.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0666U);
}

TEST_F(ManagerTest, EndsWithDriversStillThere) {
    start();
    std::vector<frontend::BlkDriver> drivers;
    for (int i = 0; i < 4; ++i) {
        const control::DeviceSpec device = spec(fmt::format("disk{}", i));
        add(device);
        drivers.push_back(drive(device));
        test::expect_disk_works(drivers.back().requests(), 1);
    }
    manager_.reset();
    for (frontend::BlkDriver& driver : drivers) {
        EXPECT_FALSE(driver.config());
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace sidecore::daemon
