// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/json.hh"
#include "control/net_spec.hh"
#include "control/value.hh"

namespace sidecore::control {

/// A switch between network devices, as a [[switch]] table and as the body of POST /v1/switches describe it.
struct SwitchSpec {
    static constexpr std::uint32_t default_age_s = 300;  // IEEE 802.1Q, 8.8.3: what it recommends
    static constexpr std::uint32_t max_age_s = 1'000'000;
    static constexpr std::uint32_t default_stations = 4096;
    static constexpr std::uint32_t min_stations = 64;
    static constexpr std::uint32_t max_stations = 1U << 20U;

    std::string name;
    std::uint32_t age_s = default_age_s;        ///< how long a station that is silent is remembered: 1 to max_age_s
    std::uint32_t stations = default_stations;  ///< MAC addresses that it can remember
    std::optional<NetworkSpec> uplink{};        ///< the way out; none: its guests are among themselves
    std::uint16_t mtu = 0;                      ///< set on a tap uplink; 0: left as it is
    std::optional<std::string> worker{};  ///< takes in what comes from the uplink; none: the one with the fewest queues

    friend bool operator==(const SwitchSpec&, const SwitchSpec&) = default;
};

/// Reads one switch; what is wrong goes to `problems`, and the result is to be used only if nothing was.
SwitchSpec read_switch_spec(const Value& table, Problems& problems);

/// The body of POST /v1/switches.
Result<SwitchSpec> parse_switch_spec(std::string_view body);

/// The other way round; what has its default is left out.
Json to_json(const SwitchSpec& spec);

}  // namespace sidecore::control
