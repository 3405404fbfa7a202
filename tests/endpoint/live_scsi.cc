// SPDX-License-Identifier: Apache-2.0
#include "endpoint/live_scsi.hh"

#include <utility>

namespace sidecore::endpoint {

LiveScsi::LiveScsi(std::vector<engine::Worker*> workers, std::uint16_t queues, const engine::QueueSettings& settings) {
    auto device = must(device::ScsiDevice::create({.queues = queues}));
    device_ = device.get();
    Options options;
    options.name = "scsi";
    options.socket = socket();
    endpoint_ = must(Endpoint::create(std::move(options), std::move(device), std::move(workers),
                                      std::vector<engine::QueueSettings>(device_->max_queues(), settings)));
}

void LiveScsi::add(std::uint16_t lun, const std::shared_ptr<storage::FakeDisk>& disk) {
    must(domain().add(0, scsi::Lun(lun), must(scsi::LogicalUnit::create(disk->open(), {}))));
}

frontend::ScsiDriver LiveScsi::start(std::uint16_t queues) const {
    frontend::ScsiDriver::Options options;
    options.queues = queues;
    options.queue.size = 128;
    options.requests = {.slots = 16, .bytes_per_slot = 64 * 1024, .timeout = std::chrono::seconds(30)};
    return must(frontend::ScsiDriver::start(socket(), options));
}

void LiveScsi::set_all(const engine::QueueSettings& settings) {
    for (std::uint16_t vring = 0; vring < vrings(); ++vring) {
        endpoint_->set_queue(vring, settings);
    }
}

}  // namespace sidecore::endpoint
