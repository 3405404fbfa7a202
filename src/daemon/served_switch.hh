// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hh"
#include "control/settings.hh"
#include "control/switch_info.hh"
#include "control/switch_spec.hh"
#include "daemon/served_device.hh"
#include "daemon/uplink_queue.hh"
#include "engine/statistics.hh"
#include "engine/worker.hh"
#include "network/switch.hh"

namespace sidecore::daemon {

/// One switch as its SwitchSpec describes it, at work: its stations, its ports, and with an uplink the queue that takes in what comes from
/// there.
///
/// Thread: one call at a time, from any thread but the workers'.
class ServedSwitch {
public:
    /// Opens the uplink, whose queue runs on `worker`; this outlives the switch. `above` are the daemon's settings. Errors: those of the
    /// uplink's network.
    static Result<std::unique_ptr<ServedSwitch>> create(const control::SwitchSpec& spec, engine::Worker& worker,
                                                        const control::Settings& above);

    ServedSwitch(const ServedSwitch&) = delete;
    ServedSwitch& operator=(const ServedSwitch&) = delete;
    /// Ports that devices still have go on by themselves.
    ~ServedSwitch();

    const std::string& name() const noexcept { return spec_.name; }

    /// As ServedDevice::id().
    std::uint64_t id() const noexcept { return id_; }
    network::Switch& network() noexcept { return *switch_; }

    control::SwitchInfo info() const;
    std::vector<control::StationInfo> stations() const;

    /// Names of the devices that have a port.
    std::vector<std::string> guests() const;

    /// The uplink's worker; null if there is no uplink, or one from which nothing ever comes.
    engine::Worker* worker() const noexcept { return worker_; }

    /// What belongs to the uplink's queue, and has no effect without.
    void set_settings_above(const control::Settings& above);
    Result<void> move(engine::Worker& to);
    QueueWork work_since_last();

    /// Whether automatic placement may move the uplink's queue: not if the operator has said where it belongs.
    bool may_be_moved() const noexcept { return movable_; }
    void keep() noexcept { movable_ = false; }

private:
    ServedSwitch(control::SwitchSpec spec, std::unique_ptr<network::Switch> made, control::Settings above);
    Result<void> attach(engine::Worker& worker);

    const control::SwitchSpec spec_;
    const std::uint64_t id_;
    const std::unique_ptr<network::Switch> switch_;
    control::Settings above_;
    bool movable_;
    QueueWork counted_;  // so far

    engine::QueueStatistics statistics_;
    std::unique_ptr<UplinkQueue> queue_;  // null without an uplink
    engine::Worker* worker_ = nullptr;    // that queue_ is attached to
};

}  // namespace sidecore::daemon
