// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/error.hh"
#include "network/network_backend.hh"

namespace sidecore::network {

/// An error if the back-end has no pair of that number.
Result<void> check_pair(const NetworkBackend& backend, std::uint16_t pair);

/// An error if it cannot have so many.
Result<void> check_pairs(const NetworkBackend& backend, std::uint16_t pairs);

}  // namespace sidecore::network
