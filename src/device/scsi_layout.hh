// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/little_endian.hh"

/// The virtio SCSI device as the driver sees it (VIRTIO 1.3, 5.6).
namespace sidecore::device::scsi_host {

/// Feature bits (5.6.3) and the ones of every device that matter here (6).
enum Feature : std::uint64_t {
    feature_inout = std::uint64_t{1} << 0U,
    feature_hotplug = std::uint64_t{1} << 1U,
    feature_change = std::uint64_t{1} << 2U,
    feature_indirect = std::uint64_t{1} << 28U,
    feature_event_index = std::uint64_t{1} << 29U,
    feature_version_1 = std::uint64_t{1} << 32U,
};

// Virtqueues (5.6.2); the request queues follow.
inline constexpr std::uint16_t control_queue = 0;
inline constexpr std::uint16_t event_queue = 1;
inline constexpr std::uint16_t first_request_queue = 2;

/// Configuration space (5.6.4)
struct Config {
    LittleEndian<std::uint32_t> num_queues;
    LittleEndian<std::uint32_t> seg_max;
    LittleEndian<std::uint32_t> max_sectors;
    LittleEndian<std::uint32_t> cmd_per_lun;
    LittleEndian<std::uint32_t> event_info_size;
    LittleEndian<std::uint32_t> sense_size;  // the driver's to write
    LittleEndian<std::uint32_t> cdb_size;    // likewise
    LittleEndian<std::uint16_t> max_channel;
    LittleEndian<std::uint16_t> max_target;
    LittleEndian<std::uint32_t> max_lun;
};
static_assert(sizeof(Config) == 36 && offsetof(Config, sense_size) == 20 && offsetof(Config, max_lun) == 32);

inline constexpr std::uint32_t default_sense_size = 96;
inline constexpr std::uint32_t default_cdb_size = 32;

using Lun = std::array<std::uint8_t, 8>;

/// What a request begins with (5.6.6.1). Packed: the CDB follows.
struct RequestHeader {
    Lun lun;
    std::array<std::uint8_t, 8> id;
    std::uint8_t task_attribute;
    std::uint8_t priority;
    std::uint8_t crn;
};
static_assert(sizeof(RequestHeader) == 19);

enum class Response : std::uint8_t {
    ok = 0,
    overrun = 1,
    aborted = 2,
    bad_target = 3,
    reset = 4,
    busy = 5,
    transport_failure = 6,
    target_failure = 7,
    nexus_failure = 8,
    failure = 9,
    // Of the control queue (5.6.6.2)
    function_succeeded = 10,
    function_rejected = 11,
    incorrect_lun = 12,
};

/// What a request's device-writable part begins with; the sense data follow, then data-in.
struct ResponseHeader {
    LittleEndian<std::uint32_t> sense_length;
    LittleEndian<std::uint32_t> residual;
    LittleEndian<std::uint16_t> status_qualifier;
    std::uint8_t status;
    Response response;
};
static_assert(sizeof(ResponseHeader) == 12);

/// Control requests (5.6.6.2)
enum class ControlType : std::uint32_t { task_management = 0, query_notifications = 1, subscribe_notifications = 2 };

struct TaskManagementRequest {
    LittleEndian<std::uint32_t> type;
    LittleEndian<std::uint32_t> subtype;
    Lun lun;
    LittleEndian<std::uint64_t> id;
};
static_assert(sizeof(TaskManagementRequest) == 24);

struct NotificationRequest {
    LittleEndian<std::uint32_t> type;
    Lun lun;
    LittleEndian<std::uint32_t> requested;
};
static_assert(sizeof(NotificationRequest) == 16);

struct NotificationAnswer {
    std::array<std::uint8_t, 4> actual;
    Response response;
};
static_assert(sizeof(NotificationAnswer) == 5);

/// Events (5.6.6.3)
struct Event {
    LittleEndian<std::uint32_t> event;
    Lun lun;
    LittleEndian<std::uint32_t> reason;
};
static_assert(sizeof(Event) == 16);

inline constexpr std::uint32_t events_missed = 0x80000000U;
inline constexpr std::uint32_t event_none = 0;
inline constexpr std::uint32_t event_transport_reset = 1;
inline constexpr std::uint32_t event_parameters_changed = 3;
inline constexpr std::uint32_t reset_rescan = 1;
inline constexpr std::uint32_t reset_removed = 2;

}  // namespace sidecore::device::scsi_host
