// SPDX-License-Identifier: Apache-2.0
#include "device/net_control_queue.hh"

#include <utility>

#include "base/pieces.hh"

namespace sidecore::device {

namespace {

/// A case of QueueFault::Kind::bad_request.
constexpr std::uint64_t no_room_for_acknowledgement = 1;

constexpr std::size_t command_header_bytes = 2;  // class, command

}  // namespace

NetControlQueue::NetControlQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers,
                                 NetCommands& commands)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)),
      commands_(commands),
      command_(std::make_unique_for_overwrite<std::byte[]>(max_command_bytes)) {}

engine::Turn NetControlQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    while (turn.requests < budget && carry_out_one()) {
        ++turn.requests;
    }
    turn.completed = turn.requests;
    end_turn(turn, budget);
    return turn;
}

bool NetControlQueue::carry_out_one() noexcept {
    virtqueue::DescriptorChain chain;
    if (ring_.pop(segments_, chain) != virtqueue::PopResult::chain) {
        return false;
    }
    if (chain.writable.empty()) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, no_room_for_acknowledgement, 0});
        return false;
    }
    bool done = false;
    if (chain.readable_bytes >= command_header_bytes && chain.readable_bytes <= max_command_bytes) {
        const std::span<std::byte> command(command_.get(), chain.readable_bytes);
        take_front(chain.readable, command);
        done = commands_.carry_out(static_cast<net::ControlClass>(command[0]),
                                   std::to_integer<std::uint8_t>(command[1]), command.subspan(command_header_bytes));
    }
    const std::byte acknowledgement{
        static_cast<std::uint8_t>(done ? net::Acknowledgement::ok : net::Acknowledgement::error)};
    put_front(chain.writable, std::span(&acknowledgement, 1));
    ring_.push(chain.head, 1);
    return true;
}

}  // namespace sidecore::device
