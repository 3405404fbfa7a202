// SPDX-License-Identifier: Apache-2.0
#include "endpoint/live_disk.hh"

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

#include "base/log.hh"
#include "memory/fault_guard.hh"

namespace sidecore::endpoint {

namespace {

/// What the daemon's main does for a process; and no log of what the tests do wrong on purpose, unless it is wanted.
class Process : public testing::Environment {
public:
    void SetUp() override {
        must(memory::install_fault_guard());
        ::signal(SIGPIPE, SIG_IGN);
        spdlog::set_level(std::getenv("SIDECORE_TEST_LOG") != nullptr ? spdlog::level::debug : spdlog::level::off);
    }
};

[[maybe_unused]] const testing::Environment* const process = testing::AddGlobalTestEnvironment(new Process);

}  // namespace

TemporaryFolder::TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "sidecore-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) {
        throw std::runtime_error("no temporary folder: " + path);
    }
    path_ = path;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::unique_ptr<engine::Worker> make_worker(const std::string& name) {
    // Whatever else the machine does meanwhile.
    return must(engine::Worker::create({.name = name, .settings = {.good_neighbour = false}}));
}

LiveDisk::LiveDisk(std::unique_ptr<storage::BlockBackend> backend, std::vector<engine::Worker*> workers)
    : LiveDisk(std::move(backend), std::move(workers), Setup{}) {}

LiveDisk::LiveDisk(std::unique_ptr<storage::BlockBackend> backend, std::vector<engine::Worker*> workers, Setup setup) {
    auto disk = must(device::BlkDevice::create(std::move(backend), setup.device));
    disk_ = disk.get();
    Options options;
    options.name = setup.device.name;
    options.role = setup.role;
    options.retry_interval_ns = static_cast<std::uint64_t>(setup.retry_interval.count());
    options.given = std::move(setup.given);
    if (!options.given) {
        options.socket = socket();
    }
    options.on_ended = std::move(setup.on_ended);
    endpoint_ = must(Endpoint::create(std::move(options), std::move(disk), std::move(workers),
                                      std::vector<engine::QueueSettings>(disk_->max_queues(), setup.settings)));
}

frontend::BlkDriver LiveDisk::start(const frontend::BlkDriver::Options& options) const {
    return must(frontend::BlkDriver::start(socket(), patient(options)));
}

void LiveDisk::set_all(const engine::QueueSettings& settings) {
    for (std::uint16_t queue = 0; queue < disk_->max_queues(); ++queue) {
        endpoint_->set_queue(queue, settings);
    }
}

}  // namespace sidecore::endpoint
