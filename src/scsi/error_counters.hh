// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace sidecore::scsi {

/// Errors of a logical unit's storage that its initiators were told of, since it was made or since LOG SELECT.
///
/// Thread: any.
struct ErrorCounters {
    std::atomic<std::uint64_t> write{0};
    std::atomic<std::uint64_t> read{0};
    std::atomic<std::uint64_t> verify{0};
};

}  // namespace sidecore::scsi
