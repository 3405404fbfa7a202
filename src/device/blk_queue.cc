// SPDX-License-Identifier: Apache-2.0
#include "device/blk_queue.hh"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.hh"
#include "base/pieces.hh"

namespace sidecore::device {

using blk::RequestType;
using blk::Status;
using storage::BlockOperation;

namespace {

/// Cases of QueueFault::Kind::bad_request.
constexpr std::uint64_t no_room_for_status = 1;
constexpr std::uint64_t no_header = 2;

Status status_of(int result) noexcept {
    if (result == 0) {
        return Status::ok;
    }
    return result == -EOPNOTSUPP ? Status::unsupported : Status::io_error;
}

}  // namespace

Result<std::unique_ptr<BlkQueue>> BlkQueue::create(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers,
                                                   const BlkShared& shared, storage::BlockBackend& backend) {
    const std::uint32_t slots = std::min(ring.size(), max_in_flight);
    SIDECORE_TRY_ASSIGN(auto storage, backend.open_queue(slots));
    return std::unique_ptr<BlkQueue>(
        new BlkQueue(std::move(name), std::move(ring), std::move(notifiers), shared, std::move(storage), slots));
}

BlkQueue::BlkQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, const BlkShared& shared,
                   std::unique_ptr<storage::BlockQueue> storage, std::uint32_t slots)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)),
      shared_(shared),
      storage_(std::move(storage)),
      slot_count_(slots),
      free_count_(slots),
      free_(std::make_unique<Slot*[]>(slots)),
      slots_(std::make_unique<Slot[]>(slots)),
      segments_(std::make_unique_for_overwrite<iovec[]>(slots * segments_per_slot)),
      ranges_(std::make_unique_for_overwrite<Ranges[]>(slots)) {
    for (std::uint32_t i = 0; i < slots; ++i) {
        free_[i] = &slots_[slots - 1 - i];
    }
}

std::span<iovec> BlkQueue::segments_of(const Slot& slot) noexcept {
    const auto index = static_cast<std::size_t>(&slot - slots_.get());
    return {segments_.get() + index * segments_per_slot, segments_per_slot};
}

engine::Turn BlkQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    ring_.check_memory();
    while (true) {
        const std::uint16_t available = ring_.available();
        if (available == 0) {
            turn.end = engine::TurnEnd::empty;
            break;
        }
        if (turn.requests == budget) {
            turn.end = engine::TurnEnd::budget;
            break;
        }
        if (free_count_ == 0) {
            turn.end = engine::TurnEnd::held;
            break;
        }
        const std::size_t limit = std::min<std::size_t>({available, budget - turn.requests, free_count_, batch_size});
        turn.requests += serve_batch(static_cast<std::uint32_t>(limit), turn);
        if (ring_.broken()) {
            break;
        }
    }
    ring_.check_memory();  // zero pages in the place of lost ones look like an idle ring, too
    if (ring_.broken()) {
        turn.end = engine::TurnEnd::broken;
        report_broken();
    }
    return turn;
}

/// Takes `limit` chains through all stages together, so that the guest's cache lines arrive while others are
/// worked on.
std::uint32_t BlkQueue::serve_batch(std::uint32_t limit, engine::Turn& turn) noexcept {
    std::array<virtqueue::DescriptorChain, batch_size> chains;
    std::array<Slot*, batch_size> taken;
    const std::uint64_t now = cycles();
    ring_.prefetch(static_cast<std::uint16_t>(limit));
    for (std::uint32_t i = 0; i < limit; ++i) {
        Slot* const slot = free_[free_count_ - 1];
        if (ring_.pop(segments_of(*slot), chains[i]) != virtqueue::PopResult::chain) {
            // Broken: what this batch has popped was not started and goes back.
            free_count_ += i;
            return 0;
        }
        --free_count_;
        taken[i] = slot;
        if (!chains[i].readable.empty()) {
            __builtin_prefetch(chains[i].readable.front().iov_base);
        }
        if (!chains[i].writable.empty()) {
            const iovec& last = chains[i].writable.back();
            __builtin_prefetch(static_cast<const std::byte*>(last.iov_base) + last.iov_len - 1, 1);
        }
    }
    const std::uint32_t first_part = begin_batch(now, limit);
    for (std::uint32_t i = 0; i < limit; ++i) {
        if (i == first_part) {
            finish(turn);
        }
        if (ring_.broken()) {  // by one before: nobody would learn of what is done now
            free_[free_count_++] = taken[i];
            continue;
        }
        taken[i]->head = chains[i].head;
        taken[i]->taken_at = now;
        start(*taken[i], chains[i], turn);
    }
    finish(turn);
    end_batch(limit);
    return limit;
}

