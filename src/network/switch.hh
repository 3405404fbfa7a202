// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hh"
#include "network/mac_table.hh"
#include "network/network_backend.hh"
#include "network/switch_core.hh"
#include "network/switch_port.hh"
#include "network/uplink_pump.hh"

namespace sidecore::network {

struct SwitchOptions {
    MacTableOptions table;
    SwitchCore::Clock now_s{};  ///< for tests; empty: the system's monotonic clock
};

/// A learning switch in the daemon: what one guest sends is copied straight to another one, or to an uplink's back-end.
///
/// Frames are forwarded by whoever sends them, on his thread, inside of send(). Each receiver has an inbox, and what finds that full is lost; a
/// receiver on the sender's own thread that has set a sink gets its frames without a stop in the inbox. Stations are learned per VLAN.
/// Tags are never added nor taken off: a port with a VLAN sends frames without a tag, or with that VLAN's, and all its VLAN's frames come to it as
/// they are.
///
/// Thread: any. What it makes goes by itself: ports and pumps may outlive the switch, and go on together.
class Switch {
public:
    struct Port {
        std::string name;
        std::string uplink;  ///< description of its back-end; empty if it is a guest's
        std::uint16_t vlan = 0;
        bool isolated = false;
        PortTraffic traffic;
    };

    struct Row {
        std::array<std::uint8_t, 6> mac;
        std::uint16_t vlan;
        std::string port;
        std::uint32_t age_s;  ///< since it was last seen
    };

    static Result<std::unique_ptr<Switch>> create(SwitchOptions options = {});

    /// A port for a guest, which is there until the back-end goes; whose destruction waits for nobody.
    Result<std::unique_ptr<NetworkBackend>> add_port(PortOptions options);

    /// The way out: a port with `backend`, of which pair 0 is used. It stays as long as the switch or anything made by it. One at most.
    Result<void> add_uplink(std::unique_ptr<NetworkBackend> backend, PortOptions options = {.name = "uplink"});

    /// Who takes in what comes from the uplink; one at a time. An error without an uplink.
    Result<std::unique_ptr<UplinkPump>> open_uplink_pump();

    /// For people.
    std::vector<Port> ports() const;
    std::vector<Row> table() const;  ///< by VLAN and address
    std::uint32_t stations_max() const noexcept { return core_->table().entries(); }

private:
    explicit Switch(std::shared_ptr<SwitchCore> core) : core_(std::move(core)) {}
    std::shared_ptr<UplinkPort> uplink() const;

    const std::shared_ptr<SwitchCore> core_;
    std::mutex uplink_mutex_;  // one add_uplink() at a time
};

}  // namespace sidecore::network
