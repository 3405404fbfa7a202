// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/little_endian.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend {

// Feature bits of the ring and of VIRTIO itself (VIRTIO 6).
inline constexpr unsigned feature_indirect = 28;     ///< VIRTIO_F_INDIRECT_DESC
inline constexpr unsigned feature_event_index = 29;  ///< VIRTIO_F_EVENT_IDX
inline constexpr unsigned feature_version_1 = 32;    ///< VIRTIO_F_VERSION_1

constexpr std::uint64_t feature_mask(unsigned bit) noexcept {
    return std::uint64_t{1} << bit;
}

/// An entry of the descriptor table or of an indirect table (VIRTIO 2.7.5).
struct Descriptor {
    LittleEndian<std::uint64_t> address;
    LittleEndian<std::uint32_t> length;
    LittleEndian<std::uint16_t> flags;
    LittleEndian<std::uint16_t> next;
};
static_assert(sizeof(Descriptor) == 16);

inline constexpr std::uint16_t descriptor_next = 1;             ///< VIRTQ_DESC_F_NEXT
inline constexpr std::uint16_t descriptor_device_writable = 2;  ///< VIRTQ_DESC_F_WRITE
inline constexpr std::uint16_t descriptor_indirect = 4;         ///< VIRTQ_DESC_F_INDIRECT
inline constexpr std::uint16_t available_no_interrupt = 1;      ///< VIRTQ_AVAIL_F_NO_INTERRUPT
inline constexpr std::uint16_t used_no_notify = 1;              ///< VIRTQ_USED_F_NO_NOTIFY

/// An entry of the used ring (VIRTIO 2.7.8).
struct UsedElement {
    LittleEndian<std::uint32_t> id;
    LittleEndian<std::uint32_t> length;
};
static_assert(sizeof(UsedElement) == 8);

/// How far `newer` is ahead of `older`: ring indexes are free-running 16-bit numbers.
constexpr std::uint16_t index_distance(std::uint16_t newer, std::uint16_t older) noexcept {
    return static_cast<std::uint16_t>(newer - older);
}

/// Whether an index that moved from `before` to `now` went over `event`, so that the other side wants to be told
/// (VIRTIO 2.7.7.2, 2.7.10.1: "when idx was equal to event" for one of the steps taken).
constexpr bool event_passed(std::uint16_t event, std::uint16_t now, std::uint16_t before) noexcept {
    return index_distance(now, static_cast<std::uint16_t>(event + 1U)) < index_distance(now, before);
}

/// The bytes of a split virtqueue as VIRTIO 2.7 lays them out, from the driver's side: each method is one load or one
/// store in shared memory. No state, no checks, no order beyond what it says: DriverQueue obeys the rules on top of
/// this, and hostile tests break them.
///
/// Thread: any, as far as the memory accesses themselves go.
class SplitRing {
public:
    static constexpr std::uint64_t descriptor_bytes(std::uint16_t size) noexcept { return std::uint64_t{16} * size; }
    static constexpr std::uint64_t available_bytes(std::uint16_t size) noexcept { return 6 + std::uint64_t{2} * size; }
    static constexpr std::uint64_t used_bytes(std::uint16_t size) noexcept { return 6 + std::uint64_t{8} * size; }

    SplitRing(std::uint16_t size, const GuestBuffer& descriptors, const GuestBuffer& available,
              const GuestBuffer& used) noexcept
        : descriptors_(descriptors), available_(available), used_(used), size_(size) {}

    std::uint16_t size() const noexcept { return size_; }
    const GuestBuffer& descriptor_area() const noexcept { return descriptors_; }
    const GuestBuffer& available_area() const noexcept { return available_; }
    const GuestBuffer& used_area() const noexcept { return used_; }

    void write_descriptor(std::uint16_t index, const Descriptor& descriptor) const noexcept {
        std::memcpy(descriptors_.host + std::size_t{16} * index, &descriptor, sizeof descriptor);
    }
    Descriptor read_descriptor(std::uint16_t index) const noexcept {
        Descriptor descriptor;
        std::memcpy(&descriptor, descriptors_.host + std::size_t{16} * index, sizeof descriptor);
        return descriptor;
    }

    void set_available_flags(std::uint16_t flags, std::memory_order order) const noexcept {
        word(available_, 0).store(flags, order);
    }
    /// `slot` is an index modulo the size.
    void set_available_entry(std::uint16_t slot, std::uint16_t head) const noexcept {
        word(available_, 4U + 2U * slot).store(head, std::memory_order_relaxed);
    }
    void set_available_index(std::uint16_t index, std::memory_order order) const noexcept {
        word(available_, 2).store(index, order);
    }
    void set_used_event(std::uint16_t index, std::memory_order order) const noexcept {
        word(available_, 4U + 2U * size_).store(index, order);
    }

    /// The device's to move; the driver only puts it where a new ring starts.
    void set_used_index(std::uint16_t index, std::memory_order order) const noexcept {
        word(used_, 2).store(index, order);
    }

    std::uint16_t used_flags(std::memory_order order) const noexcept { return word(used_, 0).load(order); }
    std::uint16_t used_index(std::memory_order order) const noexcept { return word(used_, 2).load(order); }
    std::uint16_t available_event(std::memory_order order) const noexcept {
        return word(used_, 4U + 8U * size_).load(order);
    }
    /// `slot` is an index modulo the size.
    UsedElement read_used(std::uint16_t slot) const noexcept {
        UsedElement element;
        std::memcpy(&element, used_.host + 4 + std::size_t{8} * slot, sizeof element);
        return element;
    }

    void clear() const noexcept {
        std::memset(descriptors_.host, 0, descriptors_.size);
        std::memset(available_.host, 0, available_.size);
        std::memset(used_.host, 0, used_.size);
    }

private:
    static std::atomic_ref<LittleEndian<std::uint16_t>> word(const GuestBuffer& area, std::size_t offset) noexcept {
        return std::atomic_ref(*reinterpret_cast<LittleEndian<std::uint16_t>*>(area.host + offset));
    }

    GuestBuffer descriptors_;
    GuestBuffer available_;
    GuestBuffer used_;
    std::uint16_t size_;
};

}  // namespace sidecore::frontend
