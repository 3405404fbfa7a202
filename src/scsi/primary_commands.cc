// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "scsi/primary.hh"

namespace sidecore::scsi {

namespace {

/// Of each logical unit, of none and of the REPORT LUNS well-known one, whatever has happened to them (SAM-5 5.14 and 5.12).
constexpr std::uint32_t anywhere =
    Command::without_unit | Command::well_known | Command::past_attention | Command::past_old_reservation;

// Access: SPC-4 table 48 and SBC-3 table 17.
constexpr std::array commands{
    Command{
        .opcode = 0x00,
        .service_action = {},
        .name = "TEST UNIT READY",
        .direction = Direction::none,
        .access = Access::none,
        .traits = Command::needs_medium | Command::well_known,
        .usage = {0x00, 0x00, 0x00, 0x00, 0x00, control_usage},
        .cdb_bytes = 6,
        .function = test_unit_ready,
    },
    Command{
        .opcode = 0x03,
        .service_action = {},
        .name = "REQUEST SENSE",
        .direction = Direction::in,
        .access = Access::none,
        .traits = anywhere,
        .usage = {0x03, 0x01, 0x00, 0x00, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = request_sense,
    },
    Command{
        .opcode = 0x12,
        .service_action = {},
        .name = "INQUIRY",
        .direction = Direction::in,
        .access = Access::none,
        .traits = anywhere,
        // Linux puts the LUN where SCSI-2 had it, in bits that are reserved now, until it knows the target: as it does not when
        // a unit other than LUN 0 is the first of a target that comes.
        .usage = {0x12, 0xe1, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = inquiry,
    },
    Command{
        .opcode = 0x15,
        .service_action = {},
        .name = "MODE SELECT(6)",
        .direction = Direction::out,
        .access = Access::write,
        .traits = 0,
        .usage = {0x15, 0x11, 0x00, 0x00, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = mode_select,
    },
    Command{
        .opcode = 0x1a,
        .service_action = {},
        .name = "MODE SENSE(6)",
        .direction = Direction::in,
        .access = Access::read,
        .traits = 0,
        .usage = {0x1a, 0x08, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = mode_sense,
    },
    Command{
        .opcode = 0x1b,
        .service_action = {},
        .name = "START STOP UNIT",
        .direction = Direction::none,
        .access = Access::write,
        .traits = 0,
        .usage = {0x1b, 0x01, 0x00, 0x00, 0x05, control_usage},
        .cdb_bytes = 6,
        .function = start_stop_unit,
    },
    Command{
        .opcode = 0x1c,
        .service_action = {},
        .name = "RECEIVE DIAGNOSTIC RESULTS",
        .direction = Direction::in,
        .access = Access::read,
        .traits = 0,
        .usage = {0x1c, 0x01, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = receive_diagnostic_results,
    },
    Command{
        .opcode = 0x1d,
        .service_action = {},
        .name = "SEND DIAGNOSTIC",
        .direction = Direction::out,
        .access = Access::write,
        .traits = 0,
        .usage = {0x1d, 0xf7, 0x00, 0xff, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = send_diagnostic,
    },
    Command{
        .opcode = 0x1e,
        .service_action = {},
        .name = "PREVENT ALLOW MEDIUM REMOVAL",
        .direction = Direction::none,
        .access = Access::write,
        .traits = 0,
        .usage = {0x1e, 0x00, 0x00, 0x00, 0x01, control_usage},
        .cdb_bytes = 6,
        .function = prevent_allow_medium_removal,
    },
    Command{
        .opcode = 0x4c,
        .service_action = {},
        .name = "LOG SELECT",
        .direction = Direction::out,
        .access = Access::write,
        .traits = 0,
        .usage = {0x4c, 0x02, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = log_select,
    },
    Command{
        .opcode = 0x4d,
        .service_action = {},
        .name = "LOG SENSE",
        .direction = Direction::in,
        .access = Access::none,
        .traits = Command::past_old_reservation,
        .usage = {0x4d, 0x00, 0xff, 0xff, 0x00, 0xff, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = log_sense,
    },
    Command{
        .opcode = 0x55,
        .service_action = {},
        .name = "MODE SELECT(10)",
        .direction = Direction::out,
        .access = Access::write,
        .traits = 0,
        .usage = {0x55, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = mode_select,
    },
    Command{
        .opcode = 0x5a,
        .service_action = {},
        .name = "MODE SENSE(10)",
        .direction = Direction::in,
        .access = Access::read,
        .traits = 0,
        .usage = {0x5a, 0x18, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = mode_sense,
    },
    Command{
        .opcode = 0xa0,
        .service_action = {},
        .name = "REPORT LUNS",
        .direction = Direction::in,
        .access = Access::none,
        .traits = anywhere,
        .usage = {0xa0, 0x00, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, control_usage},
        .cdb_bytes = 12,
        .function = report_luns,
    },
    Command{
        .opcode = 0xa3,
        .service_action = 0x0a,
        .name = "REPORT TARGET PORT GROUPS",
        .direction = Direction::in,
        .access = Access::none,
        .traits = Command::past_old_reservation,
        .usage = {0xa3, 0xea, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, control_usage},
        .cdb_bytes = 12,
        .function = report_target_port_groups,
    },
    Command{
        .opcode = 0xa3,
        .service_action = 0x0c,
        .name = "REPORT SUPPORTED OPERATION CODES",
        .direction = Direction::in,
        .access = Access::read,
        .traits = 0,
        .usage = {0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, control_usage},
        .cdb_bytes = 12,
        .function = report_supported_operations,
    },
    Command{
        .opcode = 0xa3,
        .service_action = 0x0d,
        .name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        .direction = Direction::in,
        .access = Access::read,
        .traits = 0,
        .usage = {0xa3, 0x0d, 0x80, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, control_usage},
        .cdb_bytes = 12,
        .function = report_supported_task_management,
    },
};

}  // namespace

std::span<const Command> primary_commands() noexcept {
    return commands;
}

}  // namespace sidecore::scsi
