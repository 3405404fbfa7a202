// SPDX-License-Identifier: Apache-2.0
#include "control/scsi_info.hh"

#include "control/info.hh"
#include "control/reply_reader.hh"

namespace sidecore::control {

namespace {

ScsiDiskInfo read_disk(ReplyReader& reader) {
    ScsiDiskInfo disk;
    disk.read_only = reader.boolean("read_only");
    disk.rotational = reader.boolean("rotational");
    disk.serial = reader.text("serial");
    disk.identity = reader.text("identity");
    disk.capacity_bytes = reader.integer("capacity_bytes");
    disk.storage_kind = reader.text("storage_kind");
    disk.storage_description = reader.text("storage_description");
    disk.reservation = reader.text("reservation");
    disk.registrants = reader.integer("registrants");
    return disk;
}

void add_to_json(Json& json, const ScsiDiskInfo& disk) {
    json["read_only"] = disk.read_only;
    json["rotational"] = disk.rotational;
    json["serial"] = disk.serial;
    json["identity"] = disk.identity;
    json["capacity_bytes"] = disk.capacity_bytes;
    json["storage_kind"] = disk.storage_kind;
    json["storage_description"] = disk.storage_description;
    json["reservation"] = disk.reservation;
    json["registrants"] = disk.registrants;
}

SharedDiskInfo read_shared_disk(const Value& table, Problems& problems) {
    ReplyReader reader(table, "disk", problems);
    SharedDiskInfo disk;
    disk.name = reader.text("name");
    disk.units = reader.list("units", read_string);
    disk.disk = read_disk(reader);
    return disk;
}

std::vector<UnitInfo> read_units(const Value& table, Problems& problems) {
    return ReplyReader(table, "reply", problems).list("units", read_unit_info);
}

std::vector<SharedDiskInfo> read_shared_disks(const Value& table, Problems& problems) {
    return ReplyReader(table, "reply", problems).list("disks", read_shared_disk);
}

}  // namespace

UnitInfo read_unit_info(const Value& table, Problems& problems) {
    ReplyReader reader(table, "unit", problems);
    UnitInfo unit;
    unit.address.target = static_cast<std::uint8_t>(reader.integer("target", UnitAddress::max_target));
    unit.address.lun = static_cast<std::uint16_t>(reader.integer("lun", UnitAddress::max_lun));
    unit.shared_disk = reader.text("disk");
    unit.disk = read_disk(reader);
    return unit;
}

Json to_json(const UnitInfo& unit) {
    Json json = {{"target", unit.address.target}, {"lun", unit.address.lun}, {"disk", unit.shared_disk}};
    add_to_json(json, unit.disk);
    return json;
}

Json to_json(const std::vector<UnitInfo>& units) {
    return {{"units", list_to_json(units)}};
}

Json to_json(const SharedDiskInfo& disk) {
    Json json = {{"name", disk.name}, {"units", disk.units}};
    add_to_json(json, disk.disk);
    return json;
}

Json to_json(const std::vector<SharedDiskInfo>& disks) {
    return {{"disks", list_to_json(disks)}};
}

Result<UnitInfo> parse_unit_info(std::string_view body) {
    return parse_reply(body, read_unit_info);
}

Result<std::vector<UnitInfo>> parse_unit_list(std::string_view body) {
    return parse_reply(body, read_units);
}

Result<SharedDiskInfo> parse_shared_disk_info(std::string_view body) {
    return parse_reply(body, read_shared_disk);
}

Result<std::vector<SharedDiskInfo>> parse_shared_disk_list(std::string_view body) {
    return parse_reply(body, read_shared_disks);
}

}  // namespace sidecore::control
