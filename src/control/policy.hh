// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

/// The policies that a configuration or a request may name.
inline constexpr std::array<std::string_view, 3> policy_kinds{"never", "always", "rate"};

/// Durations of policies: 1 to 2^62 ns.
inline constexpr std::uint64_t max_policy_duration_ns = 1ULL << 62U;

/// What one level (daemon, device or queue) says of the policy; the rest comes from the level above.
/// As a table or object: kind, poll_start_rate, poll_stop_idle, tick.
struct PolicyOverrides {
    std::optional<std::string> kind;
    std::optional<std::uint32_t> poll_start_rate;
    std::optional<std::uint64_t> poll_stop_idle_ns;
    std::optional<std::uint64_t> tick_ns;

    bool empty() const noexcept { return !kind && !poll_start_rate && !poll_stop_idle_ns && !tick_ns; }
    friend bool operator==(const PolicyOverrides&, const PolicyOverrides&) = default;
};

enum class PolicyParameter : std::uint8_t { kind, poll_start_rate, poll_stop_idle, tick };

/// Keys of the parameters in tables and objects, in their order.
inline constexpr std::array<std::string_view, 4> policy_keys{"kind", "poll_start_rate", "poll_stop_idle", "tick"};

/// A change at one level: each parameter is set, given back to the level above (JSON null), or left as it is.
struct PolicyChange {
    PolicyOverrides set;
    std::vector<PolicyParameter> inherit;

    /// `overrides` after the change.
    PolicyOverrides applied_to(PolicyOverrides overrides) const;

    friend bool operator==(const PolicyChange&, const PolicyChange&) = default;
};

/// Who said so.
enum class PolicySource : std::uint8_t { built_in, daemon, device, queue };

template <typename T>
struct Sourced {
    T value{};
    PolicySource source = PolicySource::built_in;
    friend bool operator==(const Sourced&, const Sourced&) = default;
};

/// A policy in force, with where each value comes from.
struct PolicyInfo {
    Sourced<std::string> kind;
    Sourced<std::uint32_t> poll_start_rate;
    Sourced<std::uint64_t> poll_stop_idle_ns;
    Sourced<std::uint64_t> tick_ns;

    /// The policy one level down, where `overrides` speak for `source`.
    PolicyInfo overridden_by(const PolicyOverrides& overrides, PolicySource source) const;

    friend bool operator==(const PolicyInfo&, const PolicyInfo&) = default;
};

std::string_view to_string(PolicySource source) noexcept;

PolicyOverrides read_policy_overrides(const Value& table, Problems& problems);
PolicyInfo read_policy_info(const Value& table, Problems& problems);
Json to_json(const PolicyOverrides& overrides);
Json to_json(const PolicyInfo& policy);

/// The body of a PATCH …/policy: like overrides, with null for what is to be inherited again. At least one
/// key.
Result<PolicyChange> parse_policy_change(std::string_view body);
Json to_json(const PolicyChange& change);

}  // namespace sidecore::control
