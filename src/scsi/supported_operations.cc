// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "scsi/command.hh"
#include "scsi/field_writer.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t descriptor_bytes = 8;
constexpr std::size_t timeouts_bytes = 12;

// REPORTING OPTIONS, SPC-4 table 297
constexpr std::uint8_t all_commands_option = 0;
constexpr std::uint8_t one_opcode = 1;
constexpr std::uint8_t one_service_action = 2;
constexpr std::uint8_t one_of_either = 3;

/// SPC-4 6.35.4. We promise no time, for it is the storage's to keep: all are 0.
void write_timeouts(FieldWriter& out) noexcept {
    out.number(timeouts_bytes - 2, 2);
    out.zeroes(timeouts_bytes - 2);
}

/// SPC-4 6.35.2
Progress reply_with_all(Operation& operation, bool timeouts) noexcept {
    const std::size_t each = descriptor_bytes + (timeouts ? timeouts_bytes : 0);
    const auto commands = all_commands();
    const auto memory = operation.buffer(4 + commands.size() * each);
    if (memory.empty()) {
        return operation.end(Status::task_set_full);
    }
    FieldWriter out(memory);
    out.number(commands.size() * each, 4);
    for (const Command* command : commands) {
        out.byte(command->opcode);
        out.byte(0x00);
        out.number(command->service_action.value_or(0), 2);
        out.byte(0x00);
        out.byte((timeouts ? 0x02U : 0x00U) | (command->service_action ? 0x01U : 0x00U));  // CTDP, SERVACTV
        out.number(command->cdb_bytes, 2);
        if (timeouts) {
            write_timeouts(out);
        }
    }
    return operation.reply(out.written(), operation.field(6, 4));
}

/// SPC-4 6.35.3
Progress reply_with_one(Operation& operation, const Command* command, bool timeouts) noexcept {
    std::array<std::byte, 4 + Command::cdb_bytes_max + timeouts_bytes> memory;
    FieldWriter out(memory);
    out.byte(0x00);
    if (command == nullptr) {
        out.byte(0x01);  // SUPPORT: no
        out.number(0, 2);
    } else {
        out.byte((timeouts ? 0x80U : 0x00U) | 0x03U);  // CTDP; SUPPORT: as the standard says
        out.number(command->cdb_bytes, 2);
        out.copy(std::as_bytes(std::span(command->usage).first(command->cdb_bytes)));
        if (timeouts) {
            write_timeouts(out);
        }
    }
    return operation.reply(out.written(), operation.field(6, 4));
}

}  // namespace

/// SPC-4 6.35
Progress report_supported_operations(Operation& operation) noexcept {
    const bool timeouts = operation.bit(2, 7);  // RCTD
    const std::uint8_t option = operation.bits(2, 2, 0);
    const std::uint8_t opcode = operation.byte(3);
    const auto service_action = static_cast<std::uint16_t>(operation.field(4, 2));
    const bool with_actions = has_service_actions(opcode);
    const Command* const command = find_command(opcode, service_action).command;
    switch (option) {
        case all_commands_option:
            return reply_with_all(operation, timeouts);
        case one_opcode:
            if (with_actions) {
                return operation.invalid_field(2, 2);
            }
            return reply_with_one(operation, command, timeouts);
        case one_service_action:
            // An opcode that nobody knows has no service actions that we know of: that is no mistake of the initiator's.
            if (command != nullptr && !with_actions) {
                return operation.invalid_field(2, 2);
            }
            return reply_with_one(operation, command, timeouts);
        case one_of_either:
            return reply_with_one(operation, with_actions || service_action == 0 ? command : nullptr, timeouts);
        default:
            return operation.invalid_field(2, 2);
    }
}

/// SPC-4 6.36
Progress report_supported_task_management(Operation& operation) noexcept {
    constexpr std::size_t basic_bytes = 4;
    constexpr std::size_t extended_bytes = 16;
    const std::uint64_t allocation_length = operation.field(6, 4);
    if (allocation_length < basic_bytes) {
        return operation.invalid_field(6, 7);
    }
    const bool extended = operation.bit(2, 7);  // REPD
    std::array<std::byte, extended_bytes> memory;
    FieldWriter out(memory);
    out.byte(0xfc);  // ATS, ATSS, CACAS, CTSS, LURS, QTS
    out.byte(0x03);  // QTSS, ITNRS
    out.byte(0x00);
    out.byte(extended ? extended_bytes - basic_bytes : 0);
    if (extended) {
        out.zeroes(extended_bytes - basic_bytes);  // TMFTMOV 0: no times are promised
    }
    return operation.reply(out.written(), allocation_length);
}

}  // namespace sidecore::scsi
