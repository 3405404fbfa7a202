// SPDX-License-Identifier: Apache-2.0
#include "daemon/uplink_queue.hh"

#include "base/clock.hh"

namespace sidecore::daemon {

engine::Turn UplinkQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    const std::uint64_t start = cycles();
    const network::UplinkPump::Pumped pumped = pump_->run(budget);
    turn.requests = static_cast<std::uint32_t>(pumped.frames);
    turn.completed = turn.requests;
    turn.bytes = pumped.bytes;
    turn.end = turn.requests == budget ? engine::TurnEnd::budget : engine::TurnEnd::empty;
    if (turn.requests != 0 && service_times_ != nullptr) {
        service_times_->record(cycles() - start, turn.requests);
    }
    return turn;
}

}  // namespace sidecore::daemon
