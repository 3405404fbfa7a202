// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "engine/served_queue.hh"
#include "network/uplink_pump.hh"

namespace sidecore::daemon {

/// What comes in through a switch's uplink, as a queue that a worker serves beside those of guests: by the same decisions.
///
/// Thread: as engine::ServedQueue.
class UplinkQueue final : public engine::ServedQueue {
public:
    explicit UplinkQueue(std::unique_ptr<network::UplinkPump> pump) : pump_(std::move(pump)) {}

    /// Frames lost before they came to the switch, where that is known. Any thread.
    std::uint64_t dropped() const noexcept { return pump_->dropped(); }

    bool has_work() noexcept override { return pump_->has_packet(); }
    std::uint32_t pending() const noexcept override { return 0; }  // only the network could tell
    std::uint32_t capacity() const noexcept override { return 0; }
    engine::Turn serve(std::uint32_t budget) noexcept override;
    bool arm() noexcept override { return pump_->arm(); }
    void disarm() noexcept override { pump_->disarm(); }
    int kick_fd() const noexcept override { return -1; }
    int second_kick_fd() const noexcept override { return pump_->packet_fd(); }

    // Nothing is ever in flight, and guests are called by their own queues.
    engine::Reaped reap() noexcept override { return {}; }
    std::uint32_t in_flight() const noexcept override { return 0; }
    int completion_fd() const noexcept override { return -1; }
    void moderate(bool /*on*/) noexcept override {}
    std::uint32_t owed() const noexcept override { return 0; }
    std::uint32_t call() noexcept override { return 0; }

private:
    const std::unique_ptr<network::UplinkPump> pump_;
};

}  // namespace sidecore::daemon
