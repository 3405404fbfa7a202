// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <exception>
#include <optional>

#include "base/big_endian.hh"
#include "base/format.hh"
#include "base/log.hh"
#include "scsi/field_writer.hh"
#include "scsi/logical_unit.hh"
#include "scsi/mode_pages.hh"
#include "scsi/nexus.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/sanitize_check.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t short_block_descriptor_bytes = 8;
constexpr std::size_t long_block_descriptor_bytes = 16;

// DEVICE-SPECIFIC PARAMETER, SBC-3 6.5.1
constexpr std::uint8_t write_protect_bit = 0x80;
constexpr std::uint8_t dpofua_bit = 0x10;

// PAGE CONTROL, SPC-4 table 188
constexpr std::uint8_t changeable_values = 1;
constexpr std::uint8_t default_values = 2;
constexpr std::uint8_t saved_values = 3;

/// MODE SENSE(6) and MODE SELECT(6), of which all but the header is as in those of ten bytes.
bool is_short(const Operation& operation) noexcept {
    return operation.command().cdb_bytes == 6;
}

// ---- MODE SENSE

bool matches(const ModePage& page, std::uint8_t code, std::uint8_t subpage) noexcept {
    return (code == ModePage::all_pages || code == page.code()) &&
           (subpage == ModePage::all_subpages || subpage == page.subpage());
}

void write_block_descriptor(const LogicalUnit& unit, bool long_lba, FieldWriter& out) noexcept {
    const std::uint64_t blocks = unit.capacity_blocks();
    if (long_lba) {
        out.number(blocks, 8);
        out.zeroes(4);
        out.number(unit.block_bytes(), 4);
    } else {
        out.number(std::min<std::uint64_t>(blocks, UINT32_MAX), 4);
        out.number(unit.block_bytes(), 4);
    }
}

void write_pages(const LogicalUnit& unit, std::uint8_t control, std::uint8_t code, std::uint8_t subpage,
                 FieldWriter& out) noexcept {
    const ModeSettings settings = control == default_values ? unit.default_mode_settings()
                                  : control == saved_values ? unit.saved_mode_settings()
                                                            : unit.mode_settings();
    for (const ModePage& page : ModePage::all()) {
        if (!matches(page, code, subpage)) {
            continue;
        }
        std::array<std::byte, ModePage::bytes_max> bytes;
        if (control == changeable_values) {
            page.write_changeable(bytes);
        } else {
            page.write(settings, bytes);
        }
        if (unit.can_save_mode_settings()) {
            bytes[0] |= std::byte{0x80};  // PS
        }
        out.copy(std::span(bytes).first(page.size()));
    }
}

}  // namespace

/// SPC-4 6.14 and 6.15
Progress mode_sense(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    const std::uint8_t control = operation.bits(2, 7, 6);
    const std::uint8_t code = operation.bits(2, 5, 0);
    const std::uint8_t subpage = operation.byte(3);
    if (code == ModePage::all_pages && subpage != 0 && subpage != ModePage::all_subpages) {
        return operation.invalid_field(3, 7);
    }
    const auto known = [&](std::uint8_t wanted) {
        return std::ranges::any_of(ModePage::all(), [&](const ModePage& page) { return matches(page, code, wanted); });
    };
    if (!known(subpage)) {
        return known(ModePage::all_subpages) ? operation.invalid_field(3, 7) : operation.invalid_field(2, 5);
    }
    if (control == saved_values && !unit.can_save_mode_settings()) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::saving_parameters_not_supported);
    }

    const bool long_lba = !is_short(operation) && operation.bit(1, 4);  // LLBAA
    const std::size_t block_descriptor_bytes = operation.bit(1, 3) ? 0  // DBD
                                               : long_lba          ? long_block_descriptor_bytes
                                                                   : short_block_descriptor_bytes;
    const unsigned device_specific = (unit.write_protected() ? write_protect_bit : 0U) | dpofua_bit;
    std::array<std::byte, 256> memory;
    FieldWriter out(memory);
    out.zeroes(is_short(operation) ? 1 : 2);  // MODE DATA LENGTH
    out.byte(0x00);                           // MEDIUM TYPE
    out.byte(device_specific);
    if (is_short(operation)) {
        out.byte(block_descriptor_bytes);
    } else {
        out.byte(block_descriptor_bytes == long_block_descriptor_bytes ? 0x01 : 0x00);  // LONGLBA
        out.byte(0x00);
        out.number(block_descriptor_bytes, 2);
    }
    if (block_descriptor_bytes != 0) {
        write_block_descriptor(unit, long_lba, out);
    }
    write_pages(unit, control, code, subpage, out);
    if (is_short(operation)) {
        out.correct(0, out.size() - 1, 1);
        return operation.reply(out.written(), operation.byte(4));
    }
    out.correct(0, out.size() - 2, 2);
    return operation.reply(out.written(), operation.field(7, 2));
}

