// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend {

/// Where the buffers of a chain start in guest memory: at multiples of `alignment`, plus `shift` (1 makes them all odd).
struct Placement {
    std::uint32_t alignment = 64;
    std::uint32_t shift = 0;
};

/// The buffers of one chain in one run of guest memory, with guard bytes around each, so that a device that writes
/// elsewhere is found out.
///
/// Thread: one. The memory outlives it.
class GuardedBuffers {
public:
    GuardedBuffers() = default;
    explicit GuardedBuffers(const GuestBuffer& room) : room_(room) {}

    /// Bytes that place() takes for buffers of these lengths, at most.
    static std::uint64_t room_for(std::span<const std::uint32_t> lengths, const Placement& placement) noexcept;

    /// Lays buffers out, in place of those before, and fills them and what is between them with guard bytes. Error: out_of_range.
    Result<void> place(std::span<const std::uint32_t> lengths, const Placement& placement);

    std::span<const GuestBuffer> pieces() const noexcept { return pieces_; }

    /// protocol_violation if a guard byte has changed.
    Result<void> check() const;

    /// Fills the buffers with guard bytes too: nobody has anything to write there any more.
    void fill() noexcept;

    /// Likewise protocol_violation if any byte has changed since fill(). Before place() there is nothing to change.
    Result<void> check_all() const;

private:
    GuestBuffer room_{};
    std::vector<GuestBuffer> pieces_;
    std::uint64_t extent_ = 0;  // bytes of room_ that pieces and guards take
};

/// The lengths of the pieces that a string of `total` bytes is cut into: those given, and what they leave. Error: invalid_argument, they are
/// more than it has.
Result<std::vector<std::uint32_t>> lengths_of(std::uint64_t total, std::vector<std::uint32_t> cuts);

/// Copies a string into the pieces that it is cut into, leaving out the first `skip` bytes of the pieces.
void scatter(std::span<const std::byte> bytes, std::span<const GuestBuffer> pieces, std::size_t skip = 0);

/// Copies the first out.size() bytes of the string that the pieces make, or all if it has fewer.
void gather(std::span<const GuestBuffer> pieces, std::span<std::byte> out);

/// Appends the pieces to what a chain is formatted of.
void append_pieces(std::vector<Piece>& chain, std::span<const GuestBuffer> pieces, bool device_writable);

}  // namespace sidecore::frontend
