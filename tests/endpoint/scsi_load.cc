// SPDX-License-Identifier: Apache-2.0
#include "endpoint/scsi_load.hh"

#include <algorithm>
#include <span>
#include <utility>

#include "base/format.hh"

namespace sidecore::endpoint {

using frontend::ScsiFinished;
using frontend::ScsiRequests;
using frontend::ScsiResponse;

namespace {

constexpr std::uint8_t check_condition = 2;
constexpr unsigned unit_attention = 6;

bool told_of_a_reset(const ScsiFinished& finished) {
    return finished.response == ScsiResponse::ok && finished.status == check_condition && finished.sense_bytes > 2 &&
           (std::to_integer<unsigned>(finished.sense.at(2)) & 0xfU) == unit_attention;
}

}  // namespace

ScsiLoad::ScsiLoad(std::uint32_t first_block, std::uint64_t first_tag, std::uint64_t seed, bool blank)
    : first_block_(first_block), first_tag_(first_tag), random_(seed), cells_(cells) {
    for (Cell& cell : cells_) {
        cell.known = blank;
    }
}

/// False: the cell that was chosen is busy.
Result<bool> ScsiLoad::start(ScsiRequests& requests) {
    InFlight request;
    request.cell = static_cast<std::uint32_t>(random_() % cells);
    Cell& cell = cells_[request.cell];
    if (cell.busy) {
        return false;
    }
    request.write = random_() % 2 == 0;
    request.data.resize(cell_bytes);
    const std::uint32_t block = first_block_ + request.cell * blocks_per_cell;
    frontend::ScsiRequest made;
    if (request.write) {
        std::ranges::generate(request.data, [&] { return static_cast<std::byte>(random_()); });
        made.cdb = frontend::scsi_write_10(block, blocks_per_cell);
        made.out = request.data;
    } else {
        made.cdb = frontend::scsi_read_10(block, blocks_per_cell);
        made.in = request.data;
    }
    made.id = first_tag_ + next_tag_++ % tags;
    made.layout.indirect = random_() % 2 == 0;
    made.layout.shift = static_cast<std::uint32_t>(random_() % 4);
    SIDECORE_TRY_ASSIGN(const std::uint64_t ticket, requests.submit(made));
    cell.busy = true;
    in_flight_.emplace(ticket, std::move(request));  // a vector keeps its bytes where they are when it is moved
    return true;
}

Result<void> ScsiLoad::finish(const ScsiFinished& finished) {
    const auto found = in_flight_.find(finished.ticket);
    if (found == in_flight_.end()) {
        return failure(ErrorKind::not_found, fmt::format("request {} finished twice", finished.ticket));
    }
    const InFlight request = std::move(found->second);
    in_flight_.erase(found);
    Cell& cell = cells_[request.cell];
    cell.busy = false;
    if (finished.response == ScsiResponse::aborted || finished.response == ScsiResponse::reset ||
        told_of_a_reset(finished)) {
        ++ended_by_others;
        cell.known = cell.known && !request.write;
        return {};
    }
    if (!finished.good()) {
        return failure(ErrorKind::system,
                       fmt::format("request {} ended with response {} and status {}", finished.ticket,
                                   static_cast<unsigned>(finished.response), finished.status));
    }
    ++good;
    if (request.write) {
        cell.bytes = request.data;
        cell.known = true;
    } else if (cell.known && cell.bytes != request.data) {
        return failure(ErrorKind::system, fmt::format("wrong data in cell {}", request.cell));
    }
    return {};
}

Result<void> ScsiLoad::run(ScsiRequests& requests, std::uint64_t count, std::size_t depth,
                           const std::atomic<bool>* stop) {
    const auto more = [&](std::uint64_t started) { return started < count && (stop == nullptr || !*stop); };
    for (std::uint64_t started = 0; more(started) || !in_flight_.empty();) {
        while (more(started) && in_flight_.size() < depth) {
            SIDECORE_TRY_ASSIGN(const bool begun, start(requests));
            if (!begun) {
                break;
            }
            ++started;
        }
        if (in_flight_.empty()) {
            continue;
        }
        requests.queue().publish();
        SIDECORE_TRY_ASSIGN(const auto all, requests.collect());
        for (const ScsiFinished& one : all) {
            SIDECORE_TRY(finish(one));
        }
    }
    return requests.check_finished();
}

Result<void> ScsiLoad::compare_all(ScsiRequests& requests) {
    for (std::uint32_t i = 0; i < cells; ++i) {
        std::vector<std::byte> found(cell_bytes);
        const frontend::ScsiRequest read{
            .cdb = frontend::scsi_read_10(first_block_ + i * blocks_per_cell, blocks_per_cell), .in = found};
        SIDECORE_TRY_ASSIGN(auto finished, requests.run(read));
        while (told_of_a_reset(finished)) {
            SIDECORE_TRY_ASSIGN(finished, requests.run(read));
        }
        if (!finished.good() || (cells_[i].known && found != cells_[i].bytes)) {
            return failure(ErrorKind::system, fmt::format("wrong data in cell {} at the end", i));
        }
    }
    return {};
}

}  // namespace sidecore::endpoint
