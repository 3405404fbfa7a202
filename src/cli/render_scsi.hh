// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "control/scsi_info.hh"

namespace sidecore::cli {

/// What the daemon says of logical units and shared disks, as tables for people.
std::string render_units(const std::vector<control::UnitInfo>& units);
std::string render_unit(const control::UnitInfo& unit);
std::string render_disks(const std::vector<control::SharedDiskInfo>& disks);
std::string render_disk(const control::SharedDiskInfo& disk);

}  // namespace sidecore::cli
