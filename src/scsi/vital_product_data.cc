// SPDX-License-Identifier: Apache-2.0
#include "scsi/vital_product_data.hh"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "scsi/domain.hh"
#include "scsi/field_writer.hh"
#include "scsi/identity.hh"
#include "scsi/limits.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/provisioning.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t header_bytes = 4;
constexpr std::size_t page_bytes_max = 512;

/// A page that INQUIRY knows. Its function writes what follows the header.
struct Page {
    std::uint8_t code;
    bool well_known;  ///< of the REPORT LUNS logical unit as well
    bool without_unit;
    void (*write)(Operation&, FieldWriter&) noexcept;
};

std::span<const Page> pages() noexcept;

bool has(const Operation& operation, const Page& page) noexcept {
    return operation.has_unit() || (operation.on_report_luns_unit() ? page.well_known : page.without_unit);
}

/// 00h, SPC-4 7.8.15
void supported_pages(Operation& operation, FieldWriter& out) noexcept {
    for (const Page& page : pages()) {
        if (has(operation, page)) {
            out.byte(page.code);
        }
    }
}

/// 80h, SPC-4 7.8.17
void unit_serial_number(Operation& operation, FieldWriter& out) noexcept {
    const std::string& serial = operation.unit().serial();
    out.text(serial, serial.size());
}

// ---- 83h, SPC-4 7.8.6

enum class CodeSet : std::uint8_t { binary = 1, ascii = 2, utf_8 = 3 };
enum class Association : std::uint8_t { logical_unit = 0, target_port = 1, target_device = 2 };
enum class Designator : std::uint8_t {
    t10_vendor_id = 1,
    naa = 3,
    relative_target_port = 4,
    target_port_group = 5,
    scsi_name_string = 8,
};

void designator(FieldWriter& out, Association association, Designator type, CodeSet code_set,
                std::size_t bytes) noexcept {
    // PIV and the protocol SAS, as the TransportIDs have it; the unit itself is of no protocol.
    const bool of_unit = association == Association::logical_unit;
    out.byte((of_unit ? 0x00U : 0x60U) | static_cast<unsigned>(code_set));
    out.byte((of_unit ? 0x00U : 0x80U) | static_cast<unsigned>(association) << 4U | static_cast<unsigned>(type));
    out.byte(0x00);
    out.byte(bytes);
}

/// "naa." and 16 digits, a zero, and more of them up to a multiple of four bytes (SPC-4 7.8.6.11).
void naa_name_string(FieldWriter& out, Association association, std::uint64_t naa) noexcept {
    std::array<char, 24> name{};
    std::snprintf(name.data(), name.size(), "naa.%016llX", static_cast<unsigned long long>(naa));
    designator(out, association, Designator::scsi_name_string, CodeSet::utf_8, name.size());
    out.copy(std::as_bytes(std::span(name)));
}

void of_unit(const LogicalUnit& unit, FieldWriter& out) noexcept {
    designator(out, Association::logical_unit, Designator::naa, CodeSet::binary, 8);
    out.number(unit.identity(), 8);
    const std::string& serial = unit.serial();
    designator(out, Association::logical_unit, Designator::t10_vendor_id, CodeSet::ascii, 8 + 16 + serial.size());
    out.text(unit.options().vendor, 8);
    out.text(unit.options().product, 16);
    out.text(serial, serial.size());
    naa_name_string(out, Association::logical_unit, unit.identity());
}

void device_identification(Operation& operation, FieldWriter& out) noexcept {
    if (operation.has_unit()) {
        of_unit(operation.unit(), out);
    }
    const Domain& domain = operation.domain();
    const std::uint8_t target = operation.task().target;
    designator(out, Association::target_port, Designator::relative_target_port, CodeSet::binary, 4);
    out.number(relative_port_of(target), 4);
    designator(out, Association::target_port, Designator::target_port_group, CodeSet::binary, 4);
    out.number(target_port_group, 4);
    designator(out, Association::target_port, Designator::naa, CodeSet::binary, 8);
    out.number(target_port_naa(domain.initiator(), target), 8);
    naa_name_string(out, Association::target_device, target_device_naa(domain.initiator(), target));
}

// ---- What the unit can do

/// 86h, SPC-4 7.8.7
void extended_inquiry(Operation& operation, FieldWriter& out) noexcept {
    out.byte(0x00);  // ACTIVATE_MICROCODE, SPT; GRD_CHK, APP_CHK, REF_CHK: no protection information
    out.byte(0x07);  // HEADSUP, ORDSUP, SIMPSUP
    out.byte(operation.unit().geometry().volatile_write_cache ? 0x01 : 0x00);  // V_SUP
    out.zeroes(13 - 7);
    out.byte(SenseData::bytes_max);  // MAXIMUM SUPPORTED SENSE DATA LENGTH
    out.zeroes(64 - 14);
}

