// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/error.hh"
#include "control/device_spec.hh"
#include "device/blk_device.hh"
#include "device/net_device.hh"

namespace sidecore::daemon {

/// A virtio device and what it stands on. One of the pointers says which type it is; they live as long as the device.
struct MadeDevice {
    std::unique_ptr<device::Device> device;
    device::BlkDevice* disk = nullptr;
    device::NetDevice* net = nullptr;
};

/// Opens the storage or the network that `spec` names. Thread: control. Errors: those of what is opened, and of the device's options.
Result<MadeDevice> make_device(const control::DeviceSpec& spec);

/// The limits of both ways.
device::NetLimits to_limits(const control::NetLimits& limits);

/// A disk's serial as the driver sees it.
std::string serial_of(const control::DeviceSpec& spec);

}  // namespace sidecore::daemon
