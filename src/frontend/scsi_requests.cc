// SPDX-License-Identifier: Apache-2.0
#include "frontend/scsi_requests.hh"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/big_endian.hh"
#include "base/format.hh"

namespace sidecore::frontend {

namespace {

std::vector<std::byte> transfer_10(std::uint8_t opcode, std::uint32_t block, std::uint16_t blocks) {
    std::vector<std::byte> cdb(10);
    cdb[0] = static_cast<std::byte>(opcode);
    store_big_endian(std::span(cdb).subspan(2, 4), block);
    store_big_endian(std::span(cdb).subspan(7, 2), blocks);
    return cdb;
}

}  // namespace

std::vector<std::byte> scsi_test_unit_ready() {
    return std::vector<std::byte>(6);
}

std::vector<std::byte> scsi_read_10(std::uint32_t block, std::uint16_t blocks) {
    return transfer_10(0x28, block, blocks);
}

std::vector<std::byte> scsi_write_10(std::uint32_t block, std::uint16_t blocks) {
    return transfer_10(0x2a, block, blocks);
}

Result<ScsiRequests> ScsiRequests::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    SIDECORE_TRY_ASSIGN(auto slots, RequestSlots::create(memory, queue, options));
    return ScsiRequests(std::move(slots));
}

void ScsiRequests::set_sizes(std::uint32_t sense_size, std::uint32_t cdb_size) noexcept {
    sense_size_ = sense_size;
    cdb_size_ = cdb_size;
}

Result<std::uint64_t> ScsiRequests::submit(const ScsiRequest& request) {
    if (request.cdb.size() > cdb_size_) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a CDB of {} bytes, there is room for {}", request.cdb.size(), cdb_size_));
    }
    const ScsiHeader header{.lun = request.lun,
                            .id = std::bit_cast<std::array<std::uint8_t, 8>>(LittleEndian<std::uint64_t>(request.id)),
                            .task_attribute = request.task_attribute,
                            .priority = request.priority,
                            .command_reference = request.command_reference};
    std::vector<std::byte> readable(sizeof header + cdb_size_);
    std::memcpy(readable.data(), &header, sizeof header);
    std::ranges::copy(request.cdb, readable.begin() + sizeof header);

    RequestLayout layout = request.layout;
    const auto answer_bytes = static_cast<std::uint32_t>(sizeof(ScsiAnswer) + sense_size_);
    if (layout.readable.empty()) {
        layout.readable = {static_cast<std::uint32_t>(readable.size())};
    }
    if (layout.writable.empty()) {
        layout.writable = {answer_bytes};
    }
    SIDECORE_TRY_ASSIGN(const auto submitted, slots_.submit({.header = readable,
                                                             .data = request.out,
                                                             .writable_bytes = answer_bytes + request.in.size(),
                                                             .preset_at = offsetof(ScsiAnswer, response)},
                                                            layout));
    in_[submitted.slot] = request.in;
    return submitted.ticket;
}

std::vector<ScsiFinished> ScsiRequests::read(const std::vector<RequestSlots::Finished>& all) {
    std::vector<ScsiFinished> finished;
    for (const RequestSlots::Finished& one : all) {
        const std::span written(one.written);
        const std::span<std::byte> in = in_[one.slot];
        ScsiAnswer answer;
        std::memcpy(&answer, written.data(), sizeof answer);
        const auto sense = written.subspan(sizeof answer, written.size() - sizeof answer - in.size());
        std::ranges::copy(written.last(in.size()), in.begin());
        finished.push_back({.ticket = one.ticket,
                            .response = static_cast<ScsiResponse>(answer.response),
                            .status = answer.status,
                            .status_qualifier = answer.status_qualifier,
                            .residual = answer.residual,
                            .sense_bytes = answer.sense_bytes,
                            .sense = {sense.begin(), sense.end()},
                            .used_length = one.used_length});
    }
    return finished;
}

Result<std::vector<ScsiFinished>> ScsiRequests::take() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.take());
    return read(all);
}

Result<std::vector<ScsiFinished>> ScsiRequests::collect() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.collect());
    return read(all);
}

Result<ScsiFinished> ScsiRequests::run(const ScsiRequest& request) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t ticket, submit(request));
    queue().publish();
    SIDECORE_TRY_ASSIGN(const auto finished, collect());
    if (finished.front().ticket != ticket || finished.size() != 1) {
        return failure(ErrorKind::invalid_argument, "run() with other requests in flight");
    }
    return finished.front();
}

}  // namespace sidecore::frontend
