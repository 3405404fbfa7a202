// SPDX-License-Identifier: Apache-2.0
#include "frontend/driver_queue.hh"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <numeric>
#include <poll.h>
#include <unistd.h>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

// No two areas share a cache line or the pair of lines that the CPU fetches together: what the driver writes and what
// the device writes stay apart. The specification asks for 16, 2 and 4.
constexpr std::uint64_t area_alignment = 128;

// While calls are suppressed, used_event stays behind the used index. A lap of 2^16 later it would be ahead of it, so
// it is moved on long before.
constexpr std::uint16_t used_event_refresh = 1U << 14U;

Descriptor describe(const Piece& piece) noexcept {
    return {.address = piece.address.value,
            .length = piece.length,
            .flags = piece.device_writable ? descriptor_device_writable : std::uint16_t{0},
            .next = std::uint16_t{0}};
}

std::uint64_t writable_in(std::span<const Piece> pieces) noexcept {
    return std::accumulate(pieces.begin(), pieces.end(), std::uint64_t{0}, [](std::uint64_t sum, const Piece& piece) {
        return sum + (piece.device_writable ? piece.length : 0);
    });
}

}  // namespace

Result<DriverQueue> DriverQueue::create(GuestMemoryFile& memory, const QueueOptions& options) {
    if (!std::has_single_bit(options.size) || options.size > 32768) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a split virtqueue cannot have {} descriptors", options.size));
    }
    SIDECORE_TRY_ASSIGN(const GuestBuffer descriptors,
                        memory.allocate(SplitRing::descriptor_bytes(options.size), area_alignment, options.region));
    SIDECORE_TRY_ASSIGN(const GuestBuffer available,
                        memory.allocate(SplitRing::available_bytes(options.size), area_alignment, options.region));
    SIDECORE_TRY_ASSIGN(const GuestBuffer used,
                        memory.allocate(SplitRing::used_bytes(options.size), area_alignment, options.region));
    SIDECORE_TRY_ASSIGN(Fd kick, make_eventfd());
    SIDECORE_TRY_ASSIGN(Fd call, make_eventfd());
    SIDECORE_TRY_ASSIGN(Fd error, make_eventfd());
    return DriverQueue(SplitRing(options.size, descriptors, available, used), options, std::move(kick), std::move(call),
                       std::move(error));
}

DriverQueue::DriverQueue(SplitRing ring, const QueueOptions& options, Fd kick, Fd call, Fd error)
    : ring_(ring),
      mask_(static_cast<std::uint16_t>(options.size - 1U)),
      event_index_(options.event_index),
      first_index_(options.first_index),
      links_(options.size),
      chains_(options.size),
      kick_(std::move(kick)),
      call_(std::move(call)),
      error_(std::move(error)) {
    reset();
}

void DriverQueue::reset() noexcept {
    ring_.clear();
    available_next_ = available_published_ = used_next_ = first_index_;
    ring_.set_available_index(first_index_, std::memory_order_relaxed);
    ring_.set_used_index(first_index_, std::memory_order_relaxed);
    std::iota(links_.begin(), links_.end(), std::uint16_t{1});
    links_.back() = none;
    std::fill(chains_.begin(), chains_.end(), Chain{});
    free_head_ = 0;
    free_count_ = ring_.size();
    kick_wanted_ = false;
    violation_.clear();
    drain_eventfd(call_.get());
    if (calls_suppressed_) {
        suppress_calls();
    } else {
        static_cast<void>(request_calls());
    }
}

std::optional<std::uint16_t> DriverQueue::format(std::span<const Piece> direct, std::span<const Piece> indirect,
                                                 const GuestBuffer& table) {
    const std::size_t needed = direct.size() + (indirect.empty() ? 0 : 1);
    if (needed == 0 || needed > free_count_) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < indirect.size(); ++i) {
        Descriptor entry = describe(indirect[i]);
        if (i + 1 < indirect.size()) {
            entry.flags = static_cast<std::uint16_t>(entry.flags | descriptor_next);
            entry.next = static_cast<std::uint16_t>(i + 1);
        }
        std::memcpy(table.host + i * sizeof entry, &entry, sizeof entry);
    }
    const std::uint16_t head = free_head_;
    for (std::size_t i = 0; i < needed; ++i) {
        const std::uint16_t index = free_head_;
        free_head_ = links_[index];
        Descriptor entry = i < direct.size()
                               ? describe(direct[i])
                               : Descriptor{.address = table.address.value,
                                            .length = static_cast<std::uint32_t>(indirect.size() * sizeof entry),
                                            .flags = descriptor_indirect,
                                            .next = std::uint16_t{0}};
        if (i + 1 < needed) {
            entry.flags = static_cast<std::uint16_t>(entry.flags | descriptor_next);
            entry.next = free_head_;
        }
        ring_.write_descriptor(index, entry);
    }
    free_count_ = static_cast<std::uint16_t>(free_count_ - needed);
    const std::uint64_t writable = writable_in(direct) + writable_in(indirect);
    chains_[head] = {.writable_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(writable, UINT32_MAX)),
                     .descriptors = static_cast<std::uint16_t>(needed),
                     .offered = false};
    return head;
}

