// SPDX-License-Identifier: Apache-2.0
#include "network/pair_check.hh"

#include "base/format.hh"

namespace sidecore::network {

Result<void> check_pair(const NetworkBackend& backend, std::uint16_t pair) {
    if (pair >= backend.max_pairs()) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("there is no pair {}: {} has {}", pair, backend.description(), backend.max_pairs()));
    }
    return {};
}

Result<void> check_pairs(const NetworkBackend& backend, std::uint16_t pairs) {
    if (pairs == 0 || pairs > backend.max_pairs()) {
        return failure(ErrorKind::out_of_range, fmt::format("{} can have 1 to {} pairs in use, not {}",
                                                            backend.description(), backend.max_pairs(), pairs));
    }
    return {};
}

}  // namespace sidecore::network
