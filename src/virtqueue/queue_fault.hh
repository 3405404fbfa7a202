// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sidecore::virtqueue {

/// What a driver, or whoever writes to its memory, did that made a queue unusable. Made on the hot path, so
/// it is a few numbers; describe() turns it into words.
struct QueueFault {
    enum class Kind : std::uint8_t {
        none,
        available_index_jump,     ///< a: index before, b: index now
        too_many_in_flight,       ///< a: chains in use, b: chains that came in addition
        head_out_of_range,        ///< a: head, b: place in the available ring
        next_out_of_range,        ///< a: descriptor, b: its next
        loop,                     ///< a: descriptors followed
        too_many_segments,        ///< a: the limit
        zero_length,              ///< a: descriptor
        chain_too_long,           ///< a: bytes so far
        buffer_unmapped,          ///< a: guest address, b: length
        readable_after_writable,  ///< a: descriptor
        indirect_not_negotiated,  ///< a: descriptor
        indirect_nested,          ///< a: entry of the table
        indirect_with_next,       ///< a: descriptor
        indirect_bad_length,      ///< a: descriptor, b: table bytes
        indirect_unmapped,        ///< a: guest address, b: table bytes
        memory_damaged,           ///< a front-end truncated its memory file
        ring_unmapped,            ///< the ring is not part of the memory that came last
        bad_request,              ///< the device found a chain that its device type forbids; a: device's own number
    };

    /// Added to a descriptor's number (a) where it is an entry of the chain's indirect table.
    static constexpr std::uint64_t table_entry = std::uint64_t{1} << 32U;

    Kind kind = Kind::none;
    std::uint16_t head = 0;  ///< of the chain, where there was one
    std::uint64_t a = 0;
    std::uint64_t b = 0;

    explicit operator bool() const noexcept { return kind != Kind::none; }

    /// For the log and the operator: "descriptor chain 5: descriptor 7 says that 300 comes next, the table
    /// has 256".
    std::string describe(std::uint32_t queue_size) const;
};

}  // namespace sidecore::virtqueue
