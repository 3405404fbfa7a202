// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "device/blk_device.hh"
#include "device/driven_disk.hh"
#include "endpoint/endpoint.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"
#include "frontend/blk_driver.hh"
#include "storage/fake_backend.hh"
#include "storage/memory_backend.hh"

namespace sidecore::endpoint {

using device::mebibyte;
using device::must;
using device::pattern;

/// An empty folder of its own, removed with all that is in it.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

std::unique_ptr<engine::Worker> make_worker(const std::string& name = "worker");

inline engine::QueueSettings with_policy(engine::PolicyKind kind) {
    return {.policy = {.kind = kind}};
}

/// The rule of the 2014 patch with a tick of a second, so that `start_rate` works are soon together.
inline engine::QueueSettings with_rate(std::uint32_t start_rate, std::chrono::nanoseconds stop_idle) {
    return {.policy = {.kind = engine::PolicyKind::rate,
                       .poll_start_rate = start_rate,
                       .poll_stop_idle_ns = static_cast<std::uint64_t>(stop_idle.count()),
                       .tick_ns = 1'000'000'000}};
}

inline std::unique_ptr<storage::BlockBackend> memory_storage(std::uint64_t capacity_bytes) {
    return must(storage::MemoryBackend::create({.capacity_bytes = capacity_bytes}));
}

/// Waits as long as a slow machine under a sanitizer may take.
inline frontend::BlkDriver::Options patient(frontend::BlkDriver::Options options = {}) {
    options.requests.timeout = std::chrono::seconds(30);
    return options;
}

/// A block device on its socket, in a folder of its own, on workers that outlive it.
class LiveDisk {
public:
    struct Setup {
        device::BlkDevice::Options device{};
        engine::QueueSettings settings = with_policy(engine::PolicyKind::never);
        Role role = Role::listen;
        std::chrono::nanoseconds retry_interval = std::chrono::milliseconds(20);
        Fd given{};
        std::function<void()> on_ended{};
    };

    LiveDisk(std::unique_ptr<storage::BlockBackend> backend, std::vector<engine::Worker*> workers);
    LiveDisk(std::unique_ptr<storage::BlockBackend> backend, std::vector<engine::Worker*> workers, Setup setup);

    std::filesystem::path socket() const { return folder_.path() / "socket"; }
    Endpoint& endpoint() noexcept { return *endpoint_; }
    device::BlkDevice& disk() noexcept { return *disk_; }
    Info info() const { return endpoint_->info(); }
    engine::QueueSnapshot counters(std::size_t queue = 0) const { return info().queues.at(queue).counters; }

    /// A driver that has started all queues that its options say.
    frontend::BlkDriver start(const frontend::BlkDriver::Options& options = {}) const;

    /// Another policy for every queue, from now on.
    void set_all(const engine::QueueSettings& settings);

    /// Until the queue waits for kicks.
    bool eventually_armed(std::size_t queue = 0) const {
        return eventually([&] { return counters(queue).armed; });
    }

private:
    TemporaryFolder folder_;
    device::BlkDevice* disk_ = nullptr;  // the endpoint's
    std::unique_ptr<Endpoint> endpoint_;
};

}  // namespace sidecore::endpoint
