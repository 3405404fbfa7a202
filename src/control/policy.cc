// SPDX-License-Identifier: Apache-2.0
#include "control/policy.hh"

#include <limits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/units.hh"

namespace sidecore::control {

namespace {

constexpr std::array<std::string_view, 4> source_names{"built-in", "daemon", "device", "queue"};

PolicyOverrides read_parameters(TableReader& reader) {
    PolicyOverrides overrides;
    if (const auto kind = reader.choice(policy_keys[0], policy_kinds)) {
        overrides.kind = policy_kinds[*kind];
    }
    if (const auto rate = reader.integer(policy_keys[1], 0, std::numeric_limits<std::uint32_t>::max())) {
        overrides.poll_start_rate = static_cast<std::uint32_t>(*rate);
    }
    overrides.poll_stop_idle_ns = reader.duration(policy_keys[2], 1, max_policy_duration_ns);
    overrides.tick_ns = reader.duration(policy_keys[3], 1, max_policy_duration_ns);
    return overrides;
}

PolicySource read_source(TableReader& reader, std::string_view key) {
    return static_cast<PolicySource>(reader.choice(key, source_names).value_or(0));
}

template <typename T>
void take(Sourced<T>& current, const std::optional<T>& override_value, PolicySource source) {
    if (override_value) {
        current = {*override_value, source};
    }
}

}  // namespace

std::string_view to_string(PolicySource source) noexcept {
    return source_names[static_cast<std::size_t>(source)];
}

PolicyOverrides PolicyChange::applied_to(PolicyOverrides overrides) const {
    for (const PolicyParameter parameter : inherit) {
        switch (parameter) {
            case PolicyParameter::kind:
                overrides.kind.reset();
                break;
            case PolicyParameter::poll_start_rate:
                overrides.poll_start_rate.reset();
                break;
            case PolicyParameter::poll_stop_idle:
                overrides.poll_stop_idle_ns.reset();
                break;
            case PolicyParameter::tick:
                overrides.tick_ns.reset();
                break;
        }
    }
    if (set.kind) {
        overrides.kind = set.kind;
    }
    if (set.poll_start_rate) {
        overrides.poll_start_rate = set.poll_start_rate;
    }
    if (set.poll_stop_idle_ns) {
        overrides.poll_stop_idle_ns = set.poll_stop_idle_ns;
    }
    if (set.tick_ns) {
        overrides.tick_ns = set.tick_ns;
    }
    return overrides;
}

PolicyInfo PolicyInfo::overridden_by(const PolicyOverrides& overrides, PolicySource source) const {
    PolicyInfo result = *this;
    take(result.kind, overrides.kind, source);
    take(result.poll_start_rate, overrides.poll_start_rate, source);
    take(result.poll_stop_idle_ns, overrides.poll_stop_idle_ns, source);
    take(result.tick_ns, overrides.tick_ns, source);
    return result;
}

PolicyOverrides read_policy_overrides(const Value& table, Problems& problems) {
    TableReader reader(table, "policy", problems);
    const PolicyOverrides overrides = read_parameters(reader);
    reader.finish();
    return overrides;
}

PolicyInfo read_policy_info(const Value& table, Problems& problems) {
    TableReader reader(table, "policy", problems, TableReader::Unknown::ignore);
    PolicyInfo policy;
    policy.kind.value = reader.text(policy_keys[0]).value_or("");
    const auto rate = reader.integer(policy_keys[1], 0, std::numeric_limits<std::uint32_t>::max());
    policy.poll_start_rate.value = static_cast<std::uint32_t>(rate.value_or(0));
    policy.poll_stop_idle_ns.value = reader.duration(policy_keys[2], 0, max_policy_duration_ns).value_or(0);
    policy.tick_ns.value = reader.duration(policy_keys[3], 0, max_policy_duration_ns).value_or(0);
    for (const std::string_view key : policy_keys) {
        reader.require(key);
    }
    if (const Value* sources = reader.table("from")) {
        TableReader from(*sources, "from", problems, TableReader::Unknown::ignore);
        policy.kind.source = read_source(from, policy_keys[0]);
        policy.poll_start_rate.source = read_source(from, policy_keys[1]);
        policy.poll_stop_idle_ns.source = read_source(from, policy_keys[2]);
        policy.tick_ns.source = read_source(from, policy_keys[3]);
    }
    return policy;
}

Json to_json(const PolicyOverrides& overrides) {
    Json json = Json::object();
    if (overrides.kind) {
        json[policy_keys[0]] = *overrides.kind;
    }
    if (overrides.poll_start_rate) {
        json[policy_keys[1]] = *overrides.poll_start_rate;
    }
    if (overrides.poll_stop_idle_ns) {
        json[policy_keys[2]] = format_duration(*overrides.poll_stop_idle_ns);
    }
    if (overrides.tick_ns) {
        json[policy_keys[3]] = format_duration(*overrides.tick_ns);
    }
    return json;
}

Json to_json(const PolicyInfo& policy) {
    Json json = {
        {policy_keys[0], policy.kind.value},
        {policy_keys[1], policy.poll_start_rate.value},
        {policy_keys[2], format_duration(policy.poll_stop_idle_ns.value)},
        {policy_keys[3], format_duration(policy.tick_ns.value)},
    };
    json["from"] = {
        {policy_keys[0], to_string(policy.kind.source)},
        {policy_keys[1], to_string(policy.poll_start_rate.source)},
        {policy_keys[2], to_string(policy.poll_stop_idle_ns.source)},
        {policy_keys[3], to_string(policy.tick_ns.source)},
    };
    return json;
}

Result<PolicyChange> parse_policy_change(std::string_view body) {
    SIDECORE_TRY_ASSIGN(Value value, parse_json(body));
    Problems problems;
    PolicyChange change;
    if (auto* members = std::get_if<Value::Table>(&value.data)) {
        std::erase_if(*members, [&change](const Value::Member& member) {
            const auto key = std::ranges::find(policy_keys, member.key);
            const bool inherited = key != policy_keys.end() && std::holds_alternative<Value::Null>(member.value.data);
            if (inherited) {
                change.inherit.push_back(static_cast<PolicyParameter>(key - policy_keys.begin()));
            }
            return inherited;
        });
    }
    change.set = read_policy_overrides(value, problems);
    if (problems.empty() && change.set.empty() && change.inherit.empty()) {
        problems.push_back(
            {value.where, fmt::format("nothing to change; a policy can have {}", fmt::join(policy_keys, ", "))});
    }
    if (!problems.empty()) {
        return tl::unexpected(to_error(problems));
    }
    return change;
}

Json to_json(const PolicyChange& change) {
    Json json = to_json(change.set);
    for (const PolicyParameter parameter : change.inherit) {
        json[policy_keys[static_cast<std::size_t>(parameter)]] = nullptr;
    }
    return json;
}

}  // namespace sidecore::control
