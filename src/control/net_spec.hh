// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "control/json.hh"
#include "control/net_limits.hh"
#include "control/value.hh"

namespace sidecore::control {

enum class NetworkKind : std::uint8_t {
    null,      ///< takes packets and forgets them
    loopback,  ///< what a queue pair sends comes back to it
    tap,       ///< an interface of the host
    stream,    ///< a UNIX socket that speaks the protocol of QEMU's -netdev stream, such as passt's
    af_xdp,    ///< queues of an interface that the host has, past its network stack
    port,      ///< "switch": a port of one of the daemon's switches
};

enum class XdpMode : std::uint8_t { automatic, copy, zero_copy };

/// What a network device stands on, and a switch's way out: the tables `network` and `uplink`.
struct NetworkSpec {
    static constexpr std::uint16_t max_vlan = 4094;

    NetworkKind kind = NetworkKind::null;
    std::string interface {};  ///< tap: name of the interface; empty: the kernel chooses. af_xdp: the same, needed
    std::string path{};        ///< stream: absolute
    bool listen = false;       ///< stream: the other end connects to us
    std::uint16_t queue = 0;   ///< af_xdp: first of the interface's queues, one for each pair
    XdpMode mode = XdpMode::automatic;  ///< af_xdp
    std::string switch_name{};          ///< port: "switch"
    std::uint16_t vlan = 0;             ///< port, or an uplink of any kind: 1 to max_vlan; 0: a trunk
    bool isolated = false;              ///< likewise: nothing goes to, or comes from, other isolated ports

    friend bool operator==(const NetworkSpec&, const NetworkSpec&) = default;
};

/// What only network devices have.
struct NetSpec {
    static constexpr std::uint16_t max_pairs = 16;
    static constexpr std::uint16_t max_queue = 4095;
    static constexpr std::uint16_t min_mtu = 68;
    static constexpr std::uint16_t max_mtu = 65521;

    std::uint16_t pairs = 1;       ///< queue pairs that the driver may use
    std::string mac;               ///< "52:54:00:12:34:56"; empty: the front-end or the driver has one
    std::uint16_t mtu = 0;         ///< told to the driver, and set on the interface; 0: neither
    std::uint32_t speed_mbit = 0;  ///< told to the driver; 0: not
    bool offloads = true;          ///< offer what the network can do: checksums, segmentation
    NetworkSpec network;
    NetLimits limits;  ///< at first

    friend bool operator==(const NetSpec&, const NetSpec&) = default;
};

std::string_view to_string(NetworkKind kind) noexcept;
std::string_view to_string(XdpMode mode) noexcept;

/// Six bytes, or nothing if `text` is no unicast MAC address.
std::optional<std::array<std::uint8_t, 6>> parse_mac(std::string_view text);
std::string format_mac(std::span<const std::uint8_t, 6> mac);

/// Reads a network device's table `network`, or a switch's `uplink`, which is no port of a switch itself.
NetworkSpec read_network_spec(const Value& table, Problems& problems);
NetworkSpec read_uplink_spec(const Value& table, Problems& problems);
Json to_json(const NetworkSpec& spec);

/// Reads the keys of a network device out of its [[device]] table; what is wrong goes to `problems`.
NetSpec read_net_spec(TableReader& device, Problems& problems);

/// The other way round, into the device's object; what has its default is left out.
void add_to_json(Json& device, const NetSpec& spec);

}  // namespace sidecore::control
