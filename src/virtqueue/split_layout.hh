// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/little_endian.hh"

/// The split virtqueue as it lies in guest memory (VIRTIO 1.3, 2.7).
namespace sidecore::virtqueue {

inline constexpr std::uint32_t max_queue_size = 32768;

/// One descriptor (2.7.5). Only ever a copy: the original belongs to the guest and may change at any time.
struct Descriptor {
    LittleEndian<std::uint64_t> address;
    LittleEndian<std::uint32_t> length;
    LittleEndian<std::uint16_t> flags;
    LittleEndian<std::uint16_t> next;

    static constexpr std::uint16_t flag_next = 1;
    static constexpr std::uint16_t flag_write = 2;
    static constexpr std::uint16_t flag_indirect = 4;
};
static_assert(sizeof(Descriptor) == 16 && alignof(Descriptor) == 8);

/// One entry of the used ring (2.7.8).
struct UsedElement {
    LittleEndian<std::uint32_t> id;
    LittleEndian<std::uint32_t> length;
};
static_assert(sizeof(UsedElement) == 8);

/// The available ring: flags, index, heads, used_event (2.7.6). Offsets in bytes.
struct AvailableRing {
    static constexpr std::size_t flags_offset = 0;
    static constexpr std::size_t index_offset = 2;
    static constexpr std::size_t heads_offset = 4;
    static constexpr std::size_t used_event_offset(std::uint32_t size) noexcept {
        return heads_offset + std::size_t{2} * size;
    }
    static constexpr std::size_t bytes(std::uint32_t size, bool event_index) noexcept {
        return used_event_offset(size) + (event_index ? 2 : 0);
    }
    static constexpr std::size_t alignment = 2;
    static constexpr std::uint16_t flag_no_interrupt = 1;
};

/// The used ring: flags, index, elements, avail_event (2.7.8). Offsets in bytes.
struct UsedRing {
    static constexpr std::size_t flags_offset = 0;
    static constexpr std::size_t index_offset = 2;
    static constexpr std::size_t elements_offset = 4;
    static constexpr std::size_t avail_event_offset(std::uint32_t size) noexcept {
        return elements_offset + sizeof(UsedElement) * size;
    }
    static constexpr std::size_t bytes(std::uint32_t size, bool event_index) noexcept {
        return avail_event_offset(size) + (event_index ? 2 : 0);
    }
    static constexpr std::size_t alignment = 4;
    static constexpr std::uint16_t flag_no_notify = 1;
};

/// How far `later` is ahead of `earlier` on a free-running 16-bit index. All ring arithmetic goes through
/// here: integer promotion turns a wrapped difference negative otherwise.
constexpr std::uint16_t index_distance(std::uint16_t later, std::uint16_t earlier) noexcept {
    return static_cast<std::uint16_t>(later - earlier);
}

constexpr std::uint16_t index_plus(std::uint16_t index, std::uint32_t count) noexcept {
    return static_cast<std::uint16_t>(index + count);
}

/// Whether an index that went from `before` to `now` has passed `event` (2.7.7.2, 2.7.10): the other side
/// asked to be told when the entry at `event` is written.
constexpr bool passed_event(std::uint16_t event, std::uint16_t now, std::uint16_t before) noexcept {
    return index_distance(now, index_plus(event, 1)) < index_distance(now, before);
}

}  // namespace sidecore::virtqueue
