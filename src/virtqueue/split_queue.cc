// SPDX-License-Identifier: Apache-2.0
#include "virtqueue/split_queue.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/barrier.hh"
#include "base/format.hh"
#include "memory/fault_guard.hh"

namespace sidecore::virtqueue {

namespace {

static_assert(std::endian::native == std::endian::little,
              "ring indexes are read in place; a big-endian host would swap");

std::atomic_ref<std::uint16_t> shared16(std::byte* place) noexcept {
    return std::atomic_ref<std::uint16_t>(*reinterpret_cast<std::uint16_t*>(place));
}

/// With the event index form, the driver must not come round to what avail_event says while we do not want kicks.
/// It gets no further than a ring beyond the used index, so publish() moves avail_event along before it shows more
/// than this (a quarter of the index's range; the largest ring is half of it).
constexpr std::uint16_t event_refresh_distance = 0x4000;

bool aligned(const void* place, std::size_t alignment) noexcept {
    return reinterpret_cast<std::uintptr_t>(place) % alignment == 0;
}

}  // namespace

Result<SplitQueue> SplitQueue::create(std::shared_ptr<const memory::MemoryMap> map, const Setup& setup) {
    if (setup.size == 0 || setup.size > max_queue_size || !std::has_single_bit(setup.size)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a split virtqueue has a power of two of entries up to {}, not {}", max_queue_size,
                                   setup.size));
    }
    SplitQueue queue(std::move(map), setup);
    SIDECORE_TRY(queue.resolve());
    queue.next_used_ = queue.published_ = queue.decided_ = shared16(queue.used_ + UsedRing::index_offset).load();
    if (setup.in_order) {
        queue.next_available_ = queue.known_available_ = queue.next_used_;
    }
    // VIRTIO 2.7.10.2: with the event index the flags stay 0; without, 0 is what the ring starts with.
    shared16(queue.used_ + UsedRing::flags_offset).store(0, std::memory_order_relaxed);
    if (setup.event_index) {
        queue.suppress_by_event();
    }
    queue.check_memory();  // also of what was just touched
    if (queue.broken()) {
        return failure(ErrorKind::out_of_range, queue.fault().describe(setup.size));
    }
    return queue;
}

SplitQueue::SplitQueue(std::shared_ptr<const memory::MemoryMap> map, const Setup& setup) noexcept
    : next_available_(setup.next_available),
      known_available_(setup.next_available),
      index_mask_(setup.size - 1),
      setup_(setup),
      map_(std::move(map)) {}

Result<void> SplitQueue::rebind(std::shared_ptr<const memory::MemoryMap> map) {
    map_ = std::move(map);
    if (fault_) {
        return {};  // nothing looks at the ring any more
    }
    if (auto resolved = resolve(); !resolved) {
        break_with({QueueFault::Kind::ring_unmapped, 0, 0, 0});
        return resolved;
    }
    damages_seen_ = 0;  // of this map nothing has been seen
    check_memory();
    if (fault_) {
        return failure(ErrorKind::out_of_range, fault_.describe(setup_.size));
    }
    return {};
}

Result<void> SplitQueue::resolve() {
    const auto part = [this](memory::UserAddress address, std::size_t bytes, std::size_t alignment,
                             const char* name) -> Result<std::byte*> {
        std::byte* const host = map_->translate(address, bytes);
        if (host == nullptr) {
            return failure(
                ErrorKind::out_of_range,
                fmt::format("the {} at user address {:#x}, {} bytes, is not in the guest's memory in one piece", name,
                            address.value, bytes));
        }
        if (!aligned(host, alignment)) {
            return failure(ErrorKind::invalid_argument, fmt::format("the {} at user address {:#x} is not aligned to {}",
                                                                    name, address.value, alignment));
        }
        return host;
    };
    SIDECORE_TRY_ASSIGN(descriptors_, part(setup_.descriptor, sizeof(Descriptor) * setup_.size, sizeof(Descriptor),
                                           "descriptor table"));
    SIDECORE_TRY_ASSIGN(available_, part(setup_.available, AvailableRing::bytes(setup_.size, setup_.event_index),
                                         AvailableRing::alignment, "available ring"));
    SIDECORE_TRY_ASSIGN(
        used_, part(setup_.used, UsedRing::bytes(setup_.size, setup_.event_index), UsedRing::alignment, "used ring"));
    static_assert(std::atomic_ref<std::uint16_t>::is_always_lock_free &&
                  std::atomic_ref<std::uint64_t>::is_always_lock_free);
    available_index_ = reinterpret_cast<std::uint16_t*>(available_ + AvailableRing::index_offset);
    return {};
}

