// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "control/info.hh"
#include "engine/statistics.hh"

namespace sidecore::daemon {

/// What the engine counts of a queue, as replies have it. Index, size, worker and settings are the caller's to add.
control::QueueInfo to_queue_info(const engine::QueueSnapshot& snapshot, std::uint64_t now_ns);

}  // namespace sidecore::daemon
