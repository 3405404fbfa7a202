// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/network_backend.hh"
#include "network/xdp_socket.hh"

namespace sidecore::network {

/// The kinds that a back-end is made of by itself.
enum class NetworkKind : std::uint8_t { null, loopback, tap, stream, af_xdp };

std::string_view to_string(NetworkKind kind) noexcept;
Result<NetworkKind> parse_network_kind(std::string_view name);

/// A device's network as a configuration or a command line says it. What was not said is absent, so that what makes no sense for a kind
/// can be refused instead of ignored.
struct NetworkSpec {
    NetworkKind kind = NetworkKind::tap;
    std::string name;            ///< af_xdp: of the interface, needed; tap: the same, or empty: the kernel chooses
    std::vector<int> fds;        ///< tap: instead of a name; one for each pair
    std::string path;            ///< stream: needed
    std::optional<bool> listen;  ///< stream; default false
    std::optional<std::uint16_t> pairs;  ///< loopback, af_xdp, and tap without `fds`; default 1
    std::optional<std::uint32_t> mtu;    ///< tap without `fds`, in bytes
    std::optional<bool> up;              ///< tap without `fds`; default: if it is created
    std::optional<std::uint16_t> queue;  ///< af_xdp: the first pair's; default 0
    std::optional<XdpMode> mode;         ///< af_xdp; default automatic
};

/// Errors say which setting does not fit, by the names above.
Result<std::unique_ptr<NetworkBackend>> open_network(const NetworkSpec& spec);

}  // namespace sidecore::network
