// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hh"
#include "scsi/mode_pages.hh"

namespace sidecore::scsi {

/// What a logical unit keeps over a restart, in LogicalUnit::Options::state_file: the saved values of the mode pages.

/// None: there is no such file yet. Error: invalid_argument, what is wrong with it, or that it is another unit's.
Result<std::optional<ModeSettings>> load_unit_state(const std::string& path, std::uint64_t identity);

/// Stable when this returns.
Result<void> save_unit_state(const std::string& path, std::uint64_t identity, const ModeSettings& settings);

}  // namespace sidecore::scsi
