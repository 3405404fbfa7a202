// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/json.hh"
#include "control/scsi_spec.hh"
#include "control/value.hh"

namespace sidecore::control {

/// A SCSI disk as its guests see it.
struct ScsiDiskInfo {
    bool read_only = false;
    bool rotational = false;
    std::string serial;
    std::string identity;  ///< NAA, as guests name it: "naa.3…"
    std::uint64_t capacity_bytes = 0;
    std::string storage_kind;          ///< "null", "memory", "file"
    std::string storage_description;   ///< for people
    std::string reservation = "none";  ///< "reserve" (SPC-2), or a type of persistent ones: "write_exclusive", …
    std::uint64_t registrants = 0;     ///< of persistent reservations

    friend bool operator==(const ScsiDiskInfo&, const ScsiDiskInfo&) = default;
};

/// A logical unit of a scsi device.
struct UnitInfo {
    UnitAddress address;
    std::string shared_disk;  ///< JSON: "disk"; empty: one of its own
    ScsiDiskInfo disk;

    friend bool operator==(const UnitInfo&, const UnitInfo&) = default;
};

/// A disk that several devices may have.
struct SharedDiskInfo {
    std::string name;
    std::vector<std::string> units;  ///< that are this disk: "vm1-scsi 0:1"
    ScsiDiskInfo disk;

    friend bool operator==(const SharedDiskInfo&, const SharedDiskInfo&) = default;
};

/// What only scsi devices have.
struct ScsiInfo {
    std::vector<UnitInfo> units;  ///< by address

    friend bool operator==(const ScsiInfo&, const ScsiInfo&) = default;
};

UnitInfo read_unit_info(const Value& table, Problems& problems);

Json to_json(const UnitInfo& unit);
Json to_json(const std::vector<UnitInfo>& units);
Json to_json(const SharedDiskInfo& disk);
Json to_json(const std::vector<SharedDiskInfo>& disks);

Result<UnitInfo> parse_unit_info(std::string_view body);
Result<std::vector<UnitInfo>> parse_unit_list(std::string_view body);
Result<SharedDiskInfo> parse_shared_disk_info(std::string_view body);
Result<std::vector<SharedDiskInfo>> parse_shared_disk_list(std::string_view body);

}  // namespace sidecore::control