std::uint16_t SplitQueue::available() noexcept {
    if (fault_) {
        return 0;
    }
    if (known_available_ == next_available_) {
        // Pairs with the driver's barrier between filling the ring entry and raising the index (2.7.13.3).
        const std::uint16_t now = std::atomic_ref<std::uint16_t>(*available_index_).load(std::memory_order_acquire);
        const std::uint16_t fresh = index_distance(now, next_available_);
        if (fresh > setup_.size) {
            fail(QueueFault::Kind::available_index_jump, 0, next_available_, now);
            return 0;
        }
        // Each chain in use holds at least one descriptor (2.7.13). The bound is what lets a device have
        // room for size() requests and no more.
        if (std::uint32_t{fresh} + in_flight_ > setup_.size) {
            fail(QueueFault::Kind::too_many_in_flight, 0, in_flight_, fresh);
            return 0;
        }
        known_available_ = now;
    }
    return index_distance(known_available_, next_available_);
}

void SplitQueue::prefetch(std::uint16_t count) const noexcept {
    if (fault_) {
        return;
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        const std::uint32_t place = index_plus(next_available_, i) & index_mask_;
        const std::uint16_t head =
            shared16(available_ + AvailableRing::heads_offset + std::size_t{2} * place).load(std::memory_order_relaxed);
        // A wrong head costs a useless prefetch of a place inside the table; pop() checks it.
        __builtin_prefetch(descriptors_ + sizeof(Descriptor) * (head & index_mask_));
    }
}

Descriptor SplitQueue::load_descriptor(const std::byte* place) noexcept {
    // Two 64-bit loads, each done once: a plain copy may be read again by the compiler after the check.
    auto* const words = reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(place));
    const std::array<std::uint64_t, 2> copy{std::atomic_ref<std::uint64_t>(words[0]).load(std::memory_order_relaxed),
                                            std::atomic_ref<std::uint64_t>(words[1]).load(std::memory_order_relaxed)};
    return std::bit_cast<Descriptor>(copy);
}

bool SplitQueue::load_indirect(memory::GuestAddress table, std::uint32_t index, Descriptor& out) const noexcept {
    const memory::GuestAddress address = table + std::uint64_t{index} * sizeof(Descriptor);
    std::byte* const host = map_->translate(address, sizeof(Descriptor));
    if (host != nullptr && aligned(host, alignof(Descriptor))) {
        out = load_descriptor(host);
        return true;
    }
    // The specification does not align indirect tables, and an entry may span two regions.
    std::array<iovec, sizeof(Descriptor)> pieces;
    const std::size_t count = map_->translate(address, sizeof(Descriptor), pieces);
    if (count == 0) {
        return false;
    }
    std::array<std::byte, sizeof(Descriptor)> copy;
    std::size_t filled = 0;
    for (std::size_t i = 0; i < count; ++i) {
        auto* const from = static_cast<std::byte*>(pieces[i].iov_base);
        for (std::size_t j = 0; j < pieces[i].iov_len; ++j) {
            copy[filled++] = std::atomic_ref<std::byte>(from[j]).load(std::memory_order_relaxed);
        }
    }
    out = std::bit_cast<Descriptor>(copy);
    return true;
}

PopResult SplitQueue::fail(QueueFault::Kind kind, std::uint16_t head, std::uint64_t a, std::uint64_t b) noexcept {
    check_memory();  // zero pages in the place of lost ones look like a driver's fault, and are not
    break_with({kind, head, a, b});
    return PopResult::broken;
}

