// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "base/error.hh"
#include "engine/activity_bell.hh"
#include "engine/placement.hh"

namespace sidecore::daemon {

/// What automatic placement sees and does. The Manager implements it.
///
/// Thread: any.
class Placeable {
public:
    Placeable() = default;
    virtual ~Placeable() = default;
    Placeable(const Placeable&) = delete;
    Placeable& operator=(const Placeable&) = delete;

    /// The loads since the call before.
    virtual engine::PlacementView measure() = 0;
    virtual Result<void> carry_out(const engine::PlacementStep& step) = 0;
};

/// Looks at the loads, epoch after epoch, and does what engine::Placement decides, on a thread of its own. While all workers are idle
/// it sleeps until the bell rings, so that idle devices cost nothing.
///
/// Thread: one for the constructor and the destructor, which ends the thread.
class Placer {
public:
    static constexpr std::chrono::milliseconds default_epoch{100};

    /// `placed` outlives the placer; its workers ring `bell`.
    Placer(const engine::PlacementSettings& settings, Placeable& placed, std::shared_ptr<engine::ActivityBell> bell,
           std::chrono::milliseconds epoch = default_epoch);
    ~Placer();
    Placer(const Placer&) = delete;
    Placer& operator=(const Placer&) = delete;

private:
    void run();

    Placeable& placed_;
    const std::shared_ptr<engine::ActivityBell> bell_;
    const std::chrono::milliseconds epoch_;
    const std::uint32_t rest_after_;  // idle epochs
    engine::Placement placement_;
    std::thread thread_;
};

}  // namespace sidecore::daemon
