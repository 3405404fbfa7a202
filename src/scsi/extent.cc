// SPDX-License-Identifier: Apache-2.0
#include "scsi/extent.hh"

#include "scsi/limits.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

namespace {

struct Fields {
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;
    std::uint16_t length_at = 0;
};

Fields fields_of(const Operation& operation) noexcept {
    switch (operation.command().cdb_bytes) {
        case 6: {  // SBC-3 5.10: 21 bits, and 0 stands for 256 blocks
            const std::uint64_t blocks = operation.field(4, 1);
            return {operation.field(1, 3) & 0x1fffffU, blocks == 0 ? 256 : blocks, 4};
        }
        case 10:
            return {operation.field(2, 4), operation.field(7, 2), 7};
        case 12:
            return {operation.field(2, 4), operation.field(6, 4), 6};
        case 16:
            return {operation.field(2, 8), operation.field(10, 4), 10};
        default:
            return {operation.field(12, 8), operation.field(28, 4), 28};
    }
}

}  // namespace

std::optional<Extent> extent_of(Operation& operation, bool limited) noexcept {
    const LogicalUnit& unit = operation.unit();
    const Fields fields = fields_of(operation);
    if (!unit.in_range(fields.lba, fields.blocks)) {
        Sense sense{SenseKey::illegal_request, AdditionalSense::lba_out_of_range};
        sense.information = fields.lba;
        operation.fail(sense);
        return std::nullopt;
    }
    const std::uint64_t block = unit.block_bytes();
    const Extent extent{fields.lba, fields.blocks, fields.lba * block, fields.blocks * block};
    if (limited && extent.bytes > transfer_bytes_max) {
        operation.invalid_field(fields.length_at);
        return std::nullopt;
    }
    return extent;
}

}  // namespace sidecore::scsi
