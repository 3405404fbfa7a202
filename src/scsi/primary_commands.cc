// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "scsi/command.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

namespace {

/// SPC-4 6.47
Progress test_unit_ready(Operation& operation) noexcept {
    return operation.good();
}

constexpr std::array commands{
    Command{
        .opcode = 0x00,
        .service_action = {},
        .name = "TEST UNIT READY",
        .direction = Direction::none,
        .access = Access::none,
        .traits = Command::needs_medium,
        .usage = {0x00, 0x00, 0x00, 0x00, 0x00, control_usage},
        .cdb_bytes = 6,
        .function = test_unit_ready,
    },
};

}  // namespace

std::span<const Command> primary_commands() noexcept {
    return commands;
}

}  // namespace sidecore::scsi
