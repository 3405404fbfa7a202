// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>

#include "scsi/field_writer.hh"
#include "scsi/logical_unit.hh"
#include "scsi/nexus.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"
#include "scsi/sanitize_check.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint8_t all_pages = 0x00;
constexpr std::uint8_t informational_exceptions = 0x2f;
constexpr std::uint8_t all_subpages = 0xff;
constexpr std::size_t page_bytes_max = 64;

// PAGE CONTROL, SPC-4 table 179
constexpr std::uint8_t cumulative_values = 1;
constexpr std::uint8_t default_cumulative_values = 3;

/// An error counter page (SPC-4 7.3.7 and others like it).
struct CounterPage {
    std::uint8_t code;
    std::atomic<std::uint64_t> ErrorCounters::*errors;
};

constexpr std::array counter_pages{
    CounterPage{0x02, &ErrorCounters::write},
    CounterPage{0x03, &ErrorCounters::read},
    CounterPage{0x05, &ErrorCounters::verify},
};

constexpr std::array<std::uint8_t, 5> page_codes{all_pages, 0x02, 0x03, 0x05, informational_exceptions};

// PARAMETER CODEs of an error counter page
constexpr std::uint16_t total_errors_corrected = 0x0003;
constexpr std::uint16_t total_uncorrected_errors = 0x0006;

const CounterPage* counter_page(std::uint8_t code) noexcept {
    const auto page = std::ranges::find(counter_pages, code, &CounterPage::code);
    return page == counter_pages.end() ? nullptr : &*page;
}

void write_counter(FieldWriter& out, std::uint16_t code, std::uint64_t value) noexcept {
    out.number(code, 2);
    out.byte(0x20);  // TSD: nobody saves it; a bounded data counter
    out.byte(8);
    out.number(value, 8);
}

/// `errors` of that page, none of which the unit could correct by itself. A threshold is one that no counter reaches.
void write_counters(FieldWriter& out, std::uint8_t control, std::uint16_t from, std::uint64_t errors) noexcept {
    const bool counts = control == cumulative_values || control == default_cumulative_values;
    const auto value = [&](std::uint64_t cumulative) {
        return !counts ? UINT64_MAX : control == cumulative_values ? cumulative : 0;
    };
    if (from <= total_errors_corrected) {
        write_counter(out, total_errors_corrected, value(0));
    }
    write_counter(out, total_uncorrected_errors, value(errors));
}

/// SPC-4 7.3.11
void write_informational_exceptions(FieldWriter& out) noexcept {
    out.number(0x0000, 2);
    out.byte(0x03);  // a list in binary format
    out.byte(4);
    out.number(0, 2);  // INFORMATIONAL EXCEPTION ADDITIONAL SENSE CODE and its qualifier: there is none
    out.byte(0xff);    // MOST RECENT TEMPERATURE READING: not known
    out.byte(0x00);
}

/// The greatest PARAMETER CODE of the page; none: it has no parameters.
std::uint16_t last_parameter(std::uint8_t code) noexcept {
    return counter_page(code) != nullptr ? total_uncorrected_errors : std::uint16_t{0};
}

void write_supported_pages(FieldWriter& out, bool subpages) noexcept {
    for (const std::uint8_t code : page_codes) {
        out.byte(code);
        if (!subpages) {
            continue;
        }
        out.byte(0x00);
        if (code == all_pages) {
            out.byte(all_pages);
            out.byte(all_subpages);
        }
    }
}

}  // namespace

/// SPC-4 6.8 and 7.3
Progress log_sense(Operation& operation) noexcept {
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    const std::uint8_t control = operation.bits(2, 7, 6);
    const std::uint8_t code = operation.bits(2, 5, 0);
    const std::uint8_t subpage = operation.byte(3);
    if (std::ranges::find(page_codes, code) == page_codes.end()) {
        return operation.invalid_field(2, 5);
    }
    const bool subpages = code == all_pages && subpage == all_subpages;
    if (subpage != 0 && !subpages) {
        return operation.invalid_field(3, 7);
    }
    const auto from = static_cast<std::uint16_t>(operation.field(5, 2));  // PARAMETER POINTER
    if (from > last_parameter(code)) {
        return operation.invalid_field(5, 7);
    }
    std::array<std::byte, page_bytes_max> memory;
    FieldWriter out(memory);
    out.byte(0x80U | (subpages ? 0x40U : 0x00U) | code);  // DS: not saved; SPF
    out.byte(subpage);
    out.number(0, 2);
    if (code == all_pages) {
        write_supported_pages(out, subpages);
    } else if (const CounterPage* page = counter_page(code)) {
        write_counters(out, control, from,
                       (operation.unit().error_counters().*page->errors).load(std::memory_order_relaxed));
    } else {
        write_informational_exceptions(out);
    }
    out.correct(2, out.size() - 4, 2);
    return operation.reply(out.written(), operation.field(7, 2));
}

namespace {

/// SPC-4 6.7: page 00h stands for all pages. False: there is no such page with counters.
bool reset_counters(LogicalUnit& unit, std::uint8_t code) noexcept {
    bool any = code == all_pages;
    for (const CounterPage& page : counter_pages) {
        if (code == all_pages || code == page.code) {
            (unit.error_counters().*page.errors).store(0, std::memory_order_relaxed);
            any = true;
        }
    }
    return any;
}

}  // namespace

/// SPC-4 6.7. Counters can be reset, to which PCR asks for, or a PAGE CONTROL of default cumulative values; nothing can be set.
Progress log_select(Operation& operation) noexcept {
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    const bool reset = operation.bit(1, 1);  // PCR
    const std::uint8_t control = operation.bits(2, 7, 6);
    const std::uint8_t code = operation.bits(2, 5, 0);
    if (operation.byte(3) != 0) {
        return operation.invalid_field(3, 7);
    }
    if (std::ranges::find(page_codes, code) == page_codes.end()) {
        return operation.invalid_field(2, 5);
    }
    if (operation.field(7, 2) != 0) {
        return operation.invalid_field(7, 7);
    }
    if (!reset && control != default_cumulative_values) {
        return operation.good();  // thresholds have no other values than those that they have
    }
    LogicalUnit& unit = operation.unit();
    if (reset_counters(unit, code)) {
        unit.raise(AdditionalSense::log_parameters_changed, &operation.nexus());
    }
    return operation.good();
}

}  // namespace sidecore::scsi
