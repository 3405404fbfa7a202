// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "scsi/field_writer.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/sanitize_check.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint8_t supported_pages = 0x00;

// SELF-TEST CODE, SPC-4 table 306
constexpr std::uint8_t default_test = 0;
constexpr std::uint8_t foreground_short = 5;
constexpr std::uint8_t foreground_extended = 6;

/// The test: the storage answers, and a block can be read. It needs the medium.
Progress self_test(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    if (unit.stopped.load(std::memory_order_acquire)) {
        return operation.fail(SenseKey::not_ready, AdditionalSense::initializing_command_required);
    }
    if (unit.capacity_blocks() == 0) {
        return operation.good();
    }
    const auto block = operation.buffer(unit.block_bytes());
    return block.empty() ? operation.end(Status::task_set_full) : operation.read(0, block);
}

}  // namespace

/// SPC-4 6.42
Progress send_diagnostic(Operation& operation) noexcept {
    if (operation.stage() == 1) {
        return operation.result == 0
                   ? operation.good()
                   : operation.fail(SenseKey::hardware_error, AdditionalSense::logical_unit_failed_self_test);
    }
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    const std::uint8_t code = operation.bits(1, 7, 5);
    const bool self_test_bit = operation.bit(1, 2);
    const bool foreground = code == foreground_short || code == foreground_extended;
    // Background tests, and their end, would need the self-test results log page.
    if (code != default_test && (self_test_bit || !foreground)) {
        return operation.invalid_field(1, 7);
    }
    if (operation.field(3, 2) != 0) {
        return operation.invalid_field(3, 7);  // a test has no parameters, and there is no page to be sent
    }
    return self_test_bit || foreground ? self_test(operation) : operation.good();
}

/// SPC-4 6.31: the page of supported pages, which names itself.
Progress receive_diagnostic_results(Operation& operation) noexcept {
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    if (!operation.bit(1, 0)) {
        return operation.invalid_field(1, 0);  // PCV 0: no SEND DIAGNOSTIC has left anything to be read
    }
    if (operation.byte(2) != supported_pages) {
        return operation.invalid_field(2, 7);
    }
    std::array<std::byte, 5> memory;
    FieldWriter out(memory);
    out.byte(supported_pages);
    out.byte(0x00);
    out.number(1, 2);
    out.byte(supported_pages);
    return operation.reply(out.written(), operation.field(3, 2));
}

}  // namespace sidecore::scsi
