// SPDX-License-Identifier: Apache-2.0
#include "scsi/logical_unit.hh"
#include "scsi/nexus.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/sanitize_check.hh"

namespace sidecore::scsi {

namespace {

/// What there is to say about the unit without a unit attention (SPC-4 6.39, SBC-3 4.11.2 and 5.25).
Sense state_of(const LogicalUnit& unit) noexcept {
    if (unit.sanitizing.load(std::memory_order_acquire)) {
        return sanitizing_sense(unit);
    }
    if (unit.sanitize_failed.load(std::memory_order_acquire) != SanitizeFailure::none) {
        return {SenseKey::medium_error, AdditionalSense::sanitize_command_failed};
    }
    if (unit.stopped.load(std::memory_order_acquire)) {
        return {SenseKey::not_ready, AdditionalSense::initializing_command_required};
    }
    return {};
}

}  // namespace

/// SPC-4 6.39: sense data as parameter data, with GOOD status.
Progress request_sense(Operation& operation) noexcept {
    const SenseFormat format = operation.bit(1, 0) ? SenseFormat::descriptor : SenseFormat::fixed;
    const std::uint64_t allocation_length = operation.byte(4);
    const auto reply = [&](const Sense& sense) {
        return operation.reply(SenseData(sense, format).bytes(), allocation_length);
    };
    if (!operation.has_unit()) {
        return reply(operation.on_report_luns_unit()
                         ? Sense{}
                         : Sense{SenseKey::illegal_request, AdditionalSense::logical_unit_not_supported});
    }
    if (allocation_length != 0) {
        if (const auto attention = operation.nexus().take_attention()) {
            reply({SenseKey::unit_attention, *attention});
            if (operation.task().outcome == Outcome::overrun) {
                operation.nexus().raise(*attention);  // nobody has seen it
            }
            return Progress::done;
        }
    }
    return reply(state_of(operation.unit()));
}

/// SPC-4 6.47: its checks are the table's.
Progress test_unit_ready(Operation& operation) noexcept {
    return operation.good();
}

}  // namespace sidecore::scsi
