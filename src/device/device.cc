// SPDX-License-Identifier: Apache-2.0
#include "device/device.hh"

#include "base/format.hh"

namespace sidecore::device {

Result<void> Device::announce_mac(std::span<const std::uint8_t, 6>) {
    return failure(ErrorKind::unsupported, fmt::format("a {} device has no MAC address", type()));
}

Result<void> Device::set_mtu(std::uint16_t) {
    return failure(ErrorKind::unsupported, fmt::format("a {} device has no MTU", type()));
}

}  // namespace sidecore::device
