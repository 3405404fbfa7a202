// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/handler.hh"

namespace sidecore::vhost_user {

Result<void> Handler::announce_mac(std::span<const std::uint8_t, 6>) {
    return failure(ErrorKind::unsupported, "the device is not on a network");
}

Result<void> Handler::set_mtu(std::uint64_t) {
    return failure(ErrorKind::unsupported, "the device is not on a network");
}

}  // namespace sidecore::vhost_user
