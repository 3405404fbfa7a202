// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "scsi/sense.hh"

namespace sidecore::scsi {

/// What MODE SELECT can change, all of it shared by all nexuses of a logical unit.
struct ModeSettings {
    bool write_cache = true;                ///< WCE of the caching page
    bool descriptor_sense = false;          ///< D_SENSE of the control page
    bool software_write_protected = false;  ///< SWP of the control page

    friend bool operator==(const ModeSettings&, const ModeSettings&) = default;
};

/// What one MODE SELECT wants of them.
struct ModeChanges {
    std::optional<bool> write_cache{};
    std::optional<bool> descriptor_sense{};
    std::optional<bool> software_write_protected{};

    ModeSettings applied_to(ModeSettings settings) const noexcept {
        settings.write_cache = write_cache.value_or(settings.write_cache);
        settings.descriptor_sense = descriptor_sense.value_or(settings.descriptor_sense);
        settings.software_write_protected = software_write_protected.value_or(settings.software_write_protected);
        return settings;
    }
};

/// A mode page or subpage. Its bytes are what they are but for the settings in it.
class ModePage {
public:
    static constexpr std::size_t bytes_max = 32;
    static constexpr std::uint8_t all_pages = 0x3f;
    static constexpr std::uint8_t all_subpages = 0xff;

    /// All of them, as MODE SENSE tells them: by page and subpage.
    static std::span<const ModePage> all() noexcept;

    std::uint8_t code() const noexcept { return static_cast<std::uint8_t>(bytes_[0] & 0x3fU); }
    std::uint8_t subpage() const noexcept { return header_bytes() == 4 ? bytes_[1] : std::uint8_t{0}; }
    constexpr std::size_t size() const noexcept { return bytes_.size(); }
    std::size_t header_bytes() const noexcept { return (bytes_[0] & 0x40U) != 0 ? 4 : 2; }  // SPF

    /// Writes the page, size() bytes.
    void write(const ModeSettings& settings, std::span<std::byte> out) const noexcept;

    /// Likewise with a one in each bit that can be changed.
    void write_changeable(std::span<std::byte> out) const noexcept;

    /// Takes the settings out of a page of size() bytes with the right header. A field that cannot be so is pointed at, in the page.
    std::optional<FieldPointer> read(std::span<const std::byte> bytes, ModeChanges& changes) const noexcept;

    explicit constexpr ModePage(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

private:
    std::span<const std::uint8_t> bytes_;
};

}  // namespace sidecore::scsi
