// SPDX-License-Identifier: Apache-2.0
#include "frontend/blk_requests.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace sidecore::frontend {

namespace {

constexpr std::size_t table_entries = 1024;

std::uint32_t length_of(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(bytes.size());
}

}  // namespace

Result<BlkRequests> BlkRequests::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    BlkRequests made(queue, options);
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

BlkRequests::BlkRequests(DriverQueue& queue, const Options& options) : queue_(&queue), options_(options) {}

Result<void> BlkRequests::place(Slot& slot) {
    const BlkRequest& request = slot.request;
    std::vector<std::uint32_t> readable_cuts = request.layout.readable;
    if (readable_cuts.empty()) {
        readable_cuts = {sizeof(BlkHeader)};
    }
    std::vector<std::uint32_t> writable_cuts = request.layout.writable;
    if (writable_cuts.empty() && !request.in.empty()) {
        writable_cuts = {length_of(request.in)};
    }
    SIDECORE_TRY_ASSIGN(const auto readable, lengths_of(sizeof(BlkHeader) + request.out.size(), readable_cuts));
    SIDECORE_TRY_ASSIGN(const auto writable, lengths_of(request.in.size() + 1, writable_cuts));

    slot.readable_pieces = readable.size();
    std::vector<std::uint32_t> lengths = readable;
    lengths.insert(lengths.end(), writable.begin(), writable.end());
    return slot.buffers.place(lengths, {.alignment = request.layout.alignment, .shift = request.layout.shift});
}

Result<std::uint64_t> BlkRequests::submit(const BlkRequest& request) {
    if (idle_.empty()) {
        return failure(ErrorKind::out_of_range, fmt::format("all {} slots are in flight", slots_.size()));
    }
    Slot& slot = slots_[idle_.back()];
    slot.request = request;
    SIDECORE_TRY(place(slot));

    const BlkHeader header{
        .type = static_cast<std::uint32_t>(request.type), .reserved = std::uint32_t{0}, .sector = request.sector};
    const std::span<const GuestBuffer> pieces = slot.buffers.pieces();
    const auto readable = pieces.first(slot.readable_pieces);
    scatter(std::as_bytes(std::span(&header, 1)), readable);
    scatter(request.out, readable, sizeof header);
    const auto not_written = static_cast<std::byte>(BlkStatus::not_written);
    scatter(std::span(&not_written, 1), pieces.subspan(slot.readable_pieces), request.in.size());

    std::vector<Piece> chain;
    append_pieces(chain, readable, false);
    append_pieces(chain, pieces.subspan(slot.readable_pieces), true);
    const std::span<const Piece> all(chain);
    const std::size_t direct =
        request.layout.indirect ? std::min(request.layout.direct_pieces, all.size()) : all.size();
    if (all.size() - direct > table_entries) {
        return failure(ErrorKind::out_of_range, fmt::format("{} buffers do not fit a table", all.size()));
    }
    const auto head = queue_->format(all.first(direct), all.subspan(direct), slot.table);
    if (!head) {
        return failure(ErrorKind::out_of_range, "too few free descriptors");
    }
    slot.head = *head;
    slot.busy = true;
    slot.ticket = next_ticket_++;
    idle_.pop_back();
    queue_->offer(slot.head);
    return slot.ticket;
}

Result<BlkFinished> BlkRequests::finish(const Used& used) {
    const auto found = std::find_if(slots_.begin(), slots_.end(),
                                    [&used](const Slot& slot) { return slot.busy && slot.head == used.head; });
    if (found == slots_.end()) {
        return failure(ErrorKind::not_found, fmt::format("chain {} is none of ours", used.head));
    }
    Slot& slot = *found;
    queue_->release(slot.head);
    slot.busy = false;
    idle_.push_back(static_cast<std::size_t>(found - slots_.begin()));

    const std::span<const GuestBuffer> pieces = slot.buffers.pieces();
    SIDECORE_TRY(slot.buffers.check());
    std::vector<std::byte> written(slot.request.in.size() + 1);
    gather(pieces.subspan(slot.readable_pieces), written);
    if (!slot.request.in.empty()) {
        std::memcpy(slot.request.in.data(), written.data(), slot.request.in.size());
    }
    return BlkFinished{.ticket = slot.ticket,
                       .status = static_cast<BlkStatus>(std::to_integer<std::uint8_t>(written.back())),
                       .used_length = used.length};
}

Result<std::vector<BlkFinished>> BlkRequests::collect() {
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    std::array<Used, 64> used{};
    std::vector<BlkFinished> finished;
    for (;;) {
        const std::size_t count = queue_->reap(used);
        for (const Used& one : std::span(used).first(count)) {
            SIDECORE_TRY_ASSIGN(const BlkFinished result, finish(one));
            finished.push_back(result);
        }
        if (!queue_->violation().empty()) {
            return failure(ErrorKind::protocol_violation, queue_->violation());
        }
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

Result<BlkFinished> BlkRequests::run(const BlkRequest& request) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t ticket, submit(request));
    queue_->publish();
    SIDECORE_TRY_ASSIGN(const auto finished, collect());
    if (finished.front().ticket != ticket) {
        return failure(ErrorKind::invalid_argument, "run() with other requests in flight");
    }
    return finished.front();
}

Result<void> BlkRequests::run_plain(BlkType type, std::uint64_t sector, std::span<const std::byte> out,
                                    std::span<std::byte> in) {
    SIDECORE_TRY_ASSIGN(const BlkFinished finished,
                        run({.type = type, .sector = sector, .out = out, .in = in, .layout = {}}));
    if (finished.status != BlkStatus::ok) {
        return failure(ErrorKind::system,
                       fmt::format("request type {} at sector {} ended with status {}",
                                   static_cast<std::uint32_t>(type), sector, static_cast<unsigned>(finished.status)));
    }
    return {};
}

Result<void> BlkRequests::read(std::uint64_t sector, std::span<std::byte> into) {
    return run_plain(BlkType::read, sector, {}, into);
}

Result<void> BlkRequests::write(std::uint64_t sector, std::span<const std::byte> data) {
    return run_plain(BlkType::write, sector, data, {});
}

Result<void> BlkRequests::flush() {
    return run_plain(BlkType::flush, 0, {}, {});
}

Result<std::string> BlkRequests::get_id() {
    std::array<char, blk_id_bytes> id{};
    SIDECORE_TRY(run_plain(BlkType::get_id, 0, {}, std::as_writable_bytes(std::span(id))));
    return std::string(id.begin(), std::find(id.begin(), id.end(), '\0'));
}

Result<void> BlkRequests::discard(std::span<const BlkRange> ranges) {
    return run_plain(BlkType::discard, 0, std::as_bytes(ranges), {});
}

Result<void> BlkRequests::write_zeroes(std::span<const BlkRange> ranges) {
    return run_plain(BlkType::write_zeroes, 0, std::as_bytes(ranges), {});
}

}  // namespace sidecore::frontend
