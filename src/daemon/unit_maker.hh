// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hh"
#include "control/scsi_info.hh"
#include "control/scsi_spec.hh"
#include "scsi/logical_unit.hh"

namespace sidecore::daemon {

/// The shared disk of that name. Errors: not_found.
using DiskFinder = std::function<Result<std::shared_ptr<scsi::LogicalUnit>>(std::string_view)>;

/// Opens the storage that `spec` names. `name` is for the log, and makes the serial if the spec has none: the same for the same name, and different for
/// different names. Thread: control. Errors: those of the storage and of the unit's options; already_exists: another unit of this process keeps its
/// reservations in the same file.
Result<std::shared_ptr<scsi::LogicalUnit>> make_unit(const control::ScsiDiskSpec& spec, const std::string& name);

/// What guests see of it. Thread: control.
control::ScsiDiskInfo to_info(const scsi::LogicalUnit& unit);

}  // namespace sidecore::daemon
