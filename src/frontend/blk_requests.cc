// SPDX-License-Identifier: Apache-2.0
#include "frontend/blk_requests.hh"

#include <algorithm>
#include <array>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

Result<BlkRequests> BlkRequests::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    SIDECORE_TRY_ASSIGN(auto slots, RequestSlots::create(memory, queue, options));
    return BlkRequests(std::move(slots));
}

Result<std::uint64_t> BlkRequests::submit(const BlkRequest& request) {
    RequestLayout layout = request.layout;
    if (layout.readable.empty()) {
        layout.readable = {sizeof(BlkHeader)};
    }
    if (layout.writable.empty() && !request.in.empty()) {
        layout.writable = {static_cast<std::uint32_t>(request.in.size())};
    }
    const BlkHeader header{
        .type = static_cast<std::uint32_t>(request.type), .reserved = std::uint32_t{0}, .sector = request.sector};
    SIDECORE_TRY_ASSIGN(const auto submitted, slots_.submit({.header = std::as_bytes(std::span(&header, 1)),
                                                             .data = request.out,
                                                             .writable_bytes = request.in.size() + 1,
                                                             .preset_at = request.in.size()},
                                                            layout));
    in_[submitted.slot] = request.in;
    return submitted.ticket;
}

Result<std::vector<BlkFinished>> BlkRequests::collect() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.collect());
    std::vector<BlkFinished> finished;
    for (const RequestSlots::Finished& one : all) {
        std::copy_n(one.written.begin(), in_[one.slot].size(), in_[one.slot].begin());
        finished.push_back({.ticket = one.ticket,
                            .status = static_cast<BlkStatus>(std::to_integer<std::uint8_t>(one.written.back())),
                            .used_length = one.used_length});
    }
    return finished;
}

Result<BlkFinished> BlkRequests::run(const BlkRequest& request) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t ticket, submit(request));
    queue().publish();
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
