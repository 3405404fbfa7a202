// SPDX-License-Identifier: Apache-2.0
#include "frontend/blk_driver.hh"

#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

namespace sidecore::frontend {

namespace {

constexpr std::uint64_t mebibyte = 1ULL << 20U;

/// Generous: unused pages of a memfd cost nothing.
std::uint64_t memory_needed(const BlkDriver::Options& options) {
    const std::uint64_t ring = 64ULL * options.queue.size + 4096;
    const std::uint64_t slot = options.requests.bytes_per_slot + 32768ULL;
    return mebibyte + options.queues * (ring + options.requests.slots * slot);
}

}  // namespace

Result<BlkDriver> BlkDriver::start(const std::filesystem::path& socket, const Options& options) {
    SIDECORE_TRY_ASSIGN(Client client, Client::connect(socket));
    return start(std::move(client), options);
}

Result<BlkDriver> BlkDriver::start(Client client, const Options& options) {
    Wishes wishes = options.wishes;
    if (!options.queue.event_index) {
        wishes.features &= ~feature_mask(feature_event_index);
    }
    SIDECORE_TRY(client.negotiate(wishes));
    const std::uint64_t bytes = options.memory_bytes != 0 ? options.memory_bytes : memory_needed(options);
    SIDECORE_TRY_ASSIGN(GuestMemoryFile memory, GuestMemoryFile::create(bytes));
    BlkDriver driver(std::move(client), std::make_unique<GuestMemoryFile>(std::move(memory)));

    QueueOptions queue_options = options.queue;
    queue_options.event_index = driver.client_.has(feature_event_index);
    driver.queues_->reserve(options.queues);
    for (std::uint16_t i = 0; i < options.queues; ++i) {
        SIDECORE_TRY_ASSIGN(DriverQueue queue, DriverQueue::create(*driver.memory_, queue_options));
        driver.queues_->push_back(std::move(queue));
        SIDECORE_TRY_ASSIGN(BlkRequests requests,
                            BlkRequests::create(*driver.memory_, driver.queues_->back(), options.requests));
        driver.requests_.push_back(std::move(requests));
    }
    SIDECORE_TRY(driver.client_.start(*driver.memory_, *driver.queues_));
    return driver;
}

Result<BlkConfig> BlkDriver::config() {
    SIDECORE_TRY_ASSIGN(const auto bytes, client_.get_config(0, blk_config_bytes));
    BlkConfig config{};
    std::memcpy(&config, bytes.data(), bytes.size());
    return config;
}

Result<void> BlkDriver::set_writeback(bool writeback) {
    const std::array value{static_cast<std::byte>(writeback ? 1 : 0)};
    return client_.set_config(offsetof(BlkConfig, writeback), value);
}

}  // namespace sidecore::frontend
