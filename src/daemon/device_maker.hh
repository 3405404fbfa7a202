// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hh"
#include "control/device_spec.hh"
#include "device/blk_device.hh"
#include "device/net_device.hh"
#include "device/scsi_device.hh"
#include "network/network_backend.hh"
#include "network/switch.hh"
#include "storage/factory.hh"

namespace sidecore::daemon {

/// A virtio device and what it stands on. One of the pointers says which type it is; they live as long as the device.
struct MadeDevice {
    std::unique_ptr<device::Device> device;
    device::BlkDevice* disk = nullptr;
    device::NetDevice* net = nullptr;
    device::ScsiDevice* scsi = nullptr;  ///< without units
};

/// The switch of that name. Errors: not_found.
using SwitchFinder = std::function<Result<network::Switch*>(std::string_view)>;

/// Opens the storage or the network that `spec` names. `find_switch` may be empty where there are no switches. Thread: control. Errors:
/// those of what is opened, and of the device's options.
Result<MadeDevice> make_device(const control::DeviceSpec& spec, const SwitchFinder& find_switch = {});

/// A network that stands by itself: not NetworkKind::port. `mtu` is set on an interface of the host, if it is not 0.
Result<std::unique_ptr<network::NetworkBackend>> open_network(const control::NetworkSpec& spec, std::uint16_t pairs,
                                                              std::uint16_t mtu);

/// What storage::open_storage() takes.
storage::StorageSpec to_storage(const control::StorageSpec& from, bool read_only);

/// The limits of both ways.
device::NetLimits to_limits(const control::NetLimits& limits);

/// A blk device's serial as the driver sees it.
std::string serial_of(const control::DeviceSpec& spec);

}  // namespace sidecore::daemon
