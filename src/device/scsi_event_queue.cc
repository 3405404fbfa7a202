// SPDX-License-Identifier: Apache-2.0
#include "device/scsi_event_queue.hh"

#include <utility>

#include "base/pieces.hh"

namespace sidecore::device {

namespace {

/// A case of QueueFault::Kind::bad_request.
constexpr std::uint64_t no_room_for_event = 1;

}  // namespace

ScsiEventQueue::ScsiEventQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, ScsiEvents& events)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)), events_(events) {}

engine::Turn ScsiEventQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    while (turn.requests < budget && tell_one()) {
        ++turn.requests;
    }
    turn.completed = turn.requests;
    turn.bytes = turn.requests * sizeof(scsi_host::Event);
    end_turn(turn, budget);
    return turn;
}

bool ScsiEventQueue::tell_one() noexcept {
    if (!events_.any()) {
        return false;
    }
    virtqueue::DescriptorChain chain;
    if (ring_.pop(segments_, chain) != virtqueue::PopResult::chain) {
        return false;
    }
    if (chain.writable_bytes < sizeof(scsi_host::Event)) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, no_room_for_event, 0});
        return false;
    }
    const auto event = events_.take();
    if (!event) {  // cleared since any()
        ring_.unpop(1);
        return false;
    }
    put_front(chain.writable, std::as_bytes(std::span(&*event, 1)));
    ring_.push(chain.head, sizeof *event);
    return true;
}

}  // namespace sidecore::device
