// SPDX-License-Identifier: Apache-2.0
#include "frontend/request_slots.hh"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

constexpr std::size_t table_entries = 1024;

}  // namespace

Result<RequestSlots> RequestSlots::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    RequestSlots made(queue, options);
    for (std::size_t i = 0; i < options.slots; ++i) {
        Slot slot;
        SIDECORE_TRY_ASSIGN(slot.table, memory.allocate(table_entries * sizeof(Descriptor), sizeof(Descriptor)));
        SIDECORE_TRY_ASSIGN(const GuestBuffer room, memory.allocate(options.bytes_per_slot, 4096));
        slot.buffers = GuardedBuffers(room);
        made.slots_.push_back(std::move(slot));
        made.idle_.push_back(options.slots - 1 - i);
    }
    if (options.polling) {
        queue.suppress_calls();
    }
    return made;
}

Result<void> RequestSlots::place(Slot& slot, const Strings& strings, const RequestLayout& layout) {
    SIDECORE_TRY(slot.buffers.check_all());
    SIDECORE_TRY_ASSIGN(const auto readable, lengths_of(strings.header.size() + strings.data.size(), layout.readable));
    SIDECORE_TRY_ASSIGN(const auto writable, lengths_of(strings.writable_bytes, layout.writable));
    slot.readable_pieces = readable.size();
    slot.writable_bytes = strings.writable_bytes;
    std::vector<std::uint32_t> lengths = readable;
    lengths.insert(lengths.end(), writable.begin(), writable.end());
    return slot.buffers.place(lengths, {.alignment = layout.alignment, .shift = layout.shift});
}

Result<RequestSlots::Submitted> RequestSlots::submit(const Strings& strings, const RequestLayout& layout) {
    if (idle_.empty()) {
        return failure(ErrorKind::out_of_range, fmt::format("all {} slots are in flight", slots_.size()));
    }
    Slot& slot = slots_[idle_.back()];
    SIDECORE_TRY(place(slot, strings, layout));

    const std::span<const GuestBuffer> pieces = slot.buffers.pieces();
    const auto readable = pieces.first(slot.readable_pieces);
    const auto writable = pieces.subspan(slot.readable_pieces);
    scatter(strings.header, readable);
    scatter(strings.data, readable, strings.header.size());
    scatter(std::span(&not_written, 1), writable, strings.preset_at);

    std::vector<Piece> chain;
    append_pieces(chain, readable, false);
    append_pieces(chain, writable, true);
    const std::span<const Piece> all(chain);
    const std::size_t direct = layout.indirect ? std::min(layout.direct_pieces, all.size()) : all.size();
    const auto head = all.size() - direct > table_entries
                          ? std::nullopt
                          : queue_->format(all.first(direct), all.subspan(direct), slot.table);
    if (!head) {
        slot.buffers.fill();
        return failure(ErrorKind::out_of_range,
                       fmt::format("{} buffers fit neither the free descriptors nor a table", all.size()));
    }
    slot.head = *head;
    slot.busy = true;
    slot.ticket = next_ticket_++;
    const Submitted submitted{slot.ticket, idle_.back()};
    idle_.pop_back();
    queue_->offer(slot.head);
    return submitted;
}

Result<RequestSlots::Finished> RequestSlots::finish(const Used& used) {
    const auto found = std::find_if(slots_.begin(), slots_.end(),
                                    [&used](const Slot& slot) { return slot.busy && slot.head == used.head; });
    if (found == slots_.end()) {
        return failure(ErrorKind::not_found, fmt::format("chain {} is none of ours", used.head));
    }
    Slot& slot = *found;
    queue_->release(slot.head);
    slot.busy = false;
    idle_.push_back(static_cast<std::size_t>(found - slots_.begin()));

    SIDECORE_TRY(slot.buffers.check());
    Finished finished{slot.ticket, idle_.back(), used.length, std::vector<std::byte>(slot.writable_bytes)};
    gather(slot.buffers.pieces().subspan(slot.readable_pieces), finished.written);
    slot.buffers.fill();
    return finished;
}

Result<std::vector<RequestSlots::Finished>> RequestSlots::take() {
    std::array<Used, 64> used{};
    std::vector<Finished> all;
    while (const std::size_t count = queue_->reap(used)) {
        for (const Used& one : std::span(used).first(count)) {
            SIDECORE_TRY_ASSIGN(Finished finished, finish(one));
            all.push_back(std::move(finished));
        }
    }
    if (!queue_->violation().empty()) {
        return failure(ErrorKind::protocol_violation, queue_->violation());
    }
    return all;
}

Result<std::vector<RequestSlots::Finished>> RequestSlots::collect() {
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    for (;;) {
        SIDECORE_TRY_ASSIGN(auto finished, take());
        if (!finished.empty()) {
            return finished;
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            return failure(ErrorKind::timed_out,
                           fmt::format("none of {} requests in flight finished", queue_->in_flight()));
        }
        if (options_.polling) {
            std::this_thread::yield();
        } else {
            queue_->wait_for_used(
                std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()));
        }
    }
}

Result<void> RequestSlots::check_finished() const {
    for (const Slot& slot : slots_) {
        if (!slot.busy) {
            SIDECORE_TRY(slot.buffers.check_all());
        }
    }
    return {};
}

}  // namespace sidecore::frontend
