// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "control/explanation.hh"
#include "control/info.hh"
#include "engine/explanation.hh"

namespace sidecore::daemon {

/// Why `queue` is treated as it is, in figures and in sentences. `why` is the engine's explanation, nothing while no worker
/// serves the queue.
control::QueueReasons reasons_for(const control::QueueInfo& queue, const std::optional<engine::QueueExplanation>& why);

}  // namespace sidecore::daemon
