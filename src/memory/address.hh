// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace sidecore::memory {

/// A 64-bit address in one address space. Two spaces never mix: a GuestAddress does not convert to a
/// UserAddress, and neither converts to a pointer; only a MemoryMap turns them into one.
template <typename Space>
struct Address {
    std::uint64_t value = 0;

    friend constexpr auto operator<=>(Address, Address) = default;  // NOLINT(modernize-use-nullptr): its own 0

    /// `offset` bytes further. Wraps like the hardware does: ranges are checked by MemoryMap, not here.
    constexpr Address operator+(std::uint64_t offset) const noexcept { return Address{value + offset}; }

    /// Bytes from `earlier` to here; meaningful only if `earlier` is not above.
    constexpr std::uint64_t operator-(Address earlier) const noexcept { return value - earlier.value; }
};

/// Guest-physical (what descriptors hold). With a virtual IOMMU an I/O virtual address would take its place.
using GuestAddress = Address<struct GuestSpace>;

/// In the front-end's own address space (what SET_VRING_ADDR holds).
using UserAddress = Address<struct UserSpace>;

/// In this process.
using HostPointer = std::byte*;

}  // namespace sidecore::memory
