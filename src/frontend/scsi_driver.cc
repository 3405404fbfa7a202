// SPDX-License-Identifier: Apache-2.0
#include "frontend/scsi_driver.hh"

#include <cstring>
#include <utility>

namespace sidecore::frontend {

namespace {

/// All queues, slots and tables, and some. Pages that are not used cost nothing.
std::uint64_t memory_needed(const ScsiDriver::Options& options) {
    const std::uint64_t slots = options.requests.slots * (options.queues + 1ULL);
    return options.load_bytes + (1U << 21U) + (options.queues + 2ULL) * (64ULL * options.queue.size + 4096) +
           slots * (options.requests.bytes_per_slot + 32768ULL) + options.event_buffers * 32768ULL;
}

}  // namespace

Result<ScsiDriver> ScsiDriver::start(const std::filesystem::path& socket, const Options& options) {
    SIDECORE_TRY_ASSIGN(Client client, Client::connect(socket));
    SIDECORE_TRY(client.negotiate(options.wishes));
    SIDECORE_TRY_ASSIGN(GuestMemoryFile memory, GuestMemoryFile::create(memory_needed(options)));
    ScsiDriver driver(std::move(client), std::make_unique<GuestMemoryFile>(std::move(memory)));

    QueueOptions queue_options = options.queue;
    queue_options.event_index = driver.client_.has(feature_event_index);
    for (std::size_t i = 0; i < scsi_fixed_queues + options.queues; ++i) {
        SIDECORE_TRY_ASSIGN(DriverQueue queue, DriverQueue::create(*driver.memory_, queue_options));
        driver.queues_->push_back(std::move(queue));
    }
    auto& queues = *driver.queues_;
    SIDECORE_TRY_ASSIGN(driver.control_,
                        ScsiControl::create(*driver.memory_, queues[scsi_control_queue], options.requests));
    SIDECORE_TRY_ASSIGN(driver.events_,
                        ScsiEventBuffers::create(*driver.memory_, queues[scsi_event_queue], options.event_buffers));
    for (std::size_t i = 0; i < options.queues; ++i) {
        SIDECORE_TRY_ASSIGN(auto requests,
                            ScsiRequests::create(*driver.memory_, queues[scsi_fixed_queues + i], options.requests));
        driver.requests_.push_back(std::move(requests));
    }
    for (std::uint32_t i = 0; i < options.event_buffers; ++i) {
        SIDECORE_TRY(driver.events_->add());
    }
    SIDECORE_TRY(driver.client_.start(*driver.memory_, queues));
    queues[scsi_event_queue].publish();  // a vring starts behind what is there before it
    return driver;
}

Result<ScsiConfig> ScsiDriver::config() {
    SIDECORE_TRY_ASSIGN(const auto bytes, client_.get_config(0, sizeof(ScsiConfig)));
    ScsiConfig config{};
    std::memcpy(&config, bytes.data(), bytes.size());
    return config;
}

}  // namespace sidecore::frontend
