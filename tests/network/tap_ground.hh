// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/fd.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {

/// Whether this process may make a network namespace and a tap interface in it.
bool has_tap();

/// A network namespace for the calling thread, and those that it starts, until the end: nobody else sees its interfaces. Without IPv6,
/// which would talk.
class NetworkNamespace {
public:
    NetworkNamespace();
    ~NetworkNamespace();
    NetworkNamespace(const NetworkNamespace&) = delete;
    NetworkNamespace& operator=(const NetworkNamespace&) = delete;

private:
    Fd before_;
};

/// As "ip link delete".
void delete_interface(const std::string& name);

/// The host's side of an interface: a packet socket.
class PacketSocket {
public:
    /// With `headers` packets are put() with their info, and not taken.
    explicit PacketSocket(const std::string& interface, bool headers = false);
    void put(const Bytes& packet);
    void put(const Bytes& packet, const PacketInfo& info);
    Bytes take(int timeout_ms = 20'000);

private:
    Fd fd_;
};

}  // namespace sidecore::network::test