/// 87h, SPC-4 7.8.9
void mode_page_policy(Operation& /*operation*/, FieldWriter& out) noexcept {
    out.byte(0x3f);  // all pages
    out.byte(0xff);  // all subpages
    out.byte(0x00);  // are shared by all nexuses
    out.byte(0x00);
}

/// In logical blocks, of which it is a whole number; 0: it is not.
std::uint32_t blocks_of(std::uint32_t bytes, std::uint32_t block_bytes) noexcept {
    return bytes % block_bytes == 0 ? bytes / block_bytes : 0;
}

/// B0h, SBC-3 6.6.3
void block_limits(Operation& operation, FieldWriter& out) noexcept {
    const storage::BlockGeometry& geometry = operation.unit().geometry();
    const bool thin = provisioned_thinly(operation.unit());
    const std::uint32_t block = geometry.logical_block_bytes;
    const std::uint32_t optimal = std::min(blocks_of(geometry.optimal_io_bytes, block), transfer_blocks_max(block));
    const std::uint32_t discard_granularity = blocks_of(geometry.discard_granularity_bytes, block);
    out.byte(write_same_non_zero ? 0x01 : 0x00);  // WSNZ
    out.byte(compare_and_write_blocks_max(block));
    out.number(std::min<std::uint32_t>(blocks_of(geometry.physical_block_bytes, block), UINT16_MAX), 2);
    out.number(transfer_blocks_max(block), 4);
    out.number(optimal, 4);
    out.number(prefetch_blocks_max(block), 4);
    out.number(thin ? unmap_blocks_max(block) : 0, 4);
    out.number(thin ? unmap_descriptors_max : 0, 4);
    out.number(thin ? discard_granularity : 0, 4);
    out.number(thin && discard_granularity != 0 ? 0x80000000U : 0, 4);  // UGAVALID, and an alignment of 0
    out.number(write_same_blocks_max(block), 8);
    out.zeroes(64 - 44);
}

/// B1h, SBC-3 6.6.2
void block_device_characteristics(Operation& operation, FieldWriter& out) noexcept {
    out.number(operation.unit().options().rotational ? 7200 : 1, 2);  // 1: it does not rotate
    out.zeroes(8 - 6);
    out.byte(0x03);  // FUAB: SYNCHRONIZE CACHE obeys FUA's rules; VBULS: blocks never written can be verified
    out.zeroes(64 - 9);
}

/// B2h, SBC-3 6.6.4
void logical_block_provisioning(Operation& operation, FieldWriter& out) noexcept {
    const LogicalUnit& unit = operation.unit();
    const bool thin = provisioned_thinly(unit);
    unsigned how = 0;
    if (thin) {
        how = 0x80U | 0x40U | 0x20U;  // LBPU, LBPWS, LBPWS10
    }
    if (unmapped_reads_zero(unit)) {
        how |= 0x04U;  // LBPRZ
    }
    out.byte(0x00);  // THRESHOLD EXPONENT: there are none
    out.byte(how);
    out.byte(thin ? 0x02 : 0x00);  // PROVISIONING TYPE: thin, or it is not said
    out.byte(0x00);
}

constexpr std::array all_pages{
    Page{0x00, true, true, supported_pages},
    Page{0x80, false, false, unit_serial_number},
    Page{0x83, true, false, device_identification},
    Page{0x86, false, false, extended_inquiry},
    Page{0x87, false, false, mode_page_policy},
    Page{0xb0, false, false, block_limits},
    Page{0xb1, false, false, block_device_characteristics},
    Page{0xb2, false, false, logical_block_provisioning},
};

std::span<const Page> pages() noexcept {
    return all_pages;
}

}  // namespace

std::uint8_t peripheral_of(const Operation& operation) noexcept {
    if (operation.has_unit()) {
        return 0x00;
    }
    return operation.on_report_luns_unit() ? 0x1e : 0x7f;
}

Progress vital_product_data(Operation& operation) noexcept {
    const auto page = std::ranges::find(pages(), operation.byte(2), &Page::code);
    if (page == pages().end() || !has(operation, *page)) {
        return operation.invalid_field(2, 7);
    }
    std::array<std::byte, page_bytes_max> memory;
    FieldWriter out(memory);
    out.byte(peripheral_of(operation));
    out.byte(page->code);
    out.zeroes(2);
    page->write(operation, out);
    out.correct(2, out.size() - header_bytes, 2);
    return operation.reply(out.written(), operation.field(3, 2));
}

}  // namespace sidecore::scsi
