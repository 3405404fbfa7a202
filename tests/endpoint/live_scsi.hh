// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "device/scsi_device.hh"
#include "endpoint/endpoint.hh"
#include "endpoint/live_disk.hh"
#include "engine/worker.hh"
#include "frontend/scsi_driver.hh"
#include "scsi/logical_unit.hh"
#include "storage/fake_backend.hh"

namespace sidecore::endpoint {

/// A SCSI device on its socket, in a folder of its own, on workers that outlive it.
class LiveScsi {
public:
    LiveScsi(std::vector<engine::Worker*> workers, std::uint16_t queues,
             const engine::QueueSettings& settings = with_policy(engine::PolicyKind::never));

    std::filesystem::path socket() const { return folder_.path() / "socket"; }
    Endpoint& endpoint() noexcept { return *endpoint_; }
    scsi::Domain& domain() noexcept { return device_->domain(); }
    std::uint16_t vrings() const noexcept { return device_->max_queues(); }
    engine::QueueSnapshot counters(std::size_t vring) const { return endpoint_->info().queues.at(vring).counters; }

    /// A logical unit on a disk, of target 0.
    void add(std::uint16_t lun, const std::shared_ptr<storage::FakeDisk>& disk);

    /// A driver that has started control, event and `queues` request queues.
    frontend::ScsiDriver start(std::uint16_t queues) const;

    void set_all(const engine::QueueSettings& settings);

private:
    TemporaryFolder folder_;
    device::ScsiDevice* device_ = nullptr;  // the endpoint's
    std::unique_ptr<Endpoint> endpoint_;
};

}  // namespace sidecore::endpoint
