// SPDX-License-Identifier: Apache-2.0
#include "endpoint/verified_load.hh"

#include <algorithm>
#include <array>

#include "base/format.hh"

namespace sidecore::endpoint {

using frontend::BlkFinished;
using frontend::BlkLayout;
using frontend::BlkRequests;
using frontend::BlkStatus;
using frontend::BlkType;

VerifiedLoad::VerifiedLoad(const Range& range, std::uint64_t seed, bool indirect)
    : range_(range),
      indirect_(indirect),
      random_(seed),
      model_(range.sectors * frontend::blk_sector_bytes),
      busy_(range.sectors / sectors_per_cell) {}

bool VerifiedLoad::choose_place(InFlight& request) {
    for (int attempt = 0; attempt < 10; ++attempt) {
        request.cells = 1 + below(std::min<std::uint64_t>(4, busy_.size()));
        request.cell = below(busy_.size() - request.cells + 1);
        const auto first = busy_.begin() + static_cast<std::ptrdiff_t>(request.cell);
        const auto last = first + static_cast<std::ptrdiff_t>(request.cells);
        if (std::none_of(first, last, [](bool busy) { return busy; })) {
            std::fill(first, last, true);
            return true;
        }
    }
    return false;
}

BlkLayout VerifiedLoad::choose_layout(std::size_t out, std::size_t in) {
    BlkLayout layout;
    if (below(2) == 0) {
        const auto cut = [this](std::uint64_t bytes) {
            std::vector<std::uint32_t> lengths;
            for (std::uint64_t pieces = 1 + below(5); pieces > 1 && bytes > 1; --pieces) {
                lengths.push_back(static_cast<std::uint32_t>(1 + below(bytes - 1)));
                bytes -= lengths.back();
            }
            lengths.push_back(static_cast<std::uint32_t>(bytes));
            return lengths;
        };
        layout.readable = cut(sizeof(frontend::BlkHeader) + out);
        layout.writable = cut(in + 1);
        layout.alignment = 16;
        layout.shift = static_cast<std::uint32_t>(below(4));
    }
    layout.indirect = indirect_ && below(2) == 0;
    layout.direct_pieces = below(3);
    return layout;
}

/// False: too much is in flight just now.
Result<bool> VerifiedLoad::start(BlkRequests& requests) {
    InFlight request;
    const std::uint64_t dice = below(20);
    request.type = dice < 9    ? BlkType::write
                   : dice < 18 ? BlkType::read
                   : dice < 19 ? BlkType::write_zeroes
                               : BlkType::flush;
    if (request.type != BlkType::flush && !choose_place(request)) {
        return false;
    }
    const std::uint64_t sector = range_.first_sector + request.cell * sectors_per_cell;
    std::span<const std::byte> out;
    frontend::BlkRange zeroes;
    if (request.type == BlkType::write) {
        request.data.resize(request.cells * cell_bytes);
        for (std::size_t i = 0; i < request.data.size(); i += sizeof(std::uint64_t)) {
            const std::uint64_t value = random_();
            std::copy_n(std::as_bytes(std::span(&value, 1)).begin(), sizeof value,
                        request.data.begin() + static_cast<std::ptrdiff_t>(i));
        }
        out = request.data;
    } else if (request.type == BlkType::read) {
        request.data.resize(request.cells * cell_bytes);
    } else if (request.type == BlkType::write_zeroes) {
        zeroes = {sector, static_cast<std::uint32_t>(request.cells * sectors_per_cell),
                  static_cast<std::uint32_t>(below(2))};
        out = std::as_bytes(std::span(&zeroes, 1));
    }
    const bool transfer = request.type == BlkType::write || request.type == BlkType::read;
    const std::span<std::byte> in = request.type == BlkType::read ? std::span(request.data) : std::span<std::byte>();
    SIDECORE_TRY_ASSIGN(const std::uint64_t ticket, requests.submit({.type = request.type,
                                                                     .sector = transfer ? sector : 0,
                                                                     .out = out,
                                                                     .in = in,
                                                                     .layout = choose_layout(out.size(), in.size())}));
    in_flight_.emplace(ticket, std::move(request));  // a vector keeps its bytes where they are when it is moved
    return true;
}

Result<void> VerifiedLoad::finish(const BlkFinished& finished) {
    const auto found = in_flight_.find(finished.ticket);
    if (found == in_flight_.end()) {
        return failure(ErrorKind::not_found,
                       fmt::format("request {} finished, which nobody asked for", finished.ticket));
    }
    const InFlight request = std::move(found->second);
    in_flight_.erase(found);
    if (finished.status != BlkStatus::ok) {
        return failure(ErrorKind::system, fmt::format("request {} of type {} at cell {} ended with status {}",
                                                      finished.ticket, static_cast<unsigned>(request.type),
                                                      request.cell, static_cast<unsigned>(finished.status)));
    }
    const auto first = busy_.begin() + static_cast<std::ptrdiff_t>(request.cell);
    std::fill(first, first + static_cast<std::ptrdiff_t>(request.cells), false);
    const auto place = model_.begin() + static_cast<std::ptrdiff_t>(request.cell * cell_bytes);
    switch (request.type) {
        case BlkType::write:
            ++writes_;
            std::copy(request.data.begin(), request.data.end(), place);
            break;
        case BlkType::write_zeroes:
            std::fill_n(place, request.cells * cell_bytes, std::byte{0});
            break;
        case BlkType::read:
            ++reads_;
            if (!std::equal(request.data.begin(), request.data.end(), place)) {
                return failure(ErrorKind::system,
                               fmt::format("wrong data in {} cells from cell {}", request.cells, request.cell));
            }
            break;
        default:
            break;
    }
    return {};
}

Result<void> VerifiedLoad::run(BlkRequests& requests, std::uint64_t count, std::size_t depth) {
    std::uint64_t started = 0;
    while (started < count || !in_flight_.empty()) {
        while (started < count && in_flight_.size() < depth) {
            SIDECORE_TRY_ASSIGN(const bool room, start(requests));
            if (!room) {
                break;
            }
            ++started;
        }
        requests.queue().publish();
        SIDECORE_TRY_ASSIGN(const auto finished, requests.collect());
        for (const BlkFinished& one : finished) {
            SIDECORE_TRY(finish(one));
        }
    }
    return {};
}

Result<void> VerifiedLoad::compare_all(BlkRequests& requests) const {
    std::vector<std::byte> bytes(8 * cell_bytes);
    for (std::size_t offset = 0; offset < model_.size(); offset += bytes.size()) {
        const std::size_t length = std::min(bytes.size(), model_.size() - offset);
        const std::span part = std::span(bytes).first(length);
        SIDECORE_TRY(requests.read(range_.first_sector + offset / frontend::blk_sector_bytes, part));
        if (!std::equal(part.begin(), part.end(), model_.begin() + static_cast<std::ptrdiff_t>(offset))) {
            return failure(ErrorKind::system, fmt::format("wrong data within {} bytes from byte {}", length, offset));
        }
    }
    return {};
}

}  // namespace sidecore::endpoint
