// SPDX-License-Identifier: Apache-2.0
#include "capture/record_ring.hh"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "base/barrier.hh"
#include "base/format.hh"
#include "base/pieces.hh"

namespace sidecore::capture {

static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) <= RecordRing::granule_bytes);

Result<std::unique_ptr<RecordRing>> RecordRing::create(std::size_t bytes) {
    if (bytes < bytes_min || bytes > bytes_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a ring of records has {} to {} bytes, not {}", bytes_min, bytes_max, bytes));
    }
    SIDECORE_TRY_ASSIGN(Fd event, make_eventfd());
    return std::unique_ptr<RecordRing>(new RecordRing(std::bit_ceil(bytes) / granule_bytes, std::move(event)));
}

RecordRing::RecordRing(std::size_t granules, Fd event)
    : mask_(granules - 1),
      committed_(std::make_unique<std::atomic<bool>[]>(granules)),
      data_(new (std::align_val_t{granule_bytes}) std::byte[granules * granule_bytes]()),
      event_(std::move(event)) {}

bool RecordRing::push(const Record& record, std::span<const iovec> data) noexcept {
    const std::uint64_t needed = granules_of(record.captured_bytes);
    const auto all = static_cast<std::int64_t>(mask_ + 1);
    // The acquire pairs with the release in pop(): what the consumer has read there it has read before we write.
    std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    std::uint64_t reserved = reserved_.load(std::memory_order_relaxed);
    do {  // lock-free: it fails only because another producer has succeeded
        if (static_cast<std::int64_t>(reserved + needed - consumed) > all) {
            consumed = consumed_.load(std::memory_order_acquire);
            // Others may both have gone beyond the `reserved` that we know; then the difference is negative, and the exchange fails.
            if (static_cast<std::int64_t>(reserved + needed - consumed) > all) {
                return false;
            }
        }
    } while (!reserved_.compare_exchange_weak(reserved, reserved + needed, std::memory_order_relaxed));

    const std::size_t at = index(reserved) * granule_bytes;
    std::memcpy(data_.get() + at, &record, sizeof record);
    copy_in(at + sizeof record, record.captured_bytes, data);
    committed_[index(reserved)].store(true, std::memory_order_release);
    return true;
}

void RecordRing::copy_in(std::size_t at, std::uint32_t bytes, std::span<const iovec> data) noexcept {
    at &= size() - 1;
    std::size_t left = bytes;
    for (const iovec& piece : data) {
        auto* from = static_cast<std::byte*>(piece.iov_base);
        for (std::size_t of_piece = std::min(piece.iov_len, left); of_piece != 0;) {
            const std::size_t here = std::min(of_piece, size() - at);
            iovec part{from, here};
            std::span<iovec> parts(&part, 1);
            take_front(parts, {data_.get() + at, here});
            at = (at + here) & (size() - 1);
            from += here;
            of_piece -= here;
            left -= here;
        }
        if (left == 0) {
            break;
        }
    }
    assert(left == 0);
}

std::uint64_t RecordRing::used() const noexcept {
    // In this order, so that reserved is never behind consumed.
    const std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    return reserved_.load(std::memory_order_relaxed) - consumed;
}

void RecordRing::wake() noexcept {
    // Pairs with the one in arm(): without both, the consumer could miss the records and we its wish, and it would sleep on them.
    store_load_barrier();
    std::uint64_t wanted = wanted_.load(std::memory_order_relaxed);
    if (wanted != nothing_wanted && used() >= wanted &&
        wanted_.compare_exchange_strong(wanted, nothing_wanted, std::memory_order_relaxed)) {
        signal();
    }
}

std::optional<Record> RecordRing::front() const noexcept {
    const std::size_t first = index(consumed_.load(std::memory_order_relaxed));
    if (!committed_[first].load(std::memory_order_acquire)) {
        return std::nullopt;
    }
    Record record;
    std::memcpy(&record, data_.get() + first * granule_bytes, sizeof record);
    return record;
}

void RecordRing::pop(std::span<std::byte> out) noexcept {
    const std::uint64_t consumed = consumed_.load(std::memory_order_relaxed);
    const std::size_t first = index(consumed);
    Record record;
    std::memcpy(&record, data_.get() + first * granule_bytes, sizeof record);
    const std::size_t at = (first * granule_bytes + sizeof record) & (size() - 1);
    const std::size_t before_end = std::min<std::size_t>(record.captured_bytes, size() - at);
    std::copy_n(data_.get() + at, before_end, out.begin());
    std::copy_n(data_.get(), record.captured_bytes - before_end, out.begin() + static_cast<std::ptrdiff_t>(before_end));
    committed_[first].store(false, std::memory_order_relaxed);
    consumed_.store(consumed + granules_of(record.captured_bytes), std::memory_order_release);
}

bool RecordRing::arm(Level level) noexcept {
    const std::uint64_t wanted = level == Level::any ? 1 : (mask_ + 1) / 2;
    wanted_.store(wanted, std::memory_order_relaxed);
    // Pairs with the one in wake().
    store_load_barrier();
    const bool reached = level == Level::any ? front().has_value() : used() >= wanted;
    if (reached) {
        wanted_.store(nothing_wanted, std::memory_order_relaxed);
    }
    return !reached;
}

}  // namespace sidecore::capture