void DriverQueue::release(std::uint16_t head) noexcept {
    std::uint16_t last = head;
    for (std::uint16_t i = 1; i < chains_[head].descriptors; ++i) {
        last = links_[last];
    }
    links_[last] = free_head_;
    free_head_ = head;
    free_count_ = static_cast<std::uint16_t>(free_count_ + chains_[head].descriptors);
    chains_[head] = {};
}

std::size_t DriverQueue::reap(std::span<Used> used) noexcept {
    const std::uint16_t device_index = ring_.used_index(std::memory_order_acquire);
    const std::uint16_t finished = index_distance(device_index, used_next_);
    if (finished == 0 || !violation_.empty()) {
        return 0;
    }
    if (finished > in_flight()) {
        break_queue(
            fmt::format("used index {} with {} chains in flight since {}", device_index, in_flight(), used_next_));
        return 0;
    }
    const std::size_t limit = std::min<std::size_t>(finished, used.size());
    std::size_t count = 0;
    for (; count < limit; ++count) {
        const UsedElement element = ring_.read_used(used_next_ & mask_);
        const std::uint32_t id = element.id;
        if (id >= ring_.size() || !chains_[id].offered) {
            break_queue(fmt::format("used entry {} names descriptor {}, which is no offered head", used_next_, id));
            break;
        }
        const std::uint32_t length = element.length;
        if (length > chains_[id].writable_bytes) {
            break_queue(fmt::format("{} bytes written to chain {}, which has room for {}", length, id,
                                    chains_[id].writable_bytes));
            break;
        }
        chains_[id].offered = false;
        used[count] = {.head = static_cast<std::uint16_t>(id), .length = length};
        ++used_next_;
    }
    statistics_.used += count;
    if (calls_suppressed_ && event_index_ && index_distance(used_next_, used_event_) >= used_event_refresh) {
        suppress_calls();
    }
    return count;
}

void DriverQueue::suppress_calls() noexcept {
    calls_suppressed_ = true;
    if (event_index_) {
        used_event_ = static_cast<std::uint16_t>(used_next_ - 1U);
        ring_.set_used_event(used_event_, std::memory_order_relaxed);
    } else {
        ring_.set_available_flags(available_no_interrupt, std::memory_order_relaxed);
    }
}

bool DriverQueue::request_calls() noexcept {
    calls_suppressed_ = false;
    // seq_cst store and load pair with the device's fence between publishing its used index and reading our wish: one
    // of the two sees the other, or nobody would tell us of a chain used in between.
    if (event_index_) {
        used_event_ = used_next_;
        ring_.set_used_event(used_event_, std::memory_order_seq_cst);
    } else {
        ring_.set_available_flags(0, std::memory_order_seq_cst);
    }
    return ring_.used_index(std::memory_order_seq_cst) != used_next_;
}

bool DriverQueue::wait_for_call(std::chrono::milliseconds timeout) {
    pollfd call{.fd = call_.get(), .events = POLLIN, .revents = 0};
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        const int ready = ::poll(&call, 1, std::max(0, static_cast<int>(left.count())));
        std::uint64_t count = 0;
        if (ready > 0 && ::read(call_.get(), &count, sizeof count) == static_cast<ssize_t>(sizeof count)) {
            statistics_.calls_received += count;
            return true;
        }
        if (ready == 0) {
            return false;
        }
    }
}

bool DriverQueue::wait_for_used(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!request_calls()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0 || !violation_.empty() || !wait_for_call(left)) {
            return has_used() && violation_.empty();
        }
    }
    return violation_.empty();
}

void DriverQueue::break_queue(std::string what) {
    violation_ = std::move(what);
}

}  // namespace sidecore::frontend
