// SPDX-License-Identifier: Apache-2.0
#include "control/switch_info.hh"

#include <limits>

#include "control/net_spec.hh"
#include "control/reply_reader.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();

PortInfo read_port(const Value& table, Problems& problems) {
    ReplyReader reader(table, "port", problems);
    PortInfo port;
    port.name = reader.text("name");
    port.vlan = static_cast<std::uint16_t>(reader.integer("vlan", NetworkSpec::max_vlan));
    port.isolated = reader.boolean("isolated");
    port.counters = reader.counters();
    return port;
}

UplinkInfo read_uplink(const Value& table, Problems& problems) {
    ReplyReader reader(table, "uplink", problems);
    UplinkInfo uplink;
    uplink.network_kind = reader.text("network_kind");
    uplink.network_description = reader.text("network_description");
    uplink.queue = reader.table("queue", read_queue_info);
    return uplink;
}

SwitchInfo read_switch(const Value& table, Problems& problems) {
    ReplyReader reader(table, "switch", problems);
    SwitchInfo info;
    info.name = reader.text("name");
    info.age_s = static_cast<std::uint32_t>(reader.integer("age_s", most));
    info.stations = static_cast<std::uint32_t>(reader.integer("stations", most));
    info.stations_max = static_cast<std::uint32_t>(reader.integer("stations_max", most));
    info.uplink = reader.optional_table("uplink", read_uplink);
    info.ports = reader.list("ports", read_port);
    return info;
}

StationInfo read_station(const Value& table, Problems& problems) {
    ReplyReader reader(table, "station", problems);
    StationInfo station;
    station.mac = reader.text("mac");
    station.vlan = static_cast<std::uint16_t>(reader.integer("vlan", NetworkSpec::max_vlan + 1));
    station.port = reader.text("port");
    station.age_s = static_cast<std::uint32_t>(reader.integer("age_s", most));
    return station;
}

std::vector<SwitchInfo> read_switches(const Value& table, Problems& problems) {
    return ReplyReader(table, "reply", problems).list("switches", read_switch);
}

std::vector<StationInfo> read_stations(const Value& table, Problems& problems) {
    return ReplyReader(table, "reply", problems).list("stations", read_station);
}

Json to_json(const UplinkInfo& uplink) {
    return {{"network_kind", uplink.network_kind},
            {"network_description", uplink.network_description},
            {"queue", to_json(uplink.queue)}};
}

}  // namespace

Json to_json(const PortInfo& port) {
    return {{"name", port.name},
            {"vlan", port.vlan},
            {"isolated", port.isolated},
            {"counters", counters_to_json(port.counters)}};
}

Json to_json(const StationInfo& station) {
    return {{"mac", station.mac}, {"vlan", station.vlan}, {"port", station.port}, {"age_s", station.age_s}};
}

Json to_json(const SwitchInfo& info) {
    return {{"name", info.name},
            {"age_s", info.age_s},
            {"stations", info.stations},
            {"stations_max", info.stations_max},
            {"uplink", info.uplink ? to_json(*info.uplink) : Json(nullptr)},
            {"ports", list_to_json(info.ports)}};
}

Json to_json(const std::vector<SwitchInfo>& switches) {
    return {{"switches", list_to_json(switches)}};
}

Json to_json(const std::vector<StationInfo>& stations) {
    return {{"stations", list_to_json(stations)}};
}

Result<SwitchInfo> parse_switch_info(std::string_view body) {
    return parse_reply(body, read_switch);
}

Result<std::vector<SwitchInfo>> parse_switch_list(std::string_view body) {
    return parse_reply(body, read_switches);
}

Result<std::vector<StationInfo>> parse_station_list(std::string_view body) {
    return parse_reply(body, read_stations);
}

}  // namespace sidecore::control