void SplitQueue::break_with(QueueFault fault) noexcept {
    if (!fault_) {
        fault_ = fault;
    }
}

void SplitQueue::check_memory() noexcept {
    const std::uint64_t damages = memory::damage_count();
    if (damages != damages_seen_) {
        damages_seen_ = damages;
        if (map_->damaged()) {
            break_with({QueueFault::Kind::memory_damaged, 0, 0, 0});
        }
    }
}

/// What pop() has gathered of one chain.
struct SplitQueue::Walk {
    std::span<iovec> segments;
    std::uint16_t head = 0;
    std::size_t readable = 0;
    std::size_t count = 0;
    std::uint64_t readable_bytes = 0;
    std::uint64_t bytes = 0;
};

bool SplitQueue::append(Walk& walk, const Descriptor& descriptor, std::uint64_t index) noexcept {
    const std::uint64_t address = descriptor.address;
    const std::uint32_t length = descriptor.length;
    const bool writable = (descriptor.flags & Descriptor::flag_write) != 0;
    if (length == 0) {
        fail(QueueFault::Kind::zero_length, walk.head, index);
        return false;
    }
    if (!writable && walk.count != walk.readable) {  // 2.7.4.2: device-writable elements come last
        fail(QueueFault::Kind::readable_after_writable, walk.head, index);
        return false;
    }
    const std::size_t pieces =
        map_->translate(memory::GuestAddress{address}, length, walk.segments.subspan(walk.count));
    if (pieces == 0) {
        if (map_->covers(memory::GuestAddress{address}, length)) {
            fail(QueueFault::Kind::too_many_segments, walk.head, walk.segments.size());
        } else {
            fail(QueueFault::Kind::buffer_unmapped, walk.head, address, length);
        }
        return false;
    }
    walk.count += pieces;
    walk.bytes += length;
    if (!writable) {
        walk.readable = walk.count;
        walk.readable_bytes = walk.bytes;
    }
    if (walk.bytes > std::uint64_t{1} << 32U) {  // 2.7.5.2
        fail(QueueFault::Kind::chain_too_long, walk.head, walk.bytes);
        return false;
    }
    return true;
}

bool SplitQueue::walk_indirect(Walk& walk, const Descriptor& descriptor, std::uint32_t index) noexcept {
    const std::uint32_t bytes = descriptor.length;
    const memory::GuestAddress table{descriptor.address};
    // Indexes are 16 bits wide, so a longer table could not be used in full.
    if (bytes == 0 || bytes % sizeof(Descriptor) != 0 || bytes > sizeof(Descriptor) << 16U) {
        fail(QueueFault::Kind::indirect_bad_length, walk.head, index, bytes);
        return false;
    }
    const std::uint32_t entries = bytes / static_cast<std::uint32_t>(sizeof(Descriptor));
    const std::byte* const in_place = map_->translate(table, bytes);
    const bool direct = in_place != nullptr && aligned(in_place, alignof(Descriptor));
    std::uint32_t entry = 0;
    for (std::uint32_t followed = 0; followed < entries; ++followed) {
        Descriptor inner;
        if (direct) {
            inner = load_descriptor(in_place + sizeof(Descriptor) * entry);
        } else if (!load_indirect(table, entry, inner)) {
            fail(QueueFault::Kind::indirect_unmapped, walk.head, table.value, bytes);
            return false;
        }
        if ((inner.flags & Descriptor::flag_indirect) != 0) {  // 2.7.5.3.1
            fail(QueueFault::Kind::indirect_nested, walk.head, entry);
            return false;
        }
        if (!append(walk, inner, QueueFault::table_entry + entry)) {
            return false;
        }
        if ((inner.flags & Descriptor::flag_next) == 0) {
            return true;
        }
        if (inner.next >= entries) {
            fail(QueueFault::Kind::next_out_of_range, walk.head, QueueFault::table_entry + entry, inner.next);
            return false;
        }
        entry = inner.next;
    }
    fail(QueueFault::Kind::loop, walk.head, entries);
    return false;
}

