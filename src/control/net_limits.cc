// SPDX-License-Identifier: Apache-2.0
#include "control/net_limits.hh"

#include <array>
#include <string>

#include "control/units.hh"

namespace sidecore::control {

namespace {

enum class Kind : std::uint8_t { rate, packets, burst };

/// A key of the table, and where its value belongs.
struct LimitKey {
    std::string_view key;
    Kind kind;
    std::uint64_t NetLimits::*limit;
    std::optional<std::uint64_t> NetLimitsChange::*change;
};
constexpr std::array<LimitKey, 5> limit_keys{{
    {"transmit_rate", Kind::rate, &NetLimits::transmit_rate_bits, &NetLimitsChange::transmit_rate_bits},
    {"receive_rate", Kind::rate, &NetLimits::receive_rate_bits, &NetLimitsChange::receive_rate_bits},
    {"transmit_packets", Kind::packets, &NetLimits::transmit_packets, &NetLimitsChange::transmit_packets},
    {"receive_packets", Kind::packets, &NetLimits::receive_packets, &NetLimitsChange::receive_packets},
    {"burst", Kind::burst, &NetLimits::burst_ns, &NetLimitsChange::burst_ns},
}};

std::optional<std::uint64_t> read_limit(TableReader& reader, const LimitKey& key) {
    switch (key.kind) {
        case Kind::rate:
            return reader.rate(key.key, 1, NetLimits::max_rate_bits);
        case Kind::packets:
            return reader.integer(key.key, 1, NetLimits::max_packets);
        case Kind::burst:
            return reader.duration(key.key, NetLimits::min_burst_ns, NetLimits::max_burst_ns);
    }
    return std::nullopt;
}

Json limit_to_json(const LimitKey& key, std::uint64_t value) {
    switch (key.kind) {
        case Kind::rate:
            return format_rate(value);
        case Kind::packets:
            return value;
        case Kind::burst:
            return format_duration(value);
    }
    return nullptr;
}

NetLimitsChange read_change(const Value& table, Problems& problems) {
    TableReader reader(table, "limits", problems);
    NetLimitsChange change;
    for (const LimitKey& key : limit_keys) {
        change.*key.change = reader.is_null(key.key) ? 0 : read_limit(reader, key);
    }
    reader.finish();
    if (problems.empty() && change == NetLimitsChange{}) {
        problems.push_back({table.where, "there is no change in it"});
    }
    return change;
}

}  // namespace

NetLimits NetLimitsChange::applied_to(NetLimits limits) const noexcept {
    for (const LimitKey& key : limit_keys) {
        limits.*key.limit = (this->*key.change).value_or(limits.*key.limit);
    }
    return limits;
}

NetLimits read_net_limits(const Value& table, Problems& problems, TableReader::Unknown unknown) {
    TableReader reader(table, "limits", problems, unknown);
    NetLimits limits;
    for (const LimitKey& key : limit_keys) {
        limits.*key.limit = read_limit(reader, key).value_or(0);
    }
    reader.finish();
    return limits;
}

Json to_json(const NetLimits& limits) {
    Json json = Json::object();
    for (const LimitKey& key : limit_keys) {
        if (limits.*key.limit != 0) {
            json[std::string(key.key)] = limit_to_json(key, limits.*key.limit);
        }
    }
    return json;
}

Result<NetLimitsChange> parse_net_limits_change(std::string_view body) {
    return parse_json_as(body, read_change);
}

Json to_json(const NetLimitsChange& change) {
    Json json = Json::object();
    for (const LimitKey& key : limit_keys) {
        if (const auto value = change.*key.change) {
            json[std::string(key.key)] = *value != 0 ? limit_to_json(key, *value) : Json(nullptr);
        }
    }
    return json;
}

}  // namespace sidecore::control
