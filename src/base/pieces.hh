// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

namespace sidecore {

/// Copies from and to memory that lies in pieces and belongs to a guest: each byte of it is read or written once, by an
/// atomic access. The guest may write at the same time, and what we check is what we copied.
/// Thread: the pieces' owner.

/// Takes up to out.size() bytes off the front of `segments` (VIRTIO lets a header span descriptors). Returns
/// how many.
std::size_t take_front(std::span<iovec>& segments, std::span<std::byte> out) noexcept;

/// Puts `data` at the front of `segments` and takes that much off them. Returns how many bytes fitted.
std::size_t put_front(std::span<iovec>& segments, std::span<const std::byte> data) noexcept;

/// Takes up to `bytes` off the front of `segments` and leaves them as they are. Returns how many.
std::size_t skip_front(std::span<iovec>& segments, std::size_t bytes) noexcept;

/// Takes up to `bytes` off the front of `segments` as pieces of their own, in `out`. Returns how many pieces; fewer bytes than asked for if `segments`
/// or `out` comes to its end first.
std::size_t split_front(std::span<iovec>& segments, std::size_t bytes, std::span<iovec> out) noexcept;

/// Takes the last byte off `segments`, which are not empty, and returns where it is.
std::byte* take_last_byte(std::span<iovec>& segments) noexcept;

/// Leaves no more than `bytes` of `segments`. Returns how many are left.
std::size_t limit_to(std::span<iovec>& segments, std::size_t bytes) noexcept;

/// Writes one byte of the guest's memory.
void store_byte(std::byte* place, std::byte value) noexcept;

}  // namespace sidecore
