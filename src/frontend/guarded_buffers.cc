// SPDX-License-Identifier: Apache-2.0
#include "frontend/guarded_buffers.hh"

#include <algorithm>
#include <cstring>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

constexpr std::size_t guard_bytes = 32;
constexpr std::size_t last_guard_bytes = 1024;
constexpr std::byte guard{0xa5};

bool is_guard(std::span<const std::byte> bytes) noexcept {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == guard; });
}

}  // namespace

std::uint64_t GuardedBuffers::room_for(std::span<const std::uint32_t> lengths, const Placement& placement) noexcept {
    std::uint64_t bytes = last_guard_bytes;
    for (const std::uint32_t length : lengths) {
        bytes += guard_bytes + placement.alignment + placement.shift + length;
    }
    return bytes;
}

Result<void> GuardedBuffers::place(std::span<const std::uint32_t> lengths, const Placement& placement) {
    pieces_.clear();
    std::uint64_t offset = 0;
    for (const std::uint32_t length : lengths) {
        const std::uint64_t alignment = placement.alignment;
        const std::uint64_t start = (offset + guard_bytes + alignment - 1) / alignment * alignment + placement.shift;
        pieces_.push_back({.address = room_.address + start, .host = room_.host + start, .size = length});
        offset = start + length;
    }
    if (offset + last_guard_bytes > room_.size) {
        return failure(ErrorKind::out_of_range, fmt::format("the request's buffers need {} bytes, a slot has {}",
                                                            offset + last_guard_bytes, room_.size));
    }
    extent_ = offset + last_guard_bytes;
    fill();
    return {};
}

void GuardedBuffers::fill() noexcept {
    std::memset(room_.host, std::to_integer<int>(guard), extent_);
}

Result<void> GuardedBuffers::check_all() const {
    if (!is_guard({room_.host, extent_})) {
        return failure(ErrorKind::protocol_violation, "the device wrote to buffers that it had given back");
    }
    return {};
}

Result<void> GuardedBuffers::check() const {
    const std::byte* clean_from = room_.host;
    for (const GuestBuffer& piece : pieces_) {
        if (!is_guard({clean_from, piece.host})) {
            return failure(ErrorKind::protocol_violation,
                           fmt::format("the device wrote outside of the buffers, before {:#x}", piece.address.value));
        }
        clean_from = piece.host + piece.size;
    }
    if (!is_guard({clean_from, room_.host + extent_})) {
        return failure(ErrorKind::protocol_violation, "the device wrote behind the last buffer");
    }
    return {};
}

Result<std::vector<std::uint32_t>> lengths_of(std::uint64_t total, std::vector<std::uint32_t> cuts) {
    for (const std::uint32_t cut : cuts) {
        if (cut > total) {
            return failure(ErrorKind::invalid_argument, "the layout has more bytes than the request");
        }
        total -= cut;
    }
    if (total != 0) {
        cuts.push_back(static_cast<std::uint32_t>(total));
    }
    return cuts;
}

void scatter(std::span<const std::byte> bytes, std::span<const GuestBuffer> pieces, std::size_t skip) {
    for (const GuestBuffer& piece : pieces) {
        const std::size_t passed = std::min<std::size_t>(skip, piece.size);
        const std::size_t length = std::min<std::size_t>(bytes.size(), piece.size - passed);
        if (length != 0) {
            std::memcpy(piece.host + passed, bytes.data(), length);
        }
        bytes = bytes.subspan(length);
        skip -= passed;
    }
}

void gather(std::span<const GuestBuffer> pieces, std::span<std::byte> out) {
    for (const GuestBuffer& piece : pieces) {
        const std::size_t length = std::min<std::size_t>(out.size(), piece.size);
        if (length != 0) {
            std::memcpy(out.data(), piece.host, length);
        }
        out = out.subspan(length);
    }
}

void append_pieces(std::vector<Piece>& chain, std::span<const GuestBuffer> pieces, bool device_writable) {
    for (const GuestBuffer& piece : pieces) {
        chain.push_back({.address = piece.address,
                         .length = static_cast<std::uint32_t>(piece.size),
                         .device_writable = device_writable});
    }
}

}  // namespace sidecore::frontend