PopResult SplitQueue::pop(std::span<iovec> segments, DescriptorChain& chain) noexcept {
    if (available() == 0) {
        return fault_ ? PopResult::broken : PopResult::empty;
    }
    const std::uint32_t place = next_available_ & index_mask_;
    const std::uint16_t head =
        shared16(available_ + AvailableRing::heads_offset + std::size_t{2} * place).load(std::memory_order_relaxed);
    if (head >= setup_.size) {
        return fail(QueueFault::Kind::head_out_of_range, 0, head, place);
    }
    const Descriptor first = load_descriptor(descriptors_ + sizeof(Descriptor) * head);
    if (!take_single(first, segments, chain) && !walk_chain(first, head, segments, chain)) {
        return PopResult::broken;
    }
    chain.head = head;
    next_available_ = index_plus(next_available_, 1);
    ++in_flight_;
    return PopResult::chain;
}

/// The usual chain of a network is one buffer that lies in one piece: then there is nothing to walk. False: it is not, or something is wrong with it,
/// and walk_chain() is to say what; from the same copy, as the driver may have changed the original.
bool SplitQueue::take_single(const Descriptor& descriptor, std::span<iovec> segments,
                             DescriptorChain& chain) const noexcept {
    const std::uint16_t flags = descriptor.flags;
    const std::uint32_t length = descriptor.length;
    if ((flags & (Descriptor::flag_next | Descriptor::flag_indirect)) != 0 || length == 0 || segments.empty()) {
        return false;
    }
    std::byte* const host = map_->translate(memory::GuestAddress{descriptor.address}, length);
    if (host == nullptr) {
        return false;
    }
    segments[0] = {host, length};
    const std::size_t readable = (flags & Descriptor::flag_write) != 0 ? 0 : 1;
    chain.readable = segments.first(readable);
    chain.writable = segments.subspan(readable, 1 - readable);
    chain.readable_bytes = length * readable;
    chain.writable_bytes = length - chain.readable_bytes;
    return true;
}

/// A chain of whatever shape, whose first descriptor is `descriptor`. False: the queue is broken.
bool SplitQueue::walk_chain(Descriptor descriptor, std::uint16_t head, std::span<iovec> segments,
                            DescriptorChain& chain) noexcept {
    const auto broken_by = [&](QueueFault::Kind kind, std::uint64_t a, std::uint64_t b = 0) {
        fail(kind, head, a, b);
        return false;
    };
    Walk walk{segments, head};
    std::uint32_t index = head;
    for (std::uint32_t followed = 1;; ++followed) {
        const std::uint16_t flags = descriptor.flags;
        if ((flags & Descriptor::flag_indirect) != 0) {
            if (!setup_.indirect) {
                return broken_by(QueueFault::Kind::indirect_not_negotiated, index);
            }
            if ((flags & Descriptor::flag_next) != 0) {  // 2.7.5.3.1
                return broken_by(QueueFault::Kind::indirect_with_next, index);
            }
            // 2.7.5.3.2: the write flag of this descriptor is ignored; it may follow direct ones.
            if (!walk_indirect(walk, descriptor, index)) {
                return false;
            }
            break;
        }
        if (!append(walk, descriptor, index)) {
            return false;
        }
        if ((flags & Descriptor::flag_next) == 0) {
            break;
        }
        if (descriptor.next >= setup_.size) {
            return broken_by(QueueFault::Kind::next_out_of_range, index, descriptor.next);
        }
        if (followed == setup_.size) {
            return broken_by(QueueFault::Kind::loop, followed);
        }
        index = descriptor.next;
        descriptor = load_descriptor(descriptors_ + sizeof(Descriptor) * index);
    }
    chain.readable = segments.first(walk.readable);
    chain.writable = segments.subspan(walk.readable, walk.count - walk.readable);
    chain.readable_bytes = walk.readable_bytes;
    chain.writable_bytes = walk.bytes - walk.readable_bytes;
    return true;
}

