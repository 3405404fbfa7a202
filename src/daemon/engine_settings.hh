// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/settings.hh"
#include "engine/settings.hh"

namespace sidecore::daemon {

/// A queue's settings without anybody's say: the engine's defaults. With those that a device has for its queues together.
control::Settings built_in_queue_settings();

/// What is built in for a network device's transmit queues instead: nobody waits for their completions, so the guest is called for many of
/// them at once. Changes what no level has set.
void build_in_for_transmit_queue(control::Settings& settings);

/// In the engine's terms. `settings` has all that built_in_queue_settings() has, and has been checked by control's readers.
engine::QueueSettings to_queue_settings(const control::Settings& settings);

/// The same for a worker's.
control::Settings built_in_worker_settings();
engine::WorkerSettings to_worker_settings(const control::Settings& settings);

}  // namespace sidecore::daemon
