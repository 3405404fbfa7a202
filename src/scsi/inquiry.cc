// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "scsi/field_writer.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/vital_product_data.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t standard_bytes = 96;

// SPC-4 table 142: standards without a claim to one revision of them.
constexpr std::array<std::uint16_t, 3> version_descriptors{
    0x00a0,  // SAM-5
    0x0460,  // SPC-4
    0x04c0,  // SBC-3
};

Progress standard_inquiry(Operation& operation) noexcept {
    // Where there is no unit, what a guest may read is what the target would say of any.
    static const LogicalUnit::Options unknown;
    const bool there = operation.has_unit();
    const LogicalUnit::Options& options = there ? operation.unit().options() : unknown;
    std::array<std::byte, standard_bytes> memory;
    FieldWriter out(memory);
    out.byte(peripheral_of(operation));
    out.byte(0x00);                 // RMB: it is not removable
    out.byte(0x06);                 // VERSION: SPC-4
    out.byte(0x32);                 // NORMACA, HISUP, RESPONSE DATA FORMAT 2
    out.byte(standard_bytes - 5);   // ADDITIONAL LENGTH
    out.byte(there ? 0x18 : 0x00);  // TPGS 01b: implicit states, which REPORT TARGET PORT GROUPS tells; 3PC
    out.byte(there ? 0x10 : 0x00);  // MULTIP: several devices may have it
    out.byte(0x02);                 // CMDQUE
    out.text(options.vendor, 8);
    out.text(operation.on_report_luns_unit() ? "REPORT LUNS" : options.product, 16);
    out.text(options.revision, 4);
    out.zeroes(20 + 2);
    for (const std::uint16_t descriptor : version_descriptors) {
        out.number(descriptor, 2);
    }
    out.zeroes(standard_bytes - out.size());
    return operation.reply(memory, operation.field(3, 2));
}

}  // namespace

/// SPC-4 6.6
Progress inquiry(Operation& operation) noexcept {
    if (operation.bit(1, 0)) {  // EVPD
        return vital_product_data(operation);
    }
    if (operation.byte(2) != 0) {
        return operation.invalid_field(2, 7);
    }
    return standard_inquiry(operation);
}

}  // namespace sidecore::scsi