void SplitQueue::unpop(std::uint16_t count) noexcept {
    next_available_ = static_cast<std::uint16_t>(next_available_ - count);
    in_flight_ = static_cast<std::uint16_t>(in_flight_ - count);
}

void SplitQueue::push(std::uint16_t head, std::uint32_t written) noexcept {
    --in_flight_;
    if (fault_) {
        return;
    }
    const UsedElement element{head, written};
    auto* const place = reinterpret_cast<std::uint32_t*>(used_ + UsedRing::elements_offset +
                                                         sizeof(UsedElement) * (next_used_ & index_mask_));
    const auto words = std::bit_cast<std::array<std::uint32_t, 2>>(element);
    std::atomic_ref<std::uint32_t>(place[0]).store(words[0], std::memory_order_relaxed);
    std::atomic_ref<std::uint32_t>(place[1]).store(words[1], std::memory_order_relaxed);
    next_used_ = index_plus(next_used_, 1);
}

void SplitQueue::show() noexcept {
    if (published_ == next_used_ || fault_) {
        return;
    }
    if (setup_.event_index && index_distance(next_available_, kick_event_) > event_refresh_distance) {
        suppress_by_event();
    }
    // Release: the elements and the data come first (2.7.8.2).
    shared16(used_ + UsedRing::index_offset).store(next_used_, std::memory_order_release);
    published_ = next_used_;
}

bool SplitQueue::wants_call() noexcept {
    if (decided_ == published_ || fault_) {
        return false;
    }
    const std::uint16_t before = std::exchange(decided_, published_);
    // Pairs with the driver's barrier between asking for calls and looking at the used index: without it,
    // both could read the old value, and the driver would sleep on a filled ring.
    store_load_barrier();
    if (setup_.event_index) {
        const std::uint16_t event =
            shared16(available_ + AvailableRing::used_event_offset(setup_.size)).load(std::memory_order_relaxed);
        // Where the driver stood before we started is not known, so the first batch is always told.
        return std::exchange(first_call_, false) || passed_event(event, published_, before);
    }
    const std::uint16_t flags = shared16(available_ + AvailableRing::flags_offset).load(std::memory_order_relaxed);
    return (flags & AvailableRing::flag_no_interrupt) == 0;
}

bool SplitQueue::arm_beyond(std::uint16_t count) noexcept {
    if (fault_) {
        return true;  // nothing will ever be available
    }
    if (setup_.event_index) {
        kick_event_ = index_plus(next_available_, count);
        shared16(used_ + UsedRing::avail_event_offset(setup_.size)).store(kick_event_, std::memory_order_relaxed);
    } else {
        suppressed_ = false;
        shared16(used_ + UsedRing::flags_offset).store(0, std::memory_order_relaxed);
    }
    // Pairs with the driver's barrier between raising the available index and reading what we just stored
    // (2.7.13.4). Without it we could miss the index and the driver our wish: the lost wake-up that invariant
    // 1 forbids.
    store_load_barrier();
    if (pending() <= count) {
        return true;
    }
    disarm();
    return false;
}

void SplitQueue::disarm() noexcept {
    if (fault_) {
        return;
    }
    if (setup_.event_index) {
        // Popping what is there passes the event by itself; only an idle ring needs the store.
        if (kick_event_ == next_available_ && !has_available()) {
            suppress_by_event();
        }
    } else if (!suppressed_) {
        suppressed_ = true;
        shared16(used_ + UsedRing::flags_offset).store(UsedRing::flag_no_notify, std::memory_order_relaxed);
    }
}

void SplitQueue::suppress_by_event() noexcept {
    // An event just behind us: the driver would have to go once round to pass it.
    kick_event_ = index_plus(next_available_, 0xffff);
    shared16(used_ + UsedRing::avail_event_offset(setup_.size)).store(kick_event_, std::memory_order_relaxed);
}

}  // namespace sidecore::virtqueue
