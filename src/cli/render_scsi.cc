// SPDX-License-Identifier: Apache-2.0
#include "cli/render_scsi.hh"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "cli/table.hh"
#include "control/units.hh"

namespace sidecore::cli {

namespace {

/// "write exclusive, 2 registered"; "-": nobody has anything to do with reservations.
std::string reservation(const control::ScsiDiskInfo& disk) {
    std::string text = disk.reservation == "none" ? "" : disk.reservation;
    std::ranges::replace(text, '_', ' ');
    if (disk.registrants != 0) {
        text += fmt::format("{}{} registered", text.empty() ? "" : ", ", disk.registrants);
    }
    return text.empty() ? "-" : text;
}

std::string yes_or_no(bool value) {
    return value ? "yes" : "no";
}

}  // namespace

std::string render_units(const std::vector<control::UnitInfo>& units) {
    Table table(
        {{"UNIT"}, {"DISK"}, {"SIZE", right}, {"READ-ONLY"}, {"SERIAL"}, {"IDENTITY"}, {"RESERVED"}, {"STORAGE"}});
    for (const control::UnitInfo& unit : units) {
        const control::ScsiDiskInfo& disk = unit.disk;
        table.add({control::to_string(unit.address), unit.shared_disk.empty() ? "-" : unit.shared_disk,
                   control::format_size(disk.capacity_bytes), yes_or_no(disk.read_only), disk.serial, disk.identity,
                   reservation(disk), disk.storage_description});
    }
    return table.text();
}

std::string render_unit(const control::UnitInfo& unit) {
    return render_units({unit});
}

std::string render_disks(const std::vector<control::SharedDiskInfo>& disks) {
    Table table(
        {{"DISK"}, {"SIZE", right}, {"READ-ONLY"}, {"SERIAL"}, {"IDENTITY"}, {"RESERVED"}, {"UNITS"}, {"STORAGE"}});
    for (const control::SharedDiskInfo& shared : disks) {
        const control::ScsiDiskInfo& disk = shared.disk;
        table.add({shared.name, control::format_size(disk.capacity_bytes), yes_or_no(disk.read_only), disk.serial,
                   disk.identity, reservation(disk),
                   shared.units.empty() ? "-" : fmt::format("{}", fmt::join(shared.units, ", ")),
                   disk.storage_description});
    }
    return table.text();
}

std::string render_disk(const control::SharedDiskInfo& disk) {
    return render_disks({disk});
}

}  // namespace sidecore::cli
