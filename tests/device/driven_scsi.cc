// SPDX-License-Identifier: Apache-2.0
#include "device/driven_scsi.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <poll.h>

#include "scsi/sense.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::device {

using frontend::ScsiFinished;
using frontend::ScsiFunction;
using frontend::ScsiLun;
using frontend::ScsiRequest;
using frontend::ScsiResponse;
using storage::FakeDisk;

namespace {

bool readable(int fd) {
    pollfd one{fd, POLLIN, 0};
    return fd >= 0 && ::poll(&one, 1, 0) == 1;
}

std::uint64_t memory_needed(const DrivenScsi::Options& options) {
    const std::uint64_t slots = options.requests.slots * (options.device.queues + 1U);
    return 4 * mebibyte + slots * (options.requests.bytes_per_slot + 32768U) + options.event_buffers * 32768U;
}

}  // namespace

std::shared_ptr<scsi::LogicalUnit> unit_on(const std::shared_ptr<FakeDisk>& disk) {
    return must(scsi::LogicalUnit::create(disk->open(), {}));
}

std::optional<scsi::Sense> sense_of(const ScsiFinished& finished) {
    const auto written = std::min<std::size_t>(finished.sense_bytes, finished.sense.size());
    return scsi::read_sense(std::span(finished.sense).first(written));
}

bool failed_with(const ScsiFinished& finished, scsi::SenseKey key, scsi::AdditionalSense code) {
    const auto sense = sense_of(finished);
    return finished.response == ScsiResponse::ok && finished.status == 2 && sense && sense->key == key &&
           sense->code == code;
}

DrivenScsi::DrivenScsi(const Options& options)
    : device_(must(ScsiDevice::create(options.device))),
      memory_(std::make_unique<frontend::GuestMemoryFile>(
          must(frontend::GuestMemoryFile::create(memory_needed(options))))) {
    if (options.with_unit) {
        disk_ = add(0, 0);  // before anybody wants to hear of it
    }
    const std::uint64_t features = device_->features() & ~options.refused_features;
    device_->accept_features(features);
    const bool event_index = (features & scsi_host::feature_event_index) != 0;
    for (std::uint16_t i = 0; i < device_->max_queues(); ++i) {
        queues_.push_back(make_queue(i, options.ring_size, event_index));
    }
    control_ = must(frontend::ScsiControl::create(*memory_, *queues_[0].driver,
                                                  {.slots = options.requests.slots, .bytes_per_slot = 8192}));
    events_ = must(frontend::ScsiEventBuffers::create(*memory_, *queues_[1].driver, options.event_buffers));
    for (std::size_t i = 2; i < queues_.size(); ++i) {
        requests_.push_back(must(frontend::ScsiRequests::create(*memory_, *queues_[i].driver, options.requests)));
    }
}

DrivenQueue DrivenScsi::make_queue(std::uint16_t index, std::uint16_t size, bool event_index) {
    DrivenQueue made;
    made.driver = std::make_unique<frontend::DriverQueue>(
        must(frontend::DriverQueue::create(*memory_, {.size = size, .event_index = event_index})));
    const frontend::SplitRing& ring = made.driver->ring();
    auto device_ring = must(
        virtqueue::SplitQueue::create(map_of(*memory_), {.size = ring.size(),
                                                         .descriptor = memory_->user(ring.descriptor_area().address),
                                                         .available = memory_->user(ring.available_area().address),
                                                         .used = memory_->user(ring.used_area().address),
                                                         .next_available = made.driver->available_index(),
                                                         .event_index = event_index,
                                                         .indirect = true}));
    const auto copy = [](int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); };
    Notifiers notifiers{copy(made.driver->kick_fd()), copy(made.driver->call_fd()), copy(made.driver->error_fd()), {}};
    made.device = must(device_->create_queue(index, std::move(device_ring), std::move(notifiers)));
    made.device->entered();
    return made;
}

std::shared_ptr<FakeDisk> DrivenScsi::add(std::uint8_t target, std::uint16_t lun, std::uint64_t bytes) {
    const auto disk = FakeDisk::create(bytes);
    const auto unit = unit_on(disk);
    must(domain().add(target, scsi::Lun(lun), unit));
    for (const auto& nexus : domain().nexuses(target)) {
        while (nexus->take_attention()) {
        }
    }
    if (unit_ == nullptr) {
        unit_ = unit;
    }
    return disk;
}

/// One turn and one look at what has ended, as a worker gives them.
bool DrivenScsi::work_once(DeviceQueue& queue) {
    const engine::Turn turn = queue.serve(64);
    bool any = turn.requests != 0;
    if (queue.in_flight() != 0 || readable(queue.completion_fd())) {
        any |= queue.reap().requests != 0 || readable(queue.completion_fd());
    }
    return any;
}

void DrivenScsi::work() {
    for (bool any = true; any;) {
        any = false;
        for (const DrivenQueue& queue : queues_) {
            if (queue.device != nullptr) {
                any |= work_once(*queue.device);
            }
        }
    }
}

void DrivenScsi::work(std::size_t queue) {
    while (work_once(*queues_.at(queue).device)) {
    }
}

std::uint64_t DrivenScsi::offer(const ScsiRequest& request, std::size_t queue) {
    const std::uint64_t ticket = must(requests(queue).submit(request));
    requests(queue).queue().publish();
    return ticket;
}

std::uint64_t DrivenScsi::offer(ScsiFunction function, const ScsiLun& lun, std::uint64_t id) {
    const std::uint64_t ticket = must(control_->submit(function, lun, id));
    control_->queue().publish();
    return ticket;
}

void DrivenScsi::offer_raw(std::size_t vring, std::span<const frontend::Piece> pieces) {
    frontend::DriverQueue& driver = *queues_.at(vring).driver;
    const auto head = driver.format(pieces);
    if (!head) {
        throw std::runtime_error("too few free descriptors");
    }
    driver.offer(*head);
    driver.publish();
}

ScsiFinished DrivenScsi::run(const ScsiRequest& request, std::size_t queue) {
    const std::uint64_t ticket = offer(request, queue);
    work();
    const auto all = finished(queue);
    if (all.size() != 1 || all.front().ticket != ticket) {
        throw std::runtime_error("not this request has finished");
    }
    return all.front();
}

ScsiResponse DrivenScsi::run(ScsiFunction function, const ScsiLun& lun, std::uint64_t id) {
    offer(function, lun, id);
    work();
    const auto all = answers();
    return all.size() == 1 ? all.front().response : ScsiResponse::not_written;
}

ScsiResponse DrivenScsi::run_control(std::span<const std::byte> request, std::size_t answer_bytes) {
    must(control_->submit_raw(request, answer_bytes));
    control_->queue().publish();
    work();
    const auto all = answers();
    return all.size() == 1 ? all.front().response : ScsiResponse::not_written;
}

void DrivenScsi::add_event_buffers(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
        must(events_->add());
    }
    events_->queue().publish();
}

frontend::ScsiConfig DrivenScsi::config() const {
    frontend::ScsiConfig config{};
    std::array<std::byte, sizeof config> bytes{};
    device_->read_config(0, bytes);
    std::memcpy(&config, bytes.data(), sizeof config);
    return config;
}

}  // namespace sidecore::device
