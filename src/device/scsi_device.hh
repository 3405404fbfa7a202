// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "device/device.hh"
#include "device/scsi_events.hh"
#include "device/scsi_layout.hh"
#include "device/scsi_request_queue.hh"
#include "scsi/domain.hh"

namespace sidecore::device {

/// A virtio SCSI host device (VIRTIO 1.3, 5.6): the driver's way to the logical units of one SCSI domain, which come, go and change their size at any time.
class ScsiDevice final : public Device, private scsi::DomainListener {
public:
    struct Options {
        std::string name = "scsi";  ///< for the log, and the initiator's name: what persistent reservations know it by
        std::uint16_t queues = 1;   ///< request queues: 1 to 64
        std::uint16_t seg_max = 126;  ///< data segments of one request: 1 to 1024
        bool event_index = true;      ///< offer VIRTIO_F_EVENT_IDX
        bool indirect = true;         ///< offer VIRTIO_F_INDIRECT_DESC
    };

    static constexpr std::uint16_t max_queues_possible = 64;

    static Result<std::unique_ptr<ScsiDevice>> create(Options options);
    ~ScsiDevice() override;
    ScsiDevice(const ScsiDevice&) = delete;
    ScsiDevice& operator=(const ScsiDevice&) = delete;

    std::string_view type() const noexcept override { return "scsi"; }
    std::string description() const override;
    std::uint64_t features() const noexcept override { return features_; }
    std::uint16_t max_queues() const noexcept override {
        return static_cast<std::uint16_t>(scsi_host::first_request_queue + options_.queues);
    }
    void accept_features(std::uint64_t features) override;
    void read_config(std::uint32_t offset, std::span<std::byte> out) const override;
    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) override;
    void reset() override;
    Result<std::unique_ptr<DeviceQueue>> create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                      Notifiers notifiers) override;

    /// Where logical units are added and removed.
    scsi::Domain& domain() noexcept { return domain_; }
    const scsi::Domain& domain() const noexcept { return domain_; }

private:
    ScsiDevice(Options options, Fd bell);
    scsi_host::Config config() const noexcept;

    // scsi::DomainListener
    void unit_added(std::uint8_t target, scsi::Lun lun) override;
    void unit_removed(std::uint8_t target, scsi::Lun lun) override;
    void unit_changed(std::uint8_t target, scsi::Lun lun, scsi::AdditionalSense what) override;
    void tell(std::uint64_t feature, std::uint32_t event, std::uint8_t target, scsi::Lun lun, std::uint32_t reason);

    const Options options_;
    std::uint64_t features_;
    std::atomic<std::uint64_t> accepted_{0};
    ScsiChoices choices_;
    ScsiEvents events_;
    scsi::Domain domain_;
};

}  // namespace sidecore::device
