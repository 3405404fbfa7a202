// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/big_endian.hh"

namespace sidecore::scsi {

/// Writes fields one after the other, as the standards' tables have them. The memory is large enough for all of them.
class FieldWriter {
public:
    explicit FieldWriter(std::span<std::byte> memory) noexcept : memory_(memory) {}

    void number(std::uint64_t value, std::size_t bytes) noexcept { store_big_endian(take(bytes), value); }
    void byte(std::uint64_t value) noexcept { number(value, 1); }
    void zeroes(std::size_t bytes) noexcept { number(0, bytes); }
    void copy(std::span<const std::byte> bytes) noexcept { std::ranges::copy(bytes, take(bytes.size()).begin()); }

    /// Left-aligned, with blanks behind (SPC-4 4.4.1).
    void text(std::string_view text, std::size_t width) noexcept {
        const auto field = take(width);
        std::ranges::fill(field, std::byte{' '});
        std::ranges::transform(text.substr(0, width), field.begin(),
                               [](char character) { return static_cast<std::byte>(character); });
    }

    /// Once more a field that has been written, mostly a length.
    void correct(std::size_t at, std::uint64_t value, std::size_t bytes) noexcept {
        store_big_endian(memory_.subspan(at, bytes), value);
    }

    std::size_t size() const noexcept { return size_; }
    std::span<std::byte> written() const noexcept { return memory_.first(size_); }

private:
    std::span<std::byte> take(std::size_t bytes) noexcept {
        assert(bytes <= memory_.size() - size_);
        const auto field = memory_.subspan(size_, bytes);
        size_ += bytes;
        return field;
    }

    std::span<std::byte> memory_;
    std::size_t size_ = 0;
};

}  // namespace sidecore::scsi
