// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.hh"
#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

/// Rate limits of a network device, for all its queues together: the table `limits`. 0: no such limit.
struct NetLimits {
    static constexpr std::uint64_t max_rate_bits = 400'000'000'000;
    static constexpr std::uint64_t max_packets = 1'000'000'000;
    static constexpr std::uint64_t min_burst_ns = 100'000;
    static constexpr std::uint64_t max_burst_ns = 10'000'000'000;

    std::uint64_t transmit_rate_bits = 0;  ///< per second, from the guest
    std::uint64_t receive_rate_bits = 0;   ///< to the guest
    std::uint64_t transmit_packets = 0;    ///< per second
    std::uint64_t receive_packets = 0;
    std::uint64_t burst_ns = 0;  ///< what may be saved up, as a time at the full rate; 0: the default

    bool any() const noexcept { return *this != NetLimits{}; }
    friend bool operator==(const NetLimits&, const NetLimits&) = default;
};

/// The body of PATCH /v1/devices/NAME/limits: what is not there stays, 0 (null) is taken off.
struct NetLimitsChange {
    std::optional<std::uint64_t> transmit_rate_bits{};
    std::optional<std::uint64_t> receive_rate_bits{};
    std::optional<std::uint64_t> transmit_packets{};
    std::optional<std::uint64_t> receive_packets{};
    std::optional<std::uint64_t> burst_ns{};

    NetLimits applied_to(NetLimits limits) const noexcept;
    friend bool operator==(const NetLimitsChange&, const NetLimitsChange&) = default;
};

/// What is wrong goes to `problems`.
NetLimits read_net_limits(const Value& table, Problems& problems,
                          TableReader::Unknown unknown = TableReader::Unknown::reject);

/// Only those that there are; read_net_limits() reads it back.
Json to_json(const NetLimits& limits);

/// At least one change is needed.
Result<NetLimitsChange> parse_net_limits_change(std::string_view body);
Json to_json(const NetLimitsChange& change);

}  // namespace sidecore::control
