// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>

#include "base/error.hh"

namespace sidecore {

/// Starts a thread called `name` (at most 15 characters) that runs `run` and takes no signals but those of its own faults. Error: the kernel
/// has no more.
Result<std::thread> start_thread(const char* name, std::function<void()> run);

}  // namespace sidecore
