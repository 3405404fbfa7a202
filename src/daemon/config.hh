// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <spdlog/common.h>
#include <tl/expected.hpp>

#include "control/device_spec.hh"
#include "control/scsi_spec.hh"
#include "control/settings.hh"
#include "control/switch_spec.hh"
#include "control/value.hh"
#include "control/worker_spec.hh"
#include "daemon/host_costs.hh"
#include "engine/placement.hh"

namespace sidecore::daemon {

/// What a configuration file says. docs/configuration.md explains each key.
struct Config {
    static constexpr std::string_view default_control_socket = "/run/sidecore/control.sock";
    static constexpr std::uint32_t default_socket_permissions = 0600;

    std::string control_socket{default_control_socket};
    std::uint32_t control_socket_permissions = default_socket_permissions;  ///< 0 to 0777
    std::string control_socket_group;                                       ///< empty: as the daemon's
    std::optional<spdlog::level::level_enum> log_level;
    control::SettingValues settings;  ///< the daemon's own
    CostSpec costs;
    std::optional<engine::PlacementSettings> placement;  ///< automatic, if given
    std::vector<control::WorkerSpec> workers;            ///< never empty: without [[worker]] one, not pinned
    std::vector<control::SwitchSpec> switches;
    std::vector<control::SharedDiskSpec> disks;
    std::vector<control::DeviceSpec> devices;
};

/// Reads a configuration (TOML 1.0). All problems are reported at once, each with "file:line:column"; only wrong TOML
/// syntax ends the search at the first. Thread: any.
tl::expected<Config, control::Problems> parse_config(std::string_view text, std::string_view file_name);

/// The same from a file; a file that cannot be read is a problem as well.
tl::expected<Config, control::Problems> load_config(const std::string& path);

}  // namespace sidecore::daemon
