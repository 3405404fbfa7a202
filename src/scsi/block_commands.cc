// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "base/pieces.hh"
#include "scsi/command.hh"
#include "scsi/extent.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

namespace {

/// READ of any length (SBC-3 5.10 to 5.13): a zero TRANSFER LENGTH reads nothing, but in READ(6).
Progress read(Operation& operation) noexcept {
    if (operation.stage() == 1) {
        return operation.result == 0 ? operation.good() : operation.storage_failed();
    }
    const auto extent = extent_of(operation);
    if (!extent) {
        return Progress::done;
    }
    if (extent->blocks == 0) {
        return operation.good();
    }
    Task& task = operation.task();
    if (extent->bytes > task.data_in_bytes) {
        return operation.overrun();
    }
    task.transferred_bytes = limit_to(task.data_in, extent->bytes);
    return operation.read(extent->offset, extent->bytes, task.data_in);
}

/// WRITE of any length (SBC-3 5.32 to 5.35)
Progress write(Operation& operation) noexcept {
    if (operation.stage() == 1) {
        return operation.result == 0 ? operation.good() : operation.storage_failed();
    }
    const auto extent = extent_of(operation);
    if (!extent) {
        return Progress::done;
    }
    if (extent->blocks == 0) {
        return operation.good();
    }
    Task& task = operation.task();
    if (extent->bytes > task.data_out_bytes) {
        return operation.overrun();
    }
    task.transferred_bytes = limit_to(task.data_out, extent->bytes);
    const bool force_unit_access = operation.command().cdb_bytes != 6 && operation.bit(1, 3);
    return operation.write(extent->offset, extent->bytes, task.data_out, operation.unit().durable(force_unit_access));
}

constexpr std::uint32_t reads = Command::needs_medium;
constexpr std::uint32_t writes = Command::needs_medium | Command::changes_medium;

// DPO and FUA; RDPROTECT and WRPROTECT stay zero, since we keep no protection information.
constexpr std::uint8_t dpo_fua = 0x18;

constexpr std::array commands{
    Command{
        .opcode = 0x08,
        .service_action = {},
        .name = "READ(6)",
        .direction = Direction::in,
        .access = Access::read,
        .traits = reads,
        .usage = {0x08, 0x1f, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = read,
    },
    Command{
        .opcode = 0x0a,
        .service_action = {},
        .name = "WRITE(6)",
        .direction = Direction::out,
        .access = Access::write,
        .traits = writes,
        .usage = {0x0a, 0x1f, 0xff, 0xff, 0xff, control_usage},
        .cdb_bytes = 6,
        .function = write,
    },
    Command{
        .opcode = 0x28,
        .service_action = {},
        .name = "READ(10)",
        .direction = Direction::in,
        .access = Access::read,
        .traits = reads,
        .usage = {0x28, dpo_fua, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = read,
    },
    Command{
        .opcode = 0x2a,
        .service_action = {},
        .name = "WRITE(10)",
        .direction = Direction::out,
        .access = Access::write,
        .traits = writes,
        .usage = {0x2a, dpo_fua, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, control_usage},
        .cdb_bytes = 10,
        .function = write,
    },
};

}  // namespace

std::span<const Command> block_commands() noexcept {
    return commands;
}

}  // namespace sidecore::scsi
