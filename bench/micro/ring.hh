// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "base/error.hh"
#include "device/device.hh"
#include "device/device_queue.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "memory/memory_map.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::bench {

/// The value; an exception with the error's words if there is none, which ends the program.
template <typename T>
T must(Result<T> result) {
    if (!result) {
        throw std::runtime_error(result.error().message);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

/// Guest memory with one queue, and the queue as both sides have it.
class Ring {
public:
    explicit Ring(std::uint16_t size = 256);

    frontend::GuestMemoryFile& memory() noexcept { return *memory_; }
    frontend::DriverQueue& driver() noexcept { return *driver_; }
    const std::shared_ptr<const memory::MemoryMap>& map() const noexcept { return map_; }

    /// The device's side of it.
    virtqueue::SplitQueue device_ring() const;
    /// A device's queue on it; the driver accepts all features.
    std::unique_ptr<device::DeviceQueue> queue_of(device::Device& device, std::uint16_t index) const;

private:
    std::unique_ptr<frontend::GuestMemoryFile> memory_;
    std::shared_ptr<const memory::MemoryMap> map_;
    std::unique_ptr<frontend::DriverQueue> driver_;
};

}  // namespace sidecore::bench
