// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "device/device_queue.hh"
#include "device/driven_disk.hh"
#include "device/fake_link.hh"
#include "device/net_device.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::device {

/// A network device on a FakeLink, one of whose queues is driven by hand from both sides, on one thread.
class DrivenNet {
public:
    /// Queue `index` of a device whose driver accepts all of its features but `refused`.
    DrivenNet(std::uint16_t index, NetDevice::Options options, std::uint64_t refused = 0, std::uint16_t ring_size = 64);

    FakeLink::State& link() noexcept { return *link_; }
    NetDevice& device() noexcept { return *device_; }
    DeviceQueue& queue() noexcept { return *queue_; }
    frontend::DriverQueue& driver() noexcept { return *driver_; }
    engine::Turn serve(std::uint32_t budget = 64) { return queue_->serve(budget); }

    frontend::GuestBuffer buffer(std::size_t bytes) { return must(memory_->allocate(bytes)); }
    std::uint16_t offer(std::span<const frontend::Piece> pieces);

    /// A buffer for the device to read: `pieces` of it, each in a descriptor.
    std::uint16_t offer_readable(std::span<const std::vector<std::byte>> pieces);
    /// A buffer for the device to write, in one descriptor.
    frontend::GuestBuffer offer_writable(std::uint32_t bytes);
    std::vector<frontend::Used> used();

private:
    std::shared_ptr<FakeLink::State> link_ = std::make_shared<FakeLink::State>();
    std::unique_ptr<NetDevice> device_;
    std::unique_ptr<frontend::GuestMemoryFile> memory_;
    std::unique_ptr<frontend::DriverQueue> driver_;
    std::unique_ptr<DeviceQueue> queue_;
};

/// The header as it lies in memory.
std::vector<std::byte> header_bytes(const net::Header& header, std::size_t bytes = sizeof(net::Header));

}  // namespace sidecore::device
