// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "scsi/domain.hh"
#include "scsi/field_writer.hh"
#include "scsi/identity.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/vital_product_data.hh"

namespace sidecore::scsi {

/// SPC-4 6.37: all ports are in one group, which is active and optimised for ever.
Progress report_target_port_groups(Operation& operation) noexcept {
    constexpr std::size_t ports_max = 255;  // TARGET PORT COUNT is a byte
    constexpr std::size_t header_bytes_max = 8;
    constexpr std::size_t group_bytes = 8;
    constexpr std::size_t port_bytes = 4;
    const std::uint8_t format = operation.bits(1, 7, 5);  // PARAMETER DATA FORMAT
    if (format > 1) {
        return operation.invalid_field(1, 7);
    }
    std::array<std::uint8_t, ports_max> targets;
    const auto count = std::min(operation.domain().targets_of(operation.unit(), targets), ports_max);
    std::array<std::byte, header_bytes_max + group_bytes + ports_max * port_bytes> memory;
    FieldWriter out(memory);
    out.zeroes(4);
    if (format == 1) {
        out.byte(0x10);  // FORMAT TYPE: the extended header
        out.zeroes(3);   // no state is ever in transition
    }
    out.byte(0x00);  // ASYMMETRIC ACCESS STATE: active/optimised
    out.byte(0x01);  // AO_SUP, and no other
    out.number(target_port_group, 2);
    out.byte(0x00);
    out.byte(0x00);  // STATUS CODE: there is none
    out.byte(0x00);
    out.byte(count);
    for (const std::uint8_t target : std::span(targets).first(count)) {
        out.number(relative_port_of(target), port_bytes);
    }
    out.correct(0, out.size() - 4, 4);
    return operation.reply(out.written(), operation.field(6, 4));
}

}  // namespace sidecore::scsi
