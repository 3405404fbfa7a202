// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "scsi/codes.hh"

namespace sidecore::scsi {

/// Where a wrong field is (SPC-4 4.5.2.4.2): the byte, and the most significant bit of the field in it.
struct FieldPointer {
    bool in_cdb = true;  ///< else in the parameter list
    std::uint16_t byte = 0;
    std::optional<std::uint8_t> bit{};

    friend bool operator==(const FieldPointer&, const FieldPointer&) = default;
};

/// What a command that did not go well has to say, before it is written as sense data (SPC-4 4.5).
struct Sense {
    SenseKey key = SenseKey::no_sense;
    AdditionalSense code = AdditionalSense::none;
    std::optional<std::uint64_t> information{};          ///< mostly an LBA
    std::optional<std::uint64_t> command_information{};  ///< COMMAND-SPECIFIC INFORMATION
    std::optional<FieldPointer> field{};                 ///< ILLEGAL REQUEST only
    std::optional<std::uint16_t> progress{};             ///< NOT READY and NO SENSE: of 65536

    friend bool operator==(const Sense&, const Sense&) = default;
};

enum class SenseFormat : std::uint8_t { fixed, descriptor };

/// Sense data that goes with a status. Fixed-format data cannot tell a number above 32 bits: it is left out, VALID being 0.
class SenseData {
public:
    static constexpr std::size_t bytes_max = 64;

    SenseData() = default;
    SenseData(const Sense& sense, SenseFormat format) noexcept;

    std::span<const std::byte> bytes() const noexcept { return std::span(bytes_).first(size_); }
    bool empty() const noexcept { return size_ == 0; }

private:
    void write_fixed(const Sense& sense) noexcept;
    void write_descriptors(const Sense& sense) noexcept;

    std::array<std::byte, bytes_max> bytes_{};
    std::uint8_t size_ = 0;
};

/// The other way, for tests and for whoever reads sense data. Nothing: it is of no kind known here.
std::optional<Sense> read_sense(std::span<const std::byte> bytes) noexcept;

}  // namespace sidecore::scsi