/// Submits what was started, and shows the driver what is done.
void BlkQueue::finish(engine::Turn& turn) noexcept {
    submit();
    reap_storage();
    record_completions();
    turn.completed += std::exchange(completed_, 0);
    turn.calls += publish();
}

/// From a chain to a request in batch_, or to its completion if it needs no storage or is wrong (5.2.6).
void BlkQueue::start(Slot& slot, virtqueue::DescriptorChain& chain, engine::Turn& turn) noexcept {
    if (chain.writable.empty()) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, no_room_for_status, 0});
        free_[free_count_++] = &slot;
        return;
    }
    std::array<std::byte, sizeof(blk::RequestHeader)> bytes;
    if (take_front(chain.readable, bytes) != bytes.size()) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, no_header, 0});
        free_[free_count_++] = &slot;
        return;
    }
    const auto header = std::bit_cast<blk::RequestHeader>(bytes);
    const std::uint64_t data_out = chain.readable_bytes - sizeof header;
    const std::uint64_t data_in = chain.writable_bytes - 1;
    slot.status = take_last_byte(chain.writable);
    // 2.7.8.2: all bytes up to the used length have been written. The status byte counts only if nothing unwritten lies
    // before it, and what a failed read has left there is not known.
    slot.used_if_ok = slot.used_if_failed = data_in == 0 ? 1 : 0;
    slot.ranges = 0;
    slot.durable = false;

    switch (static_cast<RequestType>(static_cast<std::uint32_t>(header.type))) {
        case RequestType::in:
            slot.operation = BlockOperation::read;
            slot.used_if_ok = static_cast<std::uint32_t>(data_in + 1);
            turn.bytes += data_in;
            start_transfer(slot, header.sector, chain.writable, data_in);
            return;
        case RequestType::out:
            if (shared_.read_only) {
                return complete(slot, Status::io_error);
            }
            slot.operation = BlockOperation::write;
            slot.durable = shared_.durable_writes.load(std::memory_order_relaxed);
            turn.bytes += data_out;
            start_transfer(slot, header.sector, chain.readable, data_out);
            return;
        case RequestType::flush:
            slot.operation = BlockOperation::flush;
            slot.offset_bytes = 0;
            slot.length_bytes = 0;
            slot.segments = {};
            batch_[batched_++] = &slot;
            return;
        case RequestType::get_id:
            return answer_id(slot, chain.writable);
        case RequestType::discard:
            return start_ranges(slot, RequestType::discard, chain.readable, data_out);
        case RequestType::write_zeroes:
            return start_ranges(slot, RequestType::write_zeroes, chain.readable, data_out);
    }
    complete(slot, Status::unsupported);
}

bool BlkQueue::in_range(std::uint64_t sector, std::uint64_t sectors) const noexcept {
    const std::uint64_t capacity = shared_.capacity_sectors.load(std::memory_order_relaxed);
    return sector <= capacity && sectors <= capacity - sector;
}

void BlkQueue::start_transfer(Slot& slot, std::uint64_t sector, std::span<iovec> data, std::uint64_t bytes) noexcept {
    if (bytes % storage::sector_bytes != 0 || !in_range(sector, bytes / storage::sector_bytes)) {
        return complete(slot, Status::io_error);
    }
    if (bytes == 0) {
        return complete(slot, Status::ok);
    }
    slot.offset_bytes = sector * storage::sector_bytes;
    slot.length_bytes = bytes;
    slot.segments = data;
    batch_[batched_++] = &slot;
}

