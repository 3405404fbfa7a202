// SPDX-License-Identifier: Apache-2.0
#include "scsi/mode_pages.hh"

#include <algorithm>
#include <bit>

namespace sidecore::scsi {

namespace {

/// 01h, SBC-3 6.5.8: the storage sees to its own defects.
constexpr std::array<std::uint8_t, 12> read_write_error_recovery{
    0x01, 0x0a,
    0xc0,  // AWRE, ARRE
};

/// 02h, SPC-4 7.5.10: there is no bus.
constexpr std::array<std::uint8_t, 16> disconnect_reconnect{0x02, 0x0e};

/// 08h, SBC-3 6.5.5
constexpr std::array<std::uint8_t, 20> caching{0x08, 0x12};

/// 0Ah, SPC-4 7.5.8
constexpr std::array<std::uint8_t, 12> control{
    0x0a, 0x0a,
    0x22,  // TST 001b: a task set for each nexus; GLTSD: counters are not saved
    0x10,  // QUEUE ALGORITHM MODIFIER 1: simple tasks in any order; QERR 0: others go on after an error
};

/// 0Ah/01h, SPC-4 7.5.9
constexpr std::array<std::uint8_t, 32> control_extension{0x4a, 0x01, 0x00, 0x1c};

/// 1Ch, SBC-3 6.5.7
constexpr std::array<std::uint8_t, 12> informational_exceptions{
    0x1c, 0x0a, 0x00,
    0x06,  // MRIE: told when asked for
};

constexpr std::array page_table{
    ModePage(read_write_error_recovery), ModePage(disconnect_reconnect),     ModePage(caching), ModePage(control),
    ModePage(control_extension),         ModePage(informational_exceptions),
};
static_assert(std::ranges::all_of(page_table, [](const ModePage& page) { return page.size() <= ModePage::bytes_max; }));

/// Where a setting is.
struct Setting {
    std::uint8_t code;
    std::uint8_t subpage;
    std::size_t byte;
    std::uint8_t mask;
    bool ModeSettings::*value;
    std::optional<bool> ModeChanges::*change;
};

constexpr std::array settings_table{
    Setting{0x08, 0x00, 2, 0x04, &ModeSettings::write_cache, &ModeChanges::write_cache},
    Setting{0x0a, 0x00, 2, 0x04, &ModeSettings::descriptor_sense, &ModeChanges::descriptor_sense},
    Setting{0x0a, 0x00, 4, 0x08, &ModeSettings::software_write_protected, &ModeChanges::software_write_protected},
};

bool is_in(const Setting& setting, const ModePage& page) noexcept {
    return setting.code == page.code() && setting.subpage == page.subpage();
}

}  // namespace

std::span<const ModePage> ModePage::all() noexcept {
    return page_table;
}

void ModePage::write(const ModeSettings& settings, std::span<std::byte> out) const noexcept {
    std::ranges::copy(std::as_bytes(bytes_), out.begin());
    for (const Setting& setting : settings_table) {
        if (is_in(setting, *this) && settings.*setting.value) {
            out[setting.byte] |= std::byte{setting.mask};
        }
    }
}

void ModePage::write_changeable(std::span<std::byte> out) const noexcept {
    std::ranges::fill(out.first(size()), std::byte{0});
    std::ranges::copy(std::as_bytes(bytes_.first(header_bytes())), out.begin());
    for (const Setting& setting : settings_table) {
        if (is_in(setting, *this)) {
            out[setting.byte] |= std::byte{setting.mask};
        }
    }
}

std::optional<FieldPointer> ModePage::read(std::span<const std::byte> bytes, ModeChanges& changes) const noexcept {
    ModeSettings settings{false, false, false};
    for (const Setting& setting : settings_table) {
        if (is_in(setting, *this)) {
            settings.*setting.value = (bytes[setting.byte] & std::byte{setting.mask}) != std::byte{0};
            changes.*setting.change = settings.*setting.value;
        }
    }
    std::array<std::byte, bytes_max> possible;
    write(settings, possible);
    for (std::size_t i = 0; i < size(); ++i) {
        if (const auto wrong = std::to_integer<std::uint8_t>(bytes[i] ^ possible[i]); wrong != 0) {
            return FieldPointer{false, static_cast<std::uint16_t>(i),
                                static_cast<std::uint8_t>(std::bit_width(wrong) - 1)};
        }
    }
    return std::nullopt;
}

}  // namespace sidecore::scsi
