// SPDX-License-Identifier: Apache-2.0
#include "scsi/sense.hh"

#include "base/big_endian.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint8_t fixed_current = 0x70;
constexpr std::uint8_t descriptor_current = 0x72;
constexpr std::size_t fixed_bytes = 18;
constexpr std::size_t descriptor_header_bytes = 8;

// SPC-4 4.5.2.1: types of descriptors
constexpr std::uint8_t information_descriptor = 0x00;
constexpr std::uint8_t command_information_descriptor = 0x01;
constexpr std::uint8_t key_specific_descriptor = 0x02;

using KeySpecific = std::array<std::byte, 3>;

/// SPC-4 4.5.2.4; nothing where the sense key has nothing specific to say.
std::optional<KeySpecific> key_specific(const Sense& sense) noexcept {
    KeySpecific out{};
    std::uint8_t first = 0x80;  // SKSV
    if (sense.field) {
        first = static_cast<std::uint8_t>(first | (sense.field->in_cdb ? 0x40U : 0U));
        if (sense.field->bit) {
            first = static_cast<std::uint8_t>(first | 0x08U | (*sense.field->bit & 0x07U));
        }
        store_big_endian(std::span(out).subspan(1), sense.field->byte);
    } else if (sense.progress) {
        store_big_endian(std::span(out).subspan(1), *sense.progress);
    } else {
        return std::nullopt;
    }
    out[0] = static_cast<std::byte>(first);
    return out;
}

void read_key_specific(std::span<const std::byte, 3> bytes, Sense& sense) noexcept {
    const auto first = std::to_integer<std::uint8_t>(bytes[0]);
    if ((first & 0x80U) == 0) {
        return;
    }
    const auto value = load_big_endian<std::uint16_t>(bytes.subspan<1>());
    if (sense.key == SenseKey::illegal_request) {
        sense.field = FieldPointer{(first & 0x40U) != 0, value, std::nullopt};
        if ((first & 0x08U) != 0) {
            sense.field->bit = static_cast<std::uint8_t>(first & 0x07U);
        }
    } else {
        sense.progress = value;
    }
}

void copy(std::span<const std::byte> from, std::span<std::byte> to) noexcept {
    for (std::size_t i = 0; i < from.size(); ++i) {
        to[i] = from[i];
    }
}

}  // namespace

SenseData::SenseData(const Sense& sense, SenseFormat format) noexcept {
    if (format == SenseFormat::fixed) {
        write_fixed(sense);
    } else {
        write_descriptors(sense);
    }
}

/// SPC-4 4.5.3
void SenseData::write_fixed(const Sense& sense) noexcept {
    const std::span<std::byte> out(bytes_);
    std::uint8_t response = fixed_current;
    if (sense.information && *sense.information <= UINT32_MAX) {
        response = static_cast<std::uint8_t>(response | 0x80U);  // VALID
        store_big_endian(out.subspan(3, 4), *sense.information);
    }
    out[0] = static_cast<std::byte>(response);
    out[2] = static_cast<std::byte>(sense.key);
    out[7] = static_cast<std::byte>(fixed_bytes - 8);
    if (sense.command_information && *sense.command_information <= UINT32_MAX) {
        store_big_endian(out.subspan(8, 4), *sense.command_information);
    }
    store_big_endian(out.subspan(12, 2), static_cast<std::uint16_t>(sense.code));
    if (const auto specific = key_specific(sense)) {
        copy(*specific, out.subspan(15));
    }
    size_ = fixed_bytes;
}

/// SPC-4 4.5.2
void SenseData::write_descriptors(const Sense& sense) noexcept {
    const std::span<std::byte> out(bytes_);
    out[0] = static_cast<std::byte>(descriptor_current);
    out[1] = static_cast<std::byte>(sense.key);
    store_big_endian(out.subspan(2, 2), static_cast<std::uint16_t>(sense.code));
    std::size_t at = descriptor_header_bytes;
    if (sense.information) {
        out[at] = static_cast<std::byte>(information_descriptor);
        out[at + 1] = std::byte{0x0a};
        out[at + 2] = std::byte{0x80};  // VALID
        store_big_endian(out.subspan(at + 4, 8), *sense.information);
        at += 12;
    }
    if (sense.command_information) {
        out[at] = static_cast<std::byte>(command_information_descriptor);
        out[at + 1] = std::byte{0x0a};
        store_big_endian(out.subspan(at + 4, 8), *sense.command_information);
        at += 12;
    }
    if (const auto specific = key_specific(sense)) {
        out[at] = static_cast<std::byte>(key_specific_descriptor);
        out[at + 1] = std::byte{0x06};
        copy(*specific, out.subspan(at + 4));
        at += 8;
    }
    out[7] = static_cast<std::byte>(at - descriptor_header_bytes);
    size_ = static_cast<std::uint8_t>(at);
}

std::optional<Sense> read_sense(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < descriptor_header_bytes) {
        return std::nullopt;
    }
    const auto response = std::to_integer<std::uint8_t>(bytes[0]);
    Sense sense;
    if ((response & 0x7fU) == fixed_current && bytes.size() >= fixed_bytes) {
        sense.key = static_cast<SenseKey>(std::to_integer<std::uint8_t>(bytes[2]) & 0x0fU);
        sense.code = static_cast<AdditionalSense>(load_big_endian<std::uint16_t>(bytes.subspan(12, 2)));
        if ((response & 0x80U) != 0) {
            sense.information = load_big_endian(bytes.subspan(3, 4));
        }
        if (const std::uint64_t value = load_big_endian(bytes.subspan(8, 4)); value != 0) {
            sense.command_information = value;
        }
        read_key_specific(bytes.subspan<15, 3>(), sense);
        return sense;
    }
    if (response != descriptor_current) {
        return std::nullopt;
    }
    sense.key = static_cast<SenseKey>(std::to_integer<std::uint8_t>(bytes[1]) & 0x0fU);
    sense.code = static_cast<AdditionalSense>(load_big_endian<std::uint16_t>(bytes.subspan(2, 2)));
    std::span<const std::byte> rest = bytes.subspan(descriptor_header_bytes);
    while (rest.size() >= 2) {
        const std::size_t length = std::to_integer<std::size_t>(rest[1]) + 2;
        if (length > rest.size()) {
            return std::nullopt;
        }
        const auto type = std::to_integer<std::uint8_t>(rest[0]);
        if (type == information_descriptor && length == 12 && (rest[2] & std::byte{0x80}) != std::byte{0}) {
            sense.information = load_big_endian(rest.subspan(4, 8));
        } else if (type == command_information_descriptor && length == 12) {
            sense.command_information = load_big_endian(rest.subspan(4, 8));
        } else if (type == key_specific_descriptor && length == 8) {
            read_key_specific(rest.subspan<4, 3>(), sense);
        }
        rest = rest.subspan(length);
    }
    return sense;
}

}  // namespace sidecore::scsi
