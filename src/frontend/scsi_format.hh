// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/little_endian.hh"

// virtio-scsi as VIRTIO 5.6 has it, from the driver's side.

namespace sidecore::frontend {

// Virtqueues; the request queues follow.
inline constexpr std::size_t scsi_control_queue = 0;
inline constexpr std::size_t scsi_event_queue = 1;
inline constexpr std::size_t scsi_fixed_queues = 2;

inline constexpr unsigned scsi_feature_inout = 0;
inline constexpr unsigned scsi_feature_hotplug = 1;
inline constexpr unsigned scsi_feature_change = 2;

/// The configuration space (VIRTIO 5.6.4).
struct ScsiConfig {
    LittleEndian<std::uint32_t> request_queues;
    LittleEndian<std::uint32_t> seg_max;
    LittleEndian<std::uint32_t> max_sectors;
    LittleEndian<std::uint32_t> commands_per_lun;
    LittleEndian<std::uint32_t> event_bytes;
    LittleEndian<std::uint32_t> sense_size;
    LittleEndian<std::uint32_t> cdb_size;
    LittleEndian<std::uint16_t> max_channel;
    LittleEndian<std::uint16_t> max_target;
    LittleEndian<std::uint32_t> max_lun;
};
static_assert(sizeof(ScsiConfig) == 36);

/// What the configuration space says of them until a driver writes to it.
inline constexpr std::uint32_t scsi_usual_sense_size = 96;
inline constexpr std::uint32_t scsi_usual_cdb_size = 32;

using ScsiLun = std::array<std::uint8_t, 8>;

/// As Linux's driver writes it: a number of a single level, by flat space addressing.
constexpr ScsiLun scsi_lun(std::uint8_t target, std::uint16_t number) noexcept {
    return {1, target, static_cast<std::uint8_t>(0x40U | number >> 8U), static_cast<std::uint8_t>(number & 0xffU), 0, 0,
            0, 0};
}

/// What a request starts with; the CDB follows.
struct ScsiHeader {
    ScsiLun lun;
    std::array<std::uint8_t, 8> id;  ///< little-endian
    std::uint8_t task_attribute;
    std::uint8_t priority;
    std::uint8_t command_reference;
};
static_assert(sizeof(ScsiHeader) == 19);

inline constexpr std::uint8_t scsi_simple = 0;
inline constexpr std::uint8_t scsi_ordered = 1;
inline constexpr std::uint8_t scsi_head_of_queue = 2;
inline constexpr std::uint8_t scsi_aca = 3;

enum class ScsiResponse : std::uint8_t {
    ok = 0,  ///< or FUNCTION COMPLETE
    overrun = 1,
    aborted = 2,
    bad_target = 3,
    reset = 4,
    busy = 5,
    transport_failure = 6,
    target_failure = 7,
    nexus_failure = 8,
    failure = 9,
    function_succeeded = 10,
    function_rejected = 11,
    incorrect_lun = 12,
    not_written = 0xff,  ///< what the driver puts there
};

/// What the device writes first; then come the sense data, in the room of the configuration space's sense_size, then data.
struct ScsiAnswer {
    LittleEndian<std::uint32_t> sense_bytes;
    LittleEndian<std::uint32_t> residual;
    LittleEndian<std::uint16_t> status_qualifier;
    std::uint8_t status;
    std::uint8_t response;
};
static_assert(sizeof(ScsiAnswer) == 12 && offsetof(ScsiAnswer, response) == 11);

/// VIRTIO_SCSI_T_TMF_*
enum class ScsiFunction : std::uint32_t {
    abort_task = 0,
    abort_task_set = 1,
    clear_aca = 2,
    clear_task_set = 3,
    i_t_nexus_reset = 4,
    logical_unit_reset = 5,
    query_task = 6,
    query_task_set = 7,
};

/// VIRTIO_SCSI_T_*
inline constexpr std::uint32_t scsi_type_task_management = 0;
inline constexpr std::uint32_t scsi_type_query_notifications = 1;
inline constexpr std::uint32_t scsi_type_subscribe_notifications = 2;

struct ScsiTaskManagement {
    LittleEndian<std::uint32_t> type;
    LittleEndian<std::uint32_t> function;
    ScsiLun lun;
    LittleEndian<std::uint64_t> id;
};
static_assert(sizeof(ScsiTaskManagement) == 24);

struct ScsiNotifications {
    LittleEndian<std::uint32_t> type;
    ScsiLun lun;
    LittleEndian<std::uint32_t> events;
};
static_assert(sizeof(ScsiNotifications) == 16);

/// VIRTIO_SCSI_T_*
enum class ScsiEventKind : std::uint32_t { none = 0, transport_reset = 1, notification = 2, parameters_changed = 3 };

inline constexpr std::uint32_t scsi_events_missed = 0x80000000U;
inline constexpr std::uint32_t scsi_reset_rescan = 1;
inline constexpr std::uint32_t scsi_reset_removed = 2;

struct ScsiEvent {
    LittleEndian<std::uint32_t> event;
    ScsiLun lun;
    LittleEndian<std::uint32_t> reason;

    bool missed() const noexcept { return (event & scsi_events_missed) != 0; }
    ScsiEventKind kind() const noexcept { return static_cast<ScsiEventKind>(event & ~scsi_events_missed); }
};
static_assert(sizeof(ScsiEvent) == 16);

}  // namespace sidecore::frontend
