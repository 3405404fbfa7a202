// SPDX-License-Identifier: Apache-2.0
#include "control/net_spec.hh"

#include <charconv>
#include <net/if.h>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "control/device_spec.hh"

namespace sidecore::control {

namespace {

constexpr std::array<std::string_view, 6> network_kinds{"null", "loopback", "tap", "stream", "af_xdp", "switch"};
constexpr std::array<std::string_view, 3> xdp_modes{"auto", "copy", "zerocopy"};
constexpr std::uint64_t max_speed_mbit = 0x7fff'ffff;  // VIRTIO 1.3, 5.1.4: as far as drivers take it

/// Which keys of a network mean something for which kind.
struct NetworkKey {
    std::string_view key;
    NetworkKind kind;
    NetworkKind other_kind = kind;
};
constexpr std::array<NetworkKey, 6> network_keys{{
    {"interface", NetworkKind::tap, NetworkKind::af_xdp},
    {"path", NetworkKind::stream},
    {"listen", NetworkKind::stream},
    {"queue", NetworkKind::af_xdp},
    {"mode", NetworkKind::af_xdp},
    {"switch", NetworkKind::port},
}};
constexpr std::array<std::string_view, 2> port_keys{"vlan", "isolated"};

std::string read_interface(TableReader& reader) {
    std::string name = reader.text("interface").value_or("");
    const bool possible =
        name.size() < IFNAMSIZ && name != "." && name != ".." && name.find_first_of("/ \t\n:") == std::string::npos;
    if (!possible || (name.empty() && reader.find("interface") != nullptr)) {
        reader.report("interface",
                      fmt::format("interface has to be the name of a network interface: 1 to {} characters "
                                  "without '/', ':' or spaces",
                                  IFNAMSIZ - 1));
    }
    return name;
}

NetworkSpec read_network(const Value& table, bool uplink, Problems& problems) {
    TableReader reader(table, uplink ? "uplink" : "network", problems);
    NetworkSpec network;
    reader.require("kind");
    const auto kind = reader.choice("kind", std::span(network_kinds).first(network_kinds.size() - (uplink ? 1 : 0)));
    network.kind = static_cast<NetworkKind>(kind.value_or(0));
    network.interface = read_interface(reader);
    network.path = read_socket_path(reader, "path");
    network.listen = reader.boolean("listen").value_or(false);
    network.queue = static_cast<std::uint16_t>(reader.integer("queue", 0, NetSpec::max_queue).value_or(0));
    network.mode = static_cast<XdpMode>(reader.choice("mode", xdp_modes).value_or(0));
    network.switch_name = read_name(reader, "switch");
    network.vlan = static_cast<std::uint16_t>(reader.integer("vlan", 1, NetworkSpec::max_vlan).value_or(0));
    network.isolated = reader.boolean("isolated").value_or(false);
    if (kind) {
        const std::string where = fmt::format("for kind = \"{}\"", to_string(network.kind));
        for (const NetworkKey& key : network_keys) {
            if (key.kind != network.kind && key.other_kind != network.kind) {
                reader.refuse(key.key, where);
            }
        }
        if (network.kind == NetworkKind::stream) {
            reader.require("path");
        } else if (network.kind == NetworkKind::af_xdp) {
            reader.require("interface");
        } else if (network.kind == NetworkKind::port) {
            reader.require("switch");
        }
        for (const std::string_view key : port_keys) {
            if (!uplink && network.kind != NetworkKind::port) {
                reader.refuse(key, where);
            }
        }
    }
    reader.finish();
    return network;
}

}  // namespace

std::string_view to_string(NetworkKind kind) noexcept {
    return network_kinds[static_cast<std::size_t>(kind)];
}

std::string_view to_string(XdpMode mode) noexcept {
    return xdp_modes[static_cast<std::size_t>(mode)];
}

std::optional<std::array<std::uint8_t, 6>> parse_mac(std::string_view text) {
    constexpr std::size_t text_bytes = 17;  // 52:54:00:12:34:56
    if (text.size() != text_bytes) {
        return std::nullopt;
    }
    std::array<std::uint8_t, 6> mac{};
    for (std::size_t i = 0; i < mac.size(); ++i) {
        const char* const digits = text.data() + 3 * i;
        const auto [rest, error] = std::from_chars(digits, digits + 2, mac[i], 16);
        if (error != std::errc{} || rest != digits + 2 || (i != 0 && digits[-1] != ':')) {
            return std::nullopt;
        }
    }
    const bool unicast = (mac[0] & 1U) == 0;
    return unicast && mac != std::array<std::uint8_t, 6>{} ? std::optional(mac) : std::nullopt;
}

std::string format_mac(std::span<const std::uint8_t, 6> mac) {
    return fmt::format("{:02x}", fmt::join(mac, ":"));
}

NetworkSpec read_network_spec(const Value& table, Problems& problems) {
    return read_network(table, false, problems);
}

NetworkSpec read_uplink_spec(const Value& table, Problems& problems) {
    return read_network(table, true, problems);
}

NetSpec read_net_spec(TableReader& device, Problems& problems) {
    NetSpec spec;
    spec.pairs = static_cast<std::uint16_t>(device.integer("pairs", 1, NetSpec::max_pairs).value_or(1));
    spec.mac = device.text("mac").value_or("");
    if (device.find("mac") != nullptr && !parse_mac(spec.mac)) {
        device.report("mac", "mac has to be a unicast address like \"52:54:00:12:34:56\"");
    }
    spec.mtu = static_cast<std::uint16_t>(device.integer("mtu", NetSpec::min_mtu, NetSpec::max_mtu).value_or(0));
    spec.speed_mbit = static_cast<std::uint32_t>(device.integer("speed", 1, max_speed_mbit).value_or(0));
    spec.offloads = device.boolean("offloads").value_or(true);
    device.require("network");
    if (const Value* network = device.table("network")) {
        spec.network = read_network_spec(*network, problems);
    }
    if (const Value* limits = device.table("limits")) {
        spec.limits = read_net_limits(*limits, problems);
    }
    return spec;
}

Json to_json(const NetworkSpec& spec) {
    Json network = {{"kind", to_string(spec.kind)}};
    if (!spec.interface.empty()) {
        network["interface"] = spec.interface;
    }
    if (!spec.path.empty()) {
        network["path"] = spec.path;
    }
    if (spec.listen) {
        network["listen"] = true;
    }
    if (spec.queue != 0) {
        network["queue"] = spec.queue;
    }
    if (spec.mode != XdpMode::automatic) {
        network["mode"] = to_string(spec.mode);
    }
    if (!spec.switch_name.empty()) {
        network["switch"] = spec.switch_name;
    }
    if (spec.vlan != 0) {
        network["vlan"] = spec.vlan;
    }
    if (spec.isolated) {
        network["isolated"] = true;
    }
    return network;
}

void add_to_json(Json& device, const NetSpec& spec) {
    if (spec.pairs != 1) {
        device["pairs"] = spec.pairs;
    }
    if (!spec.mac.empty()) {
        device["mac"] = spec.mac;
    }
    if (spec.mtu != 0) {
        device["mtu"] = spec.mtu;
    }
    if (spec.speed_mbit != 0) {
        device["speed"] = spec.speed_mbit;
    }
    if (!spec.offloads) {
        device["offloads"] = false;
    }
    device["network"] = to_json(spec.network);
    if (spec.limits.any()) {
        device["limits"] = to_json(spec.limits);
    }
}

}  // namespace sidecore::control
