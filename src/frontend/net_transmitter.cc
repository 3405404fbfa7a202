// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_transmitter.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

constexpr std::size_t transmit_table_entries = 1024;
constexpr std::uint64_t slot_alignment = 4096;

}  // namespace

std::uint64_t NetTransmitter::memory_needed(const Options& options) noexcept {
    return options.slots * (transmit_table_entries * sizeof(Descriptor) + options.bytes_per_slot + 2 * slot_alignment);
}

Result<NetTransmitter> NetTransmitter::create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                              const Options& options) {
    NetTransmitter made(queue, net_header_bytes(features), options);
    for (std::size_t i = 0; i < options.slots; ++i) {
        Slot slot;
        SIDECORE_TRY_ASSIGN(slot.table,
                            memory.allocate(transmit_table_entries * sizeof(Descriptor), sizeof(Descriptor)));
        SIDECORE_TRY_ASSIGN(const GuestBuffer room, memory.allocate(options.bytes_per_slot, slot_alignment));
        slot.buffers = GuardedBuffers(room);
        made.slots_.push_back(std::move(slot));
        made.idle_.push_back(options.slots - 1 - i);
    }
    return made;
}

Result<void> NetTransmitter::submit(const NetOutgoing& outgoing) {
    if (idle_.empty()) {
        return failure(ErrorKind::out_of_range, fmt::format("all {} slots are in flight", slots_.size()));
    }
    Slot& slot = slots_[idle_.back()];
    const std::uint32_t header_bytes = std::min(outgoing.header_bytes.value_or(header_bytes_), header_bytes_);
    const auto header = std::as_bytes(std::span(&outgoing.header, 1)).first(header_bytes);
    slot.sent.assign(header.begin(), header.end());
    slot.sent.insert(slot.sent.end(), outgoing.frame.begin(), outgoing.frame.end());

    const NetLayout& layout = outgoing.layout;
    const std::vector<std::uint32_t> header_apart{header_bytes};
    SIDECORE_TRY_ASSIGN(const auto lengths,
                        lengths_of(slot.sent.size(), layout.cuts.empty() ? header_apart : layout.cuts));
    SIDECORE_TRY(slot.buffers.place(lengths, layout.placement));
    scatter(slot.sent, slot.buffers.pieces());

    std::vector<Piece> chain;
    append_pieces(chain, slot.buffers.pieces(), false);
    const std::span<const Piece> all(chain);
    const std::size_t direct = layout.indirect ? std::min(layout.direct_pieces, all.size()) : all.size();
    if (all.size() - direct > transmit_table_entries) {
        return failure(ErrorKind::out_of_range, fmt::format("{} buffers do not fit a table", all.size()));
    }
    const auto head = queue_->format(all.first(direct), all.subspan(direct), slot.table);
    if (!head) {
        return failure(ErrorKind::out_of_range, "too few free descriptors");
    }
    slot.head = *head;
    slot.busy = true;
    idle_.pop_back();
    queue_->offer(slot.head);
    return {};
}

Result<std::size_t> NetTransmitter::send_batch(std::span<const NetOutgoing> batch) {
    SIDECORE_TRY(reclaim());
    std::size_t count = 0;
    for (const NetOutgoing& outgoing : batch) {
        const auto submitted = submit(outgoing);
        if (!submitted && submitted.error().kind == ErrorKind::out_of_range && in_flight() != 0) {
            break;
        }
        SIDECORE_TRY(submitted);
        ++count;
    }
    queue_->publish();
    return count;
}

Result<void> NetTransmitter::send(const NetOutgoing& outgoing) {
    SIDECORE_TRY(reclaim());
    SIDECORE_TRY(submit(outgoing));
    return drain();
}

Result<std::size_t> NetTransmitter::reclaim() {
    std::array<Used, 64> used{};
    std::size_t total = 0;
    while (const std::size_t count = queue_->reap(used)) {
        for (const Used& one : std::span(used).first(count)) {
            SIDECORE_TRY(finish(one.head));
        }
        total += count;
    }
    if (!queue_->violation().empty()) {
        return failure(ErrorKind::protocol_violation, queue_->violation());
    }
    return total;
}

Result<void> NetTransmitter::finish(std::uint16_t head) {
    const auto found =
        std::find_if(slots_.begin(), slots_.end(), [head](const Slot& slot) { return slot.busy && slot.head == head; });
    if (found == slots_.end()) {
        return failure(ErrorKind::not_found, fmt::format("chain {} is none of ours", head));
    }
    Slot& slot = *found;
    queue_->release(slot.head);
    slot.busy = false;
    idle_.push_back(static_cast<std::size_t>(found - slots_.begin()));
    SIDECORE_TRY(slot.buffers.check());
    std::vector<std::byte> now(slot.sent.size());
    gather(slot.buffers.pieces(), now);
    if (now != slot.sent) {
        // 2.7.5.1: "A device MUST NOT write to a device-readable buffer".
        return failure(ErrorKind::protocol_violation, "the device wrote to a frame that it may only read");
    }
    return {};
}

Result<void> NetTransmitter::drain() {
    queue_->publish();
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    for (;;) {
        SIDECORE_TRY(reclaim());
        if (in_flight() == 0) {
            return {};
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            return failure(ErrorKind::timed_out, fmt::format("{} frames were not used", in_flight()));
        }
        queue_->wait_for_used(left);
    }
}

}  // namespace sidecore::frontend
