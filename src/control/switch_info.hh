// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/info.hh"
#include "control/json.hh"

namespace sidecore::control {

/// A port of a switch.
struct PortInfo {
    std::string name;  ///< of the device, or "uplink"
    std::uint16_t vlan = 0;
    bool isolated = false;
    Counters counters;  ///< frames and bytes, drops by reason: docs/control-api.md. "In" is into the switch

    friend bool operator==(const PortInfo&, const PortInfo&) = default;
};

/// What takes in frames from a switch's uplink.
struct UplinkInfo {
    std::string network_kind;         ///< as a network device's
    std::string network_description;  ///< for people
    QueueInfo queue;

    friend bool operator==(const UplinkInfo&, const UplinkInfo&) = default;
};

struct SwitchInfo {
    std::string name;
    std::uint32_t age_s = 0;         ///< after which a silent station is forgotten
    std::uint32_t stations = 0;      ///< that it remembers
    std::uint32_t stations_max = 0;  ///< that it can remember
    std::optional<UplinkInfo> uplink;
    std::vector<PortInfo> ports;

    friend bool operator==(const SwitchInfo&, const SwitchInfo&) = default;
};

/// Who is behind which port.
struct StationInfo {
    std::string mac;
    std::uint16_t vlan = 0;
    std::string port;
    std::uint32_t age_s = 0;  ///< since it was last heard

    friend bool operator==(const StationInfo&, const StationInfo&) = default;
};

Json to_json(const PortInfo& port);
Json to_json(const StationInfo& station);
Json to_json(const SwitchInfo& info);
Json to_json(const std::vector<SwitchInfo>& switches);   // {"switches": […]}
Json to_json(const std::vector<StationInfo>& stations);  // {"stations": […]}

Result<SwitchInfo> parse_switch_info(std::string_view body);
Result<std::vector<SwitchInfo>> parse_switch_list(std::string_view body);
Result<std::vector<StationInfo>> parse_station_list(std::string_view body);

}  // namespace sidecore::control
