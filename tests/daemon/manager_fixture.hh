// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/guest.hh"
#include "daemon/manager.hh"
#include "daemon/scratch_folder.hh"

namespace sidecore::daemon {

inline control::SettingsChange change(std::string_view json, control::Level level = control::Level::daemon) {
    return control::parse_settings_change(json, level).value();
}

class ManagerTest : public ::testing::Test {
protected:
    /// Workers do not mind others on their CPU, so that on a busy machine they do what the test is about.
    void start(std::vector<control::WorkerSpec> workers = {{"io0"}}, control::SettingValues settings = {}) {
        settings.emplace(control::Setting::good_neighbour, false);
        auto manager = Manager::create({std::move(workers), std::move(settings)});
        ASSERT_TRUE(manager) << manager.error().message;
        manager_ = std::move(*manager);
    }

    control::DeviceSpec spec(const std::string& name, std::uint16_t queues = 1) const {
        control::DeviceSpec spec;
        spec.name = name;
        spec.socket = folder_ / (name + ".sock");
        spec.queues = queues;
        spec.storage.kind = control::StorageKind::memory;
        spec.storage.size_bytes = 1U << 20U;
        return spec;
    }

    void add(const control::DeviceSpec& device) {
        const auto added = manager_->add_device(device);
        ASSERT_TRUE(added) << added.error().message;
    }

    frontend::BlkDriver drive(const control::DeviceSpec& device) {
        return frontend::BlkDriver::start(device.socket, test::small_driver(device.queues)).value();
    }

    std::vector<std::string> worker_names() {
        std::vector<std::string> names;
        for (const control::WorkerInfo& worker : manager_->workers()) {
            names.push_back(worker.name);
        }
        return names;
    }

    control::QueueInfo queue(std::string_view device, std::size_t index = 0) {
        return manager_->device(device).value().queues.at(index);
    }

    /// A driver may see its request completed a moment before it is counted, at the end of the turn.
    void expect_counts(std::string_view device, std::size_t index, std::string_view counter, std::uint64_t value) {
        EXPECT_TRUE(test::eventually([&] { return control::counter(queue(device, index).counters, counter) >= value; }))
            << control::counter(queue(device, index).counters, counter) << " " << counter;
    }

    test::ScratchFolder folder_;
    std::unique_ptr<Manager> manager_;
};

}  // namespace sidecore::daemon
