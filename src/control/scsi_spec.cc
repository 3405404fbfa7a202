// SPDX-License-Identifier: Apache-2.0
#include "control/scsi_spec.hh"

#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "base/format.hh"
#include "control/device_spec.hh"

namespace sidecore::control {

namespace {

/// Keys of a disk, which a unit of a shared one has not.
constexpr std::array<std::string_view, 9> disk_keys{
    "read_only", "serial", "vendor", "product", "revision", "rotational", "reservations_file", "state_file", "storage"};

ScsiDiskSpec read_disk(TableReader& reader, Problems& problems) {
    ScsiDiskSpec disk;
    disk.read_only = reader.boolean("read_only").value_or(false);
    disk.serial = read_printable(reader, "serial", ScsiDiskSpec::max_serial_bytes);
    disk.vendor = read_printable(reader, "vendor", ScsiDiskSpec::max_vendor_bytes);
    disk.product = read_printable(reader, "product", ScsiDiskSpec::max_product_bytes);
    disk.revision = read_printable(reader, "revision", ScsiDiskSpec::max_revision_bytes);
    disk.rotational = reader.boolean("rotational").value_or(false);
    disk.reservations_file = read_path(reader, "reservations_file");
    disk.state_file = read_path(reader, "state_file");
    disk.storage = read_storage(reader, problems);
    for (const auto& [key, path] :
         {std::pair("reservations_file", &disk.reservations_file), std::pair("state_file", &disk.state_file)}) {
        if (!path->empty() && *path == disk.storage.path) {
            reader.report(key, fmt::format("{} is the disk's own path; it has to be another file", key));
        }
    }
    if (!disk.state_file.empty() && disk.state_file == disk.reservations_file) {
        reader.report("state_file", "state_file is the reservations_file; it has to be another file");
    }
    return disk;
}

void add_to_json(Json& json, const ScsiDiskSpec& disk) {
    if (disk.read_only) {
        json["read_only"] = true;
    }
    for (const auto& [key, text] :
         {std::pair("serial", &disk.serial), std::pair("vendor", &disk.vendor), std::pair("product", &disk.product),
          std::pair("revision", &disk.revision), std::pair("reservations_file", &disk.reservations_file),
          std::pair("state_file", &disk.state_file)}) {
        if (!text->empty()) {
            json[key] = *text;
        }
    }
    if (disk.rotational) {
        json["rotational"] = true;
    }
    json["storage"] = to_json(disk.storage);
}

/// A number of decimal digits that is all of `text`.
std::optional<std::uint16_t> number_from(std::string_view text, std::uint16_t highest) {
    std::uint16_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    return error == std::errc{} && rest == end && number <= highest ? std::optional(number) : std::nullopt;
}

/// LUNs for those that have none, and no address twice.
void place(std::vector<UnitSpec>& units, std::span<const Value> tables, Problems& problems) {
    std::set<UnitAddress> taken;
    for (std::size_t i = 0; i < units.size(); ++i) {
        if (units[i].lun && !taken.insert({units[i].target, *units[i].lun}).second) {
            problems.push_back({tables[i].where, fmt::format("the unit {} is there twice",
                                                             to_string(UnitAddress{units[i].target, *units[i].lun}))});
        }
    }
    for (std::size_t i = 0; i < units.size(); ++i) {
        UnitSpec& unit = units[i];
        for (std::uint16_t lun = 0; !unit.lun && lun <= UnitAddress::max_lun; ++lun) {
            if (taken.insert({unit.target, lun}).second) {
                unit.lun = lun;
            }
        }
        if (!unit.lun) {
            problems.push_back({tables[i].where, fmt::format("target {} has no LUN left for this unit", unit.target)});
        }
    }
}

}  // namespace

std::string to_string(UnitAddress address) {
    return fmt::format("{}:{}", address.target, address.lun);
}

Result<UnitAddress> parse_unit_address(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos) {
        const auto target = number_from(text.substr(0, colon), UnitAddress::max_target);
        const auto lun = number_from(text.substr(colon + 1), UnitAddress::max_lun);
        if (target && lun) {
            return UnitAddress{static_cast<std::uint8_t>(*target), *lun};
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no unit; write TARGET:LUN, 0 to {} and 0 to {}, like \"0:1\"", text,
                               UnitAddress::max_target, UnitAddress::max_lun));
}

SharedDiskSpec read_shared_disk_spec(const Value& table, Problems& problems) {
    TableReader reader(table, "disk", problems);
    SharedDiskSpec spec;
    reader.require("name");
    spec.name = read_name(reader, "name");
    spec.disk = read_disk(reader, problems);
    reader.finish();
    return spec;
}

UnitSpec read_unit_spec(const Value& table, Problems& problems) {
    TableReader reader(table, "unit", problems);
    UnitSpec spec;
    spec.target = static_cast<std::uint8_t>(reader.integer("target", 0, UnitAddress::max_target).value_or(0));
    if (const auto lun = reader.integer("lun", 0, UnitAddress::max_lun)) {
        spec.lun = static_cast<std::uint16_t>(*lun);
    }
    if (reader.find("disk") != nullptr) {
        spec.shared_disk = read_name(reader, "disk");
        for (const std::string_view key : disk_keys) {
            reader.refuse(key, "for a unit with a \"disk\", which says it");
        }
    } else {
        spec.disk = read_disk(reader, problems);
    }
    reader.finish();
    return spec;
}

Result<SharedDiskSpec> parse_shared_disk_spec(std::string_view body) {
    return parse_json_as(body, read_shared_disk_spec);
}

Result<UnitSpec> parse_unit_spec(std::string_view body) {
    return parse_json_as(body, read_unit_spec);
}

Json to_json(const SharedDiskSpec& spec) {
    Json json = {{"name", spec.name}};
    add_to_json(json, spec.disk);
    return json;
}

Json to_json(const UnitSpec& spec) {
    Json json = Json::object();
    if (spec.target != 0) {
        json["target"] = spec.target;
    }
    if (spec.lun) {
        json["lun"] = *spec.lun;
    }
    if (!spec.shared_disk.empty()) {
        json["disk"] = spec.shared_disk;
    } else {
        add_to_json(json, spec.disk);
    }
    return json;
}

ScsiSpec read_scsi_spec(TableReader& device, Problems& problems) {
    ScsiSpec spec;
    spec.request_queues = read_queue_count(device, ScsiSpec::max_request_queues);
    spec.seg_max = static_cast<std::uint16_t>(
        device.integer("seg_max", 1, ScsiSpec::max_seg_max).value_or(ScsiSpec::default_seg_max));
    const std::span<const Value> tables = device.array("unit");
    for (const Value& table : tables) {
        spec.units.push_back(read_unit_spec(table, problems));
    }
    place(spec.units, tables, problems);
    return spec;
}

void add_to_json(Json& device, const ScsiSpec& spec) {
    if (spec.request_queues != 1) {
        device["queues"] = spec.request_queues;
    }
    if (spec.seg_max != ScsiSpec::default_seg_max) {
        device["seg_max"] = spec.seg_max;
    }
    for (const UnitSpec& unit : spec.units) {
        device["unit"].push_back(to_json(unit));
    }
}

}  // namespace sidecore::control