// ---- MODE SELECT

namespace {

/// Reads a parameter list from its beginning to its end; the first that is wrong in it ends the operation.
class ModeList {
public:
    ModeList(Operation& operation, std::span<const std::byte> list) noexcept : operation_(operation), list_(list) {}

    /// Nothing: the operation has ended.
    std::optional<ModeChanges> read() noexcept {
        if (!read_header() || !read_block_descriptor()) {
            return std::nullopt;
        }
        ModeChanges changes;
        while (at_ < list_.size()) {
            if (!read_page(changes)) {
                return std::nullopt;
            }
        }
        return changes;
    }

private:
    std::uint8_t byte(std::size_t at) const noexcept { return std::to_integer<std::uint8_t>(list_[at]); }
    std::uint64_t number(std::size_t at, std::size_t bytes) const noexcept {
        return load_big_endian(list_.subspan(at, bytes));
    }
    bool has(std::size_t bytes) noexcept {
        if (list_.size() - at_ >= bytes) {
            return true;
        }
        operation_.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
        return false;
    }
    bool wrong(std::size_t at, std::optional<std::uint8_t> bit = {}) noexcept {
        operation_.invalid_parameter(static_cast<std::uint16_t>(at), bit);
        return false;
    }

    /// SPC-4 7.5.5: what is reserved in MODE SELECT must be zero, but WP and DPOFUA, which initiators send back as they got them.
    bool read_header() noexcept {
        const bool six = is_short(operation_);
        const std::size_t length_bytes = six ? 1 : 2;
        if (!has(six ? 4 : 8)) {
            return false;
        }
        if (number(0, length_bytes) != 0) {
            return wrong(0, 7);
        }
        if (byte(length_bytes) != 0) {
            return wrong(length_bytes, 7);
        }
        constexpr unsigned left_alone = write_protect_bit | dpofua_bit;
        if ((byte(length_bytes + 1) & ~left_alone) != 0) {
            return wrong(length_bytes + 1);
        }
        if (six) {
            block_descriptor_bytes_ = byte(3);
            at_ = 4;
            return block_descriptor_bytes_ == 0 || block_descriptor_bytes_ == short_block_descriptor_bytes ||
                   wrong(3, 7);
        }
        if ((byte(4) & 0xfeU) != 0) {
            return wrong(4);
        }
        if (byte(5) != 0) {
            return wrong(5, 7);
        }
        long_lba_ = byte(4) != 0;
        block_descriptor_bytes_ = static_cast<std::size_t>(number(6, 2));
        at_ = 8;
        return block_descriptor_bytes_ == 0 ||
               block_descriptor_bytes_ == (long_lba_ ? long_block_descriptor_bytes : short_block_descriptor_bytes) ||
               wrong(6, 7);
    }

    /// SBC-3 6.5.2: the medium keeps its blocks and their length.
    bool read_block_descriptor() noexcept {
        if (block_descriptor_bytes_ == 0) {
            return true;
        }
        if (!has(block_descriptor_bytes_)) {
            return false;
        }
        const LogicalUnit& unit = operation_.unit();
        const std::size_t count_bytes = long_lba_ ? 8 : 4;
        const std::uint64_t all_ones = long_lba_ ? UINT64_MAX : UINT32_MAX;
        const std::uint64_t blocks = number(at_, count_bytes);
        if (blocks != 0 && blocks != all_ones && blocks != unit.capacity_blocks()) {
            return wrong(at_, 7);
        }
        const std::size_t reserved_at = at_ + count_bytes;
        const std::size_t length_at = at_ + (long_lba_ ? 12U : 5U);
        const std::size_t end = at_ + block_descriptor_bytes_;
        if (number(reserved_at, length_at - reserved_at) != 0) {
            return wrong(reserved_at, 7);
        }
        if (number(length_at, end - length_at) != unit.block_bytes()) {
            return wrong(length_at, 7);
        }
        at_ = end;
        return true;
    }

