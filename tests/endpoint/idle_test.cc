// SPDX-License-Identifier: Apache-2.0
// Devices that are connected, started and idle cost nothing: no wake-up and no CPU time, whatever their number. A tick of
// any period up to ten seconds would show here.
#include <chrono>
#include <cstdint>
#include <dirent.h>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/format.hh"
#include "endpoint/live_disk.hh"

namespace sidecore::endpoint {
namespace {

using engine::Mode;
using engine::PolicyKind;

constexpr auto idle_time = std::chrono::seconds(10);

/// What the kernel has counted of a thread.
struct Usage {
    std::uint64_t voluntary_switches = 0;
    std::uint64_t involuntary_switches = 0;
    std::uint64_t cpu_ns = 0;  // 0 where the kernel does not say

    friend bool operator==(const Usage&, const Usage&) = default;
};

void PrintTo(const Usage& usage, std::ostream* out) {
    *out << fmt::format("{} voluntary and {} involuntary switches, {} ns", usage.voluntary_switches,
                        usage.involuntary_switches, usage.cpu_ns);
}

Usage usage_of(int thread_id) {
    Usage usage;
    std::ifstream status(fmt::format("/proc/self/task/{}/status", thread_id));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("voluntary_ctxt_switches:")) {
            usage.voluntary_switches = std::stoull(line.substr(24));
        } else if (line.starts_with("nonvoluntary_ctxt_switches:")) {
            usage.involuntary_switches = std::stoull(line.substr(27));
        }
    }
    std::ifstream(fmt::format("/proc/self/task/{}/schedstat", thread_id)) >> usage.cpu_ns;
    return usage;
}

std::set<int> threads() {
    std::set<int> ids;
    DIR* const folder = ::opendir("/proc/self/task");
    while (const dirent* const entry = ::readdir(folder)) {
        if (entry->d_name[0] != '.') {
            ids.insert(std::stoi(entry->d_name));
        }
    }
    ::closedir(folder);
    return ids;
}

/// Devices on one worker, each with a driver that has used it and now does nothing.
struct Idlers {
    Idlers(const std::string& worker_name, int devices) : worker(make_worker(worker_name)) {
        for (int i = 0; i < devices; ++i) {
            disks.push_back(std::make_unique<LiveDisk>(
                memory_storage(mebibyte), std::vector{worker.get()},
                LiveDisk::Setup{.device = {.name = fmt::format("{}-{}", worker_name, i)}, .settings = settings()}));
            frontend::BlkDriver::Options options;
            options.requests.slots = 2;
            drivers.push_back(disks.back()->start(options));
        }
    }
    static engine::QueueSettings settings() {
        auto made = with_rate(1, std::chrono::milliseconds(50));  // polled by its first work, and soon no longer
        EXPECT_EQ(made.policy.kind, PolicyKind::rate);
        return made;
    }
    void use_all() {
        for (auto& driver : drivers) {
            must(driver.flush());
        }
    }
    bool all_armed() const {
        for (const auto& disk : disks) {
            const auto counters = disk->counters();
            if (!counters.armed || counters.mode != Mode::notified) {
                return false;
            }
        }
        return true;
    }

    std::unique_ptr<engine::Worker> worker;
    std::vector<std::unique_ptr<LiveDisk>> disks;
    std::vector<frontend::BlkDriver> drivers;
};

/// One device and 32 devices at the same time, each number on its own worker.
TEST(Idle, OneDeviceAndThirtyTwoCostNothing) {
    const std::set<int> before = threads();
    Idlers one("one", 1);
    Idlers many("many", 32);
    one.use_all();
    many.use_all();
    ASSERT_TRUE(eventually([&] { return one.all_armed() && many.all_armed(); }));
    ASSERT_EQ(one.disks.front()->counters().to_polled, 1U);

    std::vector<int> ours;
    for (const int id : threads()) {
        if (!before.contains(id)) {
            ours.push_back(id);
        }
    }
    // Two workers, and the threads of 33 endpoints.
    ASSERT_EQ(ours.size(), 2U + 33U);
    ASSERT_TRUE(std::find(ours.begin(), ours.end(), one.worker->thread_id()) != ours.end());

    // Armed is not asleep yet: a thread that has not gone to sleep still uses CPU time.
    std::map<int, Usage> start;
    ASSERT_TRUE(eventually([&] {
        std::map<int, Usage> now;
        for (const int id : ours) {
            now[id] = usage_of(id);
        }
        const bool quiet = now == start;
        start = std::move(now);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return quiet;
    }));
    ASSERT_GT(start.at(one.worker->thread_id()).voluntary_switches, 0U);  // else the file was not read
    const std::uint64_t cpu_one = one.worker->cpu_time_ns();
    const std::uint64_t cpu_many = many.worker->cpu_time_ns();
    const auto loops_many = many.worker->statistics().loops;

    std::this_thread::sleep_for(idle_time);

    for (const int id : ours) {
        const bool is_worker = id == one.worker->thread_id() || id == many.worker->thread_id();
        EXPECT_EQ(usage_of(id), start.at(id)) << (is_worker ? "a worker" : "an endpoint's thread");
    }
    EXPECT_EQ(one.worker->cpu_time_ns(), cpu_one);
    EXPECT_EQ(many.worker->cpu_time_ns(), cpu_many);
    EXPECT_EQ(many.worker->statistics().loops, loops_many);

    one.use_all();
    many.use_all();  // and they are awake at once
}

}  // namespace
}  // namespace sidecore::endpoint
