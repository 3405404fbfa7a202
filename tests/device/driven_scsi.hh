// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "device/device_queue.hh"
#include "device/driven_disk.hh"
#include "device/scsi_device.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/scsi_control.hh"
#include "frontend/scsi_requests.hh"
#include "scsi/logical_unit.hh"
#include "storage/fake_backend.hh"

namespace sidecore::device {

/// A queue of a device, driven from both sides.
struct DrivenQueue {
    std::unique_ptr<frontend::DriverQueue> driver;
    std::unique_ptr<DeviceQueue> device;

    bool broken() const { return device->broken(); }
};

/// A SCSI device, its control queue, event queue and request queues driven by hand, driver's side and device's side, on one thread: no socket,
/// no worker. Target 0 has a logical unit 0 on a fake disk, whose first unit attention has been taken.
class DrivenScsi {
public:
    struct Options {
        ScsiDevice::Options device{};
        std::uint64_t refused_features = 0;  ///< what the driver does not accept of the offer
        std::uint16_t ring_size = 64;
        frontend::ScsiRequests::Options requests{.slots = 16, .bytes_per_slot = 128 * 1024};
        std::uint32_t event_buffers = 32;
        bool with_unit = true;
    };

    static constexpr std::uint64_t disk_bytes = 2U << 20U;

    DrivenScsi() : DrivenScsi(Options{}) {}
    explicit DrivenScsi(const Options& options);

    /// Adds a unit on a fake disk of its own, and takes the unit attentions that its target has.
    std::shared_ptr<storage::FakeDisk> add(std::uint8_t target, std::uint16_t lun, std::uint64_t bytes = disk_bytes);

    /// Does what workers would do, until no queue has anything to do at the moment.
    void work();
    /// Likewise with one queue alone.
    void work(std::size_t queue);

    // Whole requests.
    frontend::ScsiFinished run(const frontend::ScsiRequest& request, std::size_t queue = 0);
    frontend::ScsiResponse run(frontend::ScsiFunction function, const frontend::ScsiLun& lun, std::uint64_t id = 0);
    frontend::ScsiResponse run_control(std::span<const std::byte> request, std::size_t answer_bytes);

    /// Put into the ring, where the device sees it. A ticket.
    std::uint64_t offer(const frontend::ScsiRequest& request, std::size_t queue = 0);
    std::uint64_t offer(frontend::ScsiFunction function, const frontend::ScsiLun& lun, std::uint64_t id = 0);
    /// A chain that is no request.
    void offer_raw(std::size_t vring, std::span<const frontend::Piece> pieces);

    /// What has come back so far and was not asked for before.
    std::vector<frontend::ScsiFinished> finished(std::size_t queue = 0) { return must(requests(queue).take()); }
    std::vector<frontend::ScsiControl::Finished> answers() { return must(control_->take()); }
    std::vector<frontend::ScsiEvent> events() { return must(events_->take()); }
    void add_event_buffers(std::uint32_t count);

    ScsiDevice& device() noexcept { return *device_; }
    scsi::Domain& domain() noexcept { return device_->domain(); }
    storage::FakeDisk& disk() noexcept { return *disk_; }
    scsi::LogicalUnit& unit() noexcept { return *unit_; }
    frontend::ScsiRequests& requests(std::size_t queue = 0) { return requests_.at(queue); }
    frontend::ScsiControl& control() noexcept { return *control_; }
    frontend::ScsiEventBuffers& event_buffers() noexcept { return *events_; }
    frontend::GuestMemoryFile& memory() noexcept { return *memory_; }

    /// As they are numbered: control, events, requests.
    DrivenQueue& vring(std::size_t index) { return queues_.at(index); }
    DeviceQueue& queue(std::size_t request_queue = 0) { return *queues_.at(request_queue + 2).device; }

    frontend::ScsiConfig config() const;

private:
    DrivenQueue make_queue(std::uint16_t index, std::uint16_t size, bool event_index);
    bool work_once(DeviceQueue& queue);

    std::unique_ptr<ScsiDevice> device_;
    std::shared_ptr<storage::FakeDisk> disk_;
    std::shared_ptr<scsi::LogicalUnit> unit_;
    std::unique_ptr<frontend::GuestMemoryFile> memory_;
    std::vector<DrivenQueue> queues_;
    std::optional<frontend::ScsiControl> control_;
    std::optional<frontend::ScsiEventBuffers> events_;
    std::vector<frontend::ScsiRequests> requests_;
};

/// A unit on a disk.
std::shared_ptr<scsi::LogicalUnit> unit_on(const std::shared_ptr<storage::FakeDisk>& disk);

/// The sense data of a finished request.
std::optional<scsi::Sense> sense_of(const frontend::ScsiFinished& finished);
bool failed_with(const frontend::ScsiFinished& finished, scsi::SenseKey key, scsi::AdditionalSense code);

}  // namespace sidecore::device
