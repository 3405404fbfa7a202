// SPDX-License-Identifier: Apache-2.0
#include "control/switch_spec.hh"

#include "base/format.hh"
#include "control/device_spec.hh"
#include "control/units.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;

std::uint32_t read_age(TableReader& reader) {
    const auto age_ns = reader.duration("age", second_ns, SwitchSpec::max_age_s * second_ns);
    if (age_ns && *age_ns % second_ns != 0) {
        reader.report("age", "age has to be a whole number of seconds");
    }
    return age_ns ? static_cast<std::uint32_t>(*age_ns / second_ns) : SwitchSpec::default_age_s;
}

}  // namespace

SwitchSpec read_switch_spec(const Value& table, Problems& problems) {
    TableReader reader(table, "switch", problems);
    SwitchSpec spec;
    reader.require("name");
    spec.name = read_name(reader, "name");
    spec.age_s = read_age(reader);
    spec.stations =
        static_cast<std::uint32_t>(reader.integer("stations", SwitchSpec::min_stations, SwitchSpec::max_stations)
                                       .value_or(SwitchSpec::default_stations));
    spec.mtu = static_cast<std::uint16_t>(reader.integer("mtu", NetSpec::min_mtu, NetSpec::max_mtu).value_or(0));
    spec.worker = read_optional_name(reader, "worker");
    if (const Value* uplink = reader.table("uplink")) {
        spec.uplink = read_uplink_spec(*uplink, problems);
        if (spec.uplink->kind != NetworkKind::tap) {
            reader.refuse("mtu", "but for an uplink of kind = \"tap\"");
        }
    } else if (reader.find("uplink") == nullptr) {
        reader.refuse("mtu", "without an uplink");
        reader.refuse("worker", "without an uplink");
    }
    reader.finish();
    return spec;
}

Result<SwitchSpec> parse_switch_spec(std::string_view body) {
    return parse_json_as(body, read_switch_spec);
}

Json to_json(const SwitchSpec& spec) {
    Json json = {{"name", spec.name}};
    if (spec.age_s != SwitchSpec::default_age_s) {
        json["age"] = format_duration(spec.age_s * second_ns);
    }
    if (spec.stations != SwitchSpec::default_stations) {
        json["stations"] = spec.stations;
    }
    if (spec.uplink) {
        json["uplink"] = to_json(*spec.uplink);
    }
    if (spec.mtu != 0) {
        json["mtu"] = spec.mtu;
    }
    if (spec.worker) {
        json["worker"] = *spec.worker;
    }
    return json;
}

}  // namespace sidecore::control
