// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "scsi/command.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/persistent_reserve.hh"

namespace sidecore::scsi {

namespace {

/// SPC-2 7.21, 7.22, of the whole logical unit. Extents and third parties, which were never used and are obsolete, are refused by their bits.
Progress reserve_unit(Operation& operation) noexcept {
    return operation.end(operation.unit().reservations().reserve(operation.nexus()));
}

/// SPC-2 7.16, 7.17
Progress release_unit(Operation& operation) noexcept {
    return operation.end(operation.unit().reservations().release(operation.nexus()));
}

constexpr Command old_command(std::uint8_t opcode, std::string_view name, CommandFunction function) {
    const bool short_one = opcode < 0x20;
    Command command{
        .opcode = opcode,
        .service_action = {},
        .name = name,
        .direction = Direction::none,
        .access = Access::own,
        .traits = Command::past_old_reservation,
        .usage = {opcode},
        .cdb_bytes = short_one ? std::uint8_t{6} : std::uint8_t{10},
        .function = function,
    };
    command.usage[command.cdb_bytes - 1U] = control_usage;
    return command;
}

constexpr Command in_command(std::uint8_t service_action, std::string_view name, CommandFunction function) {
    return {
        .opcode = 0x5e,
        .service_action = service_action,
        .name = name,
        .direction = Direction::in,
        .access = Access::own,
        .traits = 0,
        .usage = {0x5e, service_action, 0, 0, 0, 0, 0, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = function,
    };
}

// SCOPE and TYPE are ignored by some service actions, so that they are not refused in any.
constexpr Command out_command(std::uint8_t service_action, std::string_view name) {
    return {
        .opcode = 0x5f,
        .service_action = service_action,
        .name = name,
        .direction = Direction::out,
        .access = Access::own,
        .traits = 0,
        .usage = {0x5f, service_action, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = persistent_reserve_out,
    };
}

constexpr std::array reservation_table{
    old_command(0x16, "RESERVE(6)", reserve_unit),
    old_command(0x17, "RELEASE(6)", release_unit),
    old_command(0x56, "RESERVE(10)", reserve_unit),
    old_command(0x57, "RELEASE(10)", release_unit),
    in_command(0, "PERSISTENT RESERVE IN: READ KEYS", read_keys),
    in_command(1, "PERSISTENT RESERVE IN: READ RESERVATION", read_reservation),
    in_command(2, "PERSISTENT RESERVE IN: REPORT CAPABILITIES", report_capabilities),
    in_command(3, "PERSISTENT RESERVE IN: READ FULL STATUS", read_full_status),
    out_command(0, "PERSISTENT RESERVE OUT: REGISTER"),
    out_command(1, "PERSISTENT RESERVE OUT: RESERVE"),
    out_command(2, "PERSISTENT RESERVE OUT: RELEASE"),
    out_command(3, "PERSISTENT RESERVE OUT: CLEAR"),
    out_command(4, "PERSISTENT RESERVE OUT: PREEMPT"),
    out_command(5, "PERSISTENT RESERVE OUT: PREEMPT AND ABORT"),
    out_command(6, "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY"),
    out_command(7, "PERSISTENT RESERVE OUT: REGISTER AND MOVE"),
};

}  // namespace

std::span<const Command> reservation_commands() noexcept {
    return reservation_table;
}

}  // namespace sidecore::scsi
