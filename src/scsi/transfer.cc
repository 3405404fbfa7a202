// SPDX-License-Identifier: Apache-2.0
#include "base/pieces.hh"
#include "scsi/block_functions.hh"
#include "scsi/extent.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

namespace {

/// FUA; the commands of 6 bytes have none.
bool force_unit_access(const Operation& operation) noexcept {
    return operation.command().cdb_bytes != 6 && operation.bit(1, 3);
}

}  // namespace

/// READ of any length (SBC-3 5.10 to 5.13): a zero TRANSFER LENGTH reads nothing, but in READ(6).
Progress read(Operation& operation) noexcept {
    if (operation.stage() != 0 && operation.result != 0) {
        return operation.storage_failed();
    }
    const bool done = operation.stage() != 0 && operation.operation == storage::BlockOperation::read;
    if (done) {
        return operation.good();
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
    if (operation.stage() == 0 && force_unit_access(operation) && !operation.unit().durable(false)) {
        return operation.flush();  // SBC-3 5.11: what the cache has goes to the medium before it is read there
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
    return operation.write(extent->offset, extent->bytes, task.data_out,
                           operation.unit().durable(force_unit_access(operation)));
}

}  // namespace sidecore::scsi
