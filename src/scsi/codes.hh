// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sidecore::scsi {

/// SAM-5 5.3.1
enum class Status : std::uint8_t {
    good = 0x00,
    check_condition = 0x02,
    condition_met = 0x04,
    busy = 0x08,
    reservation_conflict = 0x18,
    task_set_full = 0x28,
    aca_active = 0x30,
    task_aborted = 0x40,
};

/// SPC-4 4.5.6
enum class SenseKey : std::uint8_t {
    no_sense = 0x0,
    recovered_error = 0x1,
    not_ready = 0x2,
    medium_error = 0x3,
    hardware_error = 0x4,
    illegal_request = 0x5,
    unit_attention = 0x6,
    data_protect = 0x7,
    blank_check = 0x8,
    copy_aborted = 0xa,
    aborted_command = 0xb,
    miscompare = 0xe,
    completed = 0xf,
};

/// ADDITIONAL SENSE CODE in the high byte, its QUALIFIER in the low one (SPC-4 annex D).
enum class AdditionalSense : std::uint16_t {
    none = 0x0000,
    operation_in_progress = 0x0016,
    sanitize_in_progress = 0x041b,
    initializing_command_required = 0x0402,  ///< START STOP UNIT has stopped it
    warning = 0x0b00,
    write_error = 0x0c00,
    unexpected_unsolicited_data = 0x0c0c,
    not_enough_unsolicited_data = 0x0c0d,
    third_party_device_failure = 0x0d01,
    copy_target_device_not_reachable = 0x0d02,
    incorrect_copy_target_device_type = 0x0d03,
    copy_target_device_data_underrun = 0x0d04,
    unrecovered_read_error = 0x1100,
    parameter_list_length_error = 0x1a00,
    miscompare_during_verify = 0x1d00,
    sanitize_command_failed = 0x3103,
    invalid_command_operation_code = 0x2000,
    lba_out_of_range = 0x2100,
    invalid_field_in_cdb = 0x2400,
    logical_unit_not_supported = 0x2500,
    invalid_field_in_parameter_list = 0x2600,
    parameter_not_supported = 0x2601,
    parameter_value_invalid = 0x2602,
    invalid_release_of_persistent_reservation = 0x2604,
    too_many_target_descriptors = 0x2606,
    unsupported_target_descriptor_type = 0x2607,
    too_many_segment_descriptors = 0x2608,
    unsupported_segment_descriptor_type = 0x2609,
    inline_data_length_exceeded = 0x260b,
    copy_segment_granularity_violation = 0x260d,
    write_protected = 0x2700,
    space_allocation_failed = 0x2707,
    power_on = 0x2900,
    power_on_occurred = 0x2901,
    scsi_bus_reset_occurred = 0x2902,
    bus_device_reset_occurred = 0x2903,
    i_t_nexus_loss_occurred = 0x2907,
    mode_parameters_changed = 0x2a01,
    log_parameters_changed = 0x2a02,
    reservations_preempted = 0x2a03,
    reservations_released = 0x2a04,
    registrations_preempted = 0x2a05,
    capacity_data_has_changed = 0x2a09,
    commands_cleared_by_another_initiator = 0x2f00,
    medium_not_present = 0x3a00,
    saving_parameters_not_supported = 0x3900,
    logical_unit_failed_self_test = 0x3e03,
    inquiry_data_has_changed = 0x3f03,
    reported_luns_data_has_changed = 0x3f0e,
    internal_target_failure = 0x4400,
    invalid_message_error = 0x4900,
    data_phase_error = 0x4b00,
    insufficient_registration_resources = 0x5504,
    insufficient_resources = 0x5503,
};

/// SAM-5 8.6
enum class TaskAttribute : std::uint8_t { simple, ordered, head_of_queue, aca };

}  // namespace sidecore::scsi