/// Copies all ranges and checks all of them before the first one is carried out (5.2.6.2).
void BlkQueue::start_ranges(Slot& slot, RequestType type, std::span<iovec> data, std::uint64_t bytes) noexcept {
    const bool discard = type == RequestType::discard;
    if (shared_.read_only) {
        return complete(slot, Status::io_error);
    }
    if (discard ? !shared_.can_discard : !shared_.can_write_zeroes) {
        return complete(slot, Status::unsupported);
    }
    Ranges& ranges = ranges_of(slot);
    if (bytes == 0 || bytes % sizeof(blk::RangeSegment) != 0 || bytes > sizeof ranges) {
        return complete(slot, Status::io_error);
    }
    const std::span known(ranges.data(), bytes / sizeof(blk::RangeSegment));
    take_front(data, std::as_writable_bytes(known));
    bool all_in_range = true;
    for (const blk::RangeSegment& range : known) {
        const std::uint32_t allowed = discard ? 0 : blk::RangeSegment::flag_unmap;
        if ((range.flags & ~allowed) != 0) {
            return complete(slot, Status::unsupported);
        }
        all_in_range = all_in_range && in_range(range.sector, range.sectors);
    }
    if (!all_in_range) {
        return complete(slot, Status::io_error);
    }
    slot.operation = discard ? BlockOperation::discard : BlockOperation::write_zeroes;
    slot.durable = !discard && shared_.durable_writes.load(std::memory_order_relaxed);
    slot.segments = {};
    slot.ranges = static_cast<std::uint16_t>(known.size());
    slot.ranges_done = 0;
    start_range(slot);
}

/// Puts the next range that is not empty into the batch, or completes the request after the last.
void BlkQueue::start_range(Slot& slot) noexcept {
    const Ranges& ranges = ranges_of(slot);
    while (slot.ranges_done < slot.ranges && ranges[slot.ranges_done].sectors == 0) {
        ++slot.ranges_done;
    }
    if (slot.ranges_done == slot.ranges) {
        return complete(slot, Status::ok);
    }
    const blk::RangeSegment& range = ranges[slot.ranges_done];
    if (slot.operation != BlockOperation::discard) {
        slot.operation = (range.flags & blk::RangeSegment::flag_unmap) != 0 ? BlockOperation::write_zeroes_unmap
                                                                            : BlockOperation::write_zeroes;
    }
    slot.offset_bytes = range.sector * storage::sector_bytes;
    slot.length_bytes = range.sectors * storage::sector_bytes;
    if (batched_ == batch_.size()) {
        submit();
    }
    batch_[batched_++] = &slot;
}

void BlkQueue::answer_id(Slot& slot, std::span<iovec> room) noexcept {
    std::array<std::byte, blk::id_bytes> id{};
    std::memcpy(id.data(), shared_.serial.data(), std::min(shared_.serial.size(), id.size()));
    const std::size_t written = put_front(room, id);
    slot.used_if_ok = static_cast<std::uint32_t>(written + (room.empty() ? 1 : 0));
    complete(slot, Status::ok);
}

void BlkQueue::submit() noexcept {
    if (batched_ != 0) {
        storage_->submit({batch_.data(), std::exchange(batched_, 0)});
    }
}

/// Completes all that the storage back-end has finished. True if that was anything.
bool BlkQueue::reap_storage() noexcept {
    std::array<storage::BlockRequest*, batch_size> finished;
    bool any = false;
    while (const std::size_t count = storage_->reap(finished)) {
        for (std::size_t i = 0; i < count; ++i) {
            Slot& slot = static_cast<Slot&>(*finished[i]);
            if (slot.result == 0 && slot.ranges != 0 && ++slot.ranges_done < slot.ranges) {
                start_range(slot);
            } else {
                complete(slot, status_of(slot.result));
            }
        }
        submit();
        any = true;
    }
    return any;
}

engine::Reaped BlkQueue::reap() noexcept {
    engine::Reaped reaped;
    reaped.resume = reap_storage();
    record_completions();
    reaped.requests = std::exchange(completed_, 0);
    reaped.calls = publish();
    return reaped;
}

void BlkQueue::complete(Slot& slot, Status status) noexcept {
    store_byte(slot.status, static_cast<std::byte>(status));
    ring_.push(slot.head, status == Status::ok ? slot.used_if_ok : slot.used_if_failed);
    free_[free_count_++] = &slot;
    ++completed_;
    count_completion(slot.taken_at);
}

}  // namespace sidecore::device
