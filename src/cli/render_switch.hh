// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "control/switch_info.hh"

namespace sidecore::cli {

/// What the daemon says of switches, as tables for people.
std::string render_switches(const std::vector<control::SwitchInfo>& switches);
std::string render_switch(const control::SwitchInfo& info);
std::string render_stations(const std::vector<control::StationInfo>& stations);

}  // namespace sidecore::cli
