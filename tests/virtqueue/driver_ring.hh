// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "virtqueue/guest_ram.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::test {

/// Flags of a descriptor (VIRTIO 1.3, 2.7.5): the numbers of the text.
inline constexpr std::uint16_t next_flag = 1;
inline constexpr std::uint16_t write_flag = 2;
inline constexpr std::uint16_t indirect_flag = 4;

/// Ring indexes and descriptor numbers, for loops.
using Indexes = std::initializer_list<std::uint16_t>;

/// One element of a buffer.
struct Part {
    std::uint64_t address = 0;
    std::uint32_t length = 0;
    bool writable = false;
};

struct UsedEntry {
    std::uint32_t id = 0;
    std::uint32_t length = 0;
    friend bool operator==(const UsedEntry&, const UsedEntry&) = default;
};

/// The driver's side of a split virtqueue, written from the specification by hand. It does what it is told, right
/// or wrong: nothing here checks.
///
/// Thread: one, other than the device's.
class DriverRing {
public:
    struct Options {
        std::uint32_t size = 8;
        bool event_index = false;
        bool indirect = true;
        std::uint16_t start = 0;    ///< where both indexes begin
        std::uint64_t base = 4096;  ///< guest address of the descriptor table; the other parts follow
    };

    DriverRing(GuestRam& ram, const Options& options);

    // ---- Places (guest addresses) ----
    std::uint64_t descriptor_at(std::uint32_t index) const { return table_ + 16 * std::uint64_t{index}; }
    std::uint64_t available_at() const { return available_; }
    std::uint64_t used_at() const { return used_; }
    std::uint64_t end() const;  ///< behind the last part
    /// Whether a byte is one that the device may write: the used ring, all of it.
    bool in_used_ring(std::uint64_t guest) const;

    // ---- Descriptors ----
    void set_descriptor(std::uint32_t index, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                        std::uint16_t next = 0) {
        set_entry(descriptor_at(index), address, length, flags, next);
    }
    /// An entry anywhere, of any alignment: bytes in little-endian order.
    void set_entry(std::uint64_t place, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                   std::uint16_t next = 0);

    /// Descriptors head, head + 1, ... for the parts (wrapping round the table); `last_next` links a further one.
    void set_chain(std::uint32_t head, std::span<const Part> parts);
    void set_chain(std::uint32_t head, std::initializer_list<Part> parts) {
        set_chain(head, std::span(parts.begin(), parts.size()));
    }
    /// The same as an indirect table at `table`, in order; returns its bytes.
    std::uint32_t set_table(std::uint64_t table, std::span<const Part> parts);
    std::uint32_t set_table(std::uint64_t table, std::initializer_list<Part> parts) {
        return set_table(table, std::span(parts.begin(), parts.size()));
    }

    // ---- Available ring ----
    /// Puts a head into the next entry; the device does not see it before publish().
    void offer(std::uint16_t head);
    /// 2.7.13, steps 4 to 6: barrier, index, barrier. Returns whether the device must be notified (2.7.10.1).
    bool publish();
    /// An index that has nothing to do with what was offered.
    void set_available_index(std::uint16_t index);
    std::uint16_t available_index() const { return next_available_; }

    /// 2.7.7.1. The event form writes nothing unless negotiated.
    void set_available_flags(std::uint16_t flags) { ram_.store<std::uint16_t>(available_, flags); }
    void set_used_event(std::uint16_t event) { ram_.store<std::uint16_t>(used_event_at(), event); }
    std::uint64_t used_event_at() const { return available_ + 4 + 2 * std::uint64_t{size_}; }

    // ---- Used ring ----
    std::uint16_t used_flags() const { return ram_.load<std::uint16_t>(used_); }
    std::uint16_t used_index() const { return ram_.load<std::uint16_t>(used_ + 2, std::memory_order_acquire); }
    std::uint16_t avail_event() const { return ram_.load<std::uint16_t>(avail_event_at()); }
    std::uint64_t avail_event_at() const { return used_ + 4 + 8 * std::uint64_t{size_}; }
    /// All entries that came since the last call.
    std::vector<UsedEntry> take_used();
    /// How many came, without copying them.
    std::uint32_t count_used();

    /// 2.7.14 and the note in it: asks for a call, and looks again. True: nothing there, the next one brings a call.
    bool sleep_until_called();

    virtqueue::SplitQueue::Setup setup() const;
    const Options& options() const { return options_; }

private:
    GuestRam& ram_;
    Options options_;
    std::uint32_t size_;
    std::uint64_t table_;
    std::uint64_t available_;
    std::uint64_t used_;
    std::uint16_t next_available_;
    std::uint16_t published_;
    std::uint16_t next_used_;
};

}  // namespace sidecore::test
