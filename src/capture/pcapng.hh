// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "capture/record_ring.hh"

// The blocks of a pcapng file (draft-ietf-opsawg-pcapng) that captures consist of: a section header, an interface, then packets with
// statistics among them. All in the host's byte order, which readers recognise. Thread: any.

namespace sidecore::capture::pcapng {

using Bytes = std::vector<std::byte>;

enum class BlockType : std::uint32_t {
    section_header = 0x0a0d0d0a,
    interface_description = 1,
    interface_statistics = 5,
    enhanced_packet = 6,
};

/// Begins a file: `application` wrote it, and it is about the Ethernet interface `name`, with time stamps in nanoseconds.
void append_header(Bytes& file, std::string_view application, std::string_view name, std::uint32_t snap_bytes);

/// A packet. The place for its captured_bytes is returned, to be filled before the file is changed again.
std::span<std::byte> append_packet(Bytes& file, const Record& record);

/// What a packet adds to a file.
std::size_t packet_block_bytes(const Record& record) noexcept;

/// Packets so far that were there to be captured, and how many of these were not for want of room.
struct Statistics {
    std::uint64_t received = 0;
    std::uint64_t dropped = 0;

    friend bool operator==(const Statistics&, const Statistics&) = default;
};
void append_statistics(Bytes& file, std::uint64_t time_ns, const Statistics& statistics);

/// A whole block, from its type to its second length.
struct Block {
    BlockType type{};
    std::span<const std::byte> bytes;
};

/// What an interface_statistics block says; nothing if it is another block or does not say both.
std::optional<Statistics> read_statistics(const Block& block) noexcept;

/// Cuts what comes in pieces of any length into whole blocks.
class BlockCutter {
public:
    static constexpr std::size_t max_block_bytes = std::size_t{1} << 20U;

    /// Hands each block that is complete now to `visit`, until that returns false. protocol_violation if these are no blocks in this host's
    /// byte order.
    Result<void> feed(std::span<const std::byte> piece, const std::function<bool(const Block&)>& visit);

private:
    Bytes rest_;  // of a block that is not complete
    bool begun_ = false;
};

}  // namespace sidecore::capture::pcapng
