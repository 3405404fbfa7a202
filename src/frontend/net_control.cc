// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_control.hh"

#include <array>
#include <optional>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

constexpr std::size_t command_table_entries = 512;
constexpr std::uint64_t command_bytes = 80ULL << 10U;  // a MAC table may have thousands of entries

}  // namespace

Result<NetControl> NetControl::create(GuestMemoryFile& memory, DriverQueue& queue) {
    SIDECORE_TRY_ASSIGN(const GuestBuffer table,
                        memory.allocate(command_table_entries * sizeof(Descriptor), sizeof(Descriptor)));
    SIDECORE_TRY_ASSIGN(const GuestBuffer room, memory.allocate(command_bytes));
    return NetControl(queue, table, room);
}

Result<std::uint8_t> NetControl::run(const NetCommand& command, std::chrono::milliseconds timeout) {
    if (queue_->in_flight() != 0) {
        return failure(ErrorKind::invalid_argument, "an earlier command was never answered");
    }
    std::vector<std::byte> bytes{static_cast<std::byte>(command.command_class), std::byte{command.command}};
    bytes.insert(bytes.end(), command.data.begin(), command.data.end());
    SIDECORE_TRY_ASSIGN(auto lengths, lengths_of(bytes.size(), command.cuts));
    lengths.push_back(1);
    SIDECORE_TRY(buffers_.place(lengths, {}));
    const std::span<const GuestBuffer> pieces = buffers_.pieces();
    const auto readable = pieces.first(pieces.size() - 1);
    std::byte* const ack = pieces.back().host;
    scatter(bytes, readable);
    *ack = std::byte{net_ack_not_written};

    std::vector<Piece> chain;
    append_pieces(chain, readable, false);
    append_pieces(chain, pieces.last(1), true);
    if (command.indirect && chain.size() > command_table_entries) {
        return failure(ErrorKind::out_of_range, fmt::format("{} buffers do not fit a table", chain.size()));
    }
    const auto head = command.indirect ? queue_->format({}, chain, table_) : queue_->format(chain);
    if (!head) {
        return failure(ErrorKind::out_of_range, "too few free descriptors");
    }
    queue_->offer(*head);
    queue_->publish();
    std::array<Used, 1> used{};
    if (queue_->wait_for_used(timeout); queue_->reap(used) == 0) {
        return queue_->violation().empty() ? failure(ErrorKind::timed_out, "the command was not answered")
                                           : failure(ErrorKind::protocol_violation, queue_->violation());
    }
    queue_->release(used[0].head);
    SIDECORE_TRY(buffers_.check());
    // A legacy driver may not rely on it (5.1.6.1), but a device for which it is wrong is wrong for everybody else.
    if (used[0].length == 0) {
        return failure(ErrorKind::protocol_violation, "the used length says that there is no acknowledgement");
    }
    return std::to_integer<std::uint8_t>(*ack);
}

}  // namespace sidecore::frontend
