// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/json.hh"
#include "control/storage_spec.hh"
#include "control/value.hh"

namespace sidecore::control {

/// Where a logical unit of a scsi device is: "0:3", in messages, on the command line and in paths of requests.
struct UnitAddress {
    static constexpr std::uint16_t max_target = 255;
    static constexpr std::uint16_t max_lun = 16383;

    std::uint8_t target = 0;
    std::uint16_t lun = 0;

    friend auto operator<=>(const UnitAddress&, const UnitAddress&) = default;
};

std::string to_string(UnitAddress address);

/// "TARGET:LUN". Error: invalid_argument.
Result<UnitAddress> parse_unit_address(std::string_view text);

/// A SCSI disk: what a unit has for itself, or what a shared disk gives to several.
struct ScsiDiskSpec {
    static constexpr std::size_t max_serial_bytes = 32;
    static constexpr std::size_t max_vendor_bytes = 8;    // SPC-4 6.4.2: T10 VENDOR IDENTIFICATION
    static constexpr std::size_t max_product_bytes = 16;  // likewise
    static constexpr std::size_t max_revision_bytes = 4;  // likewise

    bool read_only = false;
    std::string serial{};    ///< printable ASCII; empty: made of the name or the address
    std::string vendor{};    ///< likewise; empty: ours
    std::string product{};   ///< likewise
    std::string revision{};  ///< likewise
    bool rotational = false;
    std::string reservations_file{};  ///< where persistent reservations survive a restart: absolute; empty: they do not
    std::string state_file{};         ///< where mode pages that a guest saves survive a restart: likewise
    StorageSpec storage{};

    friend bool operator==(const ScsiDiskSpec&, const ScsiDiskSpec&) = default;
};

/// A disk that units of several devices may be, as a [[disk]] table and as the body of POST /v1/disks describe it.
struct SharedDiskSpec {
    std::string name;
    ScsiDiskSpec disk{};

    friend bool operator==(const SharedDiskSpec&, const SharedDiskSpec&) = default;
};

/// A logical unit, as a [[device.unit]] table and as the body of POST /v1/devices/NAME/units describe it.
struct UnitSpec {
    std::uint8_t target = 0;
    std::optional<std::uint16_t>
        lun{};                  ///< none: the lowest that the target has not; of a device that is added: always one
    std::string shared_disk{};  ///< key "disk"; empty: one of its own
    ScsiDiskSpec disk{};        ///< without a shared one

    friend bool operator==(const UnitSpec&, const UnitSpec&) = default;
};

/// What only scsi devices have.
struct ScsiSpec {
    static constexpr std::uint16_t max_request_queues = 64;
    static constexpr std::uint16_t other_queues =
        2;  ///< VIRTIO 5.6.2: the control queue and the event queue come first
    static constexpr std::uint16_t max_seg_max = 1024;
    static constexpr std::uint16_t default_seg_max = 126;

    std::uint16_t request_queues = 1;  ///< key "queues"
    std::uint16_t seg_max = default_seg_max;
    std::vector<UnitSpec> units{};  ///< key "unit"; each with a LUN, no address twice

    friend bool operator==(const ScsiSpec&, const ScsiSpec&) = default;
};

/// Reads one shared disk or one unit; what is wrong goes to `problems`, and the result is to be used only if nothing was.
SharedDiskSpec read_shared_disk_spec(const Value& table, Problems& problems);
UnitSpec read_unit_spec(const Value& table, Problems& problems);

/// The bodies of POST /v1/disks and of POST /v1/devices/NAME/units.
Result<SharedDiskSpec> parse_shared_disk_spec(std::string_view body);
Result<UnitSpec> parse_unit_spec(std::string_view body);

/// The other way round; what has its default is left out.
Json to_json(const SharedDiskSpec& spec);
Json to_json(const UnitSpec& spec);

/// Reads the keys of a scsi device out of its [[device]] table. Units without a LUN get the lowest that no other has.
ScsiSpec read_scsi_spec(TableReader& device, Problems& problems);

/// The other way round, into the device's object; what has its default is left out.
void add_to_json(Json& device, const ScsiSpec& spec);

}  // namespace sidecore::control
