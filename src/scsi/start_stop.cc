// SPDX-License-Identifier: Apache-2.0
#include "scsi/logical_unit.hh"
#include "scsi/nexus.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/sanitize_check.hh"

namespace sidecore::scsi {

/// SBC-3 5.25. IMMED changes nothing, since no wheel has to turn; there are no power conditions, and nothing can be loaded or ejected.
Progress start_stop_unit(Operation& operation) noexcept {
    LogicalUnit& unit = operation.unit();
    if (operation.stage() == 1) {
        if (operation.result == 0) {
            return operation.good();
        }
        unit.stopped.store(false, std::memory_order_release);  // for an initiator can still save its data elsewhere
        return operation.storage_failed();
    }
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    const bool start = operation.bit(4, 0);
    const bool no_flush = operation.bit(4, 2);
    if (start) {
        unit.stopped.store(false, std::memory_order_release);
        return operation.good();
    }
    // Before the flush: what is written afterwards would not be covered by it.
    const bool stopped = unit.stopped.exchange(true, std::memory_order_acq_rel);
    return stopped || no_flush ? operation.good() : operation.flush();
}

/// SPC-4 6.19. Nothing can be removed; still, each nexus is told what it wants to hear.
Progress prevent_allow_medium_removal(Operation& operation) noexcept {
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    operation.nexus().prevent_removal(operation.bit(4, 0));
    return operation.good();
}

}  // namespace sidecore::scsi