    /// SPC-4 7.5.7
    bool read_page(ModeChanges& changes) noexcept {
        if (!has(2)) {
            return false;
        }
        const std::uint8_t first = byte(at_);
        if ((first & 0x80U) != 0) {
            return wrong(at_, 7);  // PS is reserved here
        }
        const bool subpage_format = (first & 0x40U) != 0;
        const auto code = static_cast<std::uint8_t>(first & 0x3fU);
        const std::uint8_t subpage = subpage_format ? byte(at_ + 1) : std::uint8_t{0};
        const auto same_page = [&](const ModePage& page) { return page.code() == code; };
        const auto same = [&](const ModePage& page) {
            return same_page(page) && page.subpage() == subpage && (page.header_bytes() == 4) == subpage_format;
        };
        const auto page = std::ranges::find_if(ModePage::all(), same);
        if (page == ModePage::all().end()) {
            return subpage_format && std::ranges::any_of(ModePage::all(), same_page) ? wrong(at_ + 1, 7)
                                                                                     : wrong(at_, 5);
        }
        if (!has(page->header_bytes())) {
            return false;
        }
        const std::size_t length_at = at_ + page->header_bytes() / 2;
        if (number(length_at, page->header_bytes() / 2) != page->size() - page->header_bytes()) {
            return wrong(length_at, 7);
        }
        if (!has(page->size())) {
            return false;
        }
        if (const auto field = page->read(list_.subspan(at_, page->size()), changes)) {
            return wrong(at_ + field->byte, field->bit);
        }
        at_ += page->size();
        return true;
    }

    Operation& operation_;
    const std::span<const std::byte> list_;
    std::size_t at_ = 0;
    std::size_t block_descriptor_bytes_ = 0;
    bool long_lba_ = false;
};

std::optional<LogicalUnit::ModeTransition> change(LogicalUnit& unit, const ModeChanges& changes, bool save) noexcept {
    try {
        const auto changed = unit.change_mode(changes, save);
        if (changed) {
            return *changed;
        }
        spdlog::error("{}: saving mode pages: {}", unit.options().name, changed.error().message);
    } catch (const std::exception& exception) {
        spdlog::error("{}: saving mode pages: {}", unit.options().name, exception.what());
    }
    return std::nullopt;
}

}  // namespace

/// SPC-4 6.12 and 6.13
Progress mode_select(Operation& operation) noexcept {
    if (operation.stage() == 1) {
        return operation.result == 0 ? operation.good() : operation.storage_failed();
    }
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    LogicalUnit& unit = operation.unit();
    const bool save = operation.bit(1, 0);  // SP
    if (save && !unit.can_save_mode_settings()) {
        return operation.invalid_field(1, 0);
    }
    const auto length = static_cast<std::size_t>(is_short(operation) ? operation.byte(4) : operation.field(7, 2));
    if (length != 0 && !operation.bit(1, 4)) {
        return operation.invalid_field(1, 4);  // PF: pages of another format are known to nobody
    }
    if (length > operation.task().data_out_bytes) {
        return operation.overrun();
    }
    ModeChanges changes;
    if (length != 0) {
        const auto list = operation.buffer(length);
        if (list.empty()) {
            return operation.end(Status::task_set_full);
        }
        operation.take_parameters(list);
        const auto read = ModeList(operation, list).read();
        if (!read) {
            return Progress::done;
        }
        changes = *read;
    }
    const auto changed = change(unit, changes, save);
    if (!changed) {
        return operation.fail(SenseKey::hardware_error, AdditionalSense::internal_target_failure);
    }
    const auto& [before, after] = *changed;
    if (before != after) {
        unit.raise(AdditionalSense::mode_parameters_changed, &operation.nexus());
    }
    // What has been written before the cache went, or before the medium was protected, is to be stable (SBC-3 6.5.5, SPC-4 7.5.8).
    const bool flush = (before.write_cache && !after.write_cache) ||
                       (!before.software_write_protected && after.software_write_protected);
    return flush ? operation.flush() : operation.good();
}

}  // namespace sidecore::scsi
