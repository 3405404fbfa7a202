// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "network/frames.hh"
#include "network/packet_tools.hh"
#include "network/switch.hh"

namespace sidecore::network::test {

inline constexpr Offloads all_offloads{true, true, true, true, true, true};

/// A frame of no protocol in particular.
Bytes plain_frame(const Mac& to, const Mac& from, std::size_t bytes = 64);

/// The same with a VLAN's tag.
Bytes tagged_frame(const Mac& to, const Mac& from, std::uint16_t vlan);

/// A port, its pairs opened, and who is behind it.
class Guest {
public:
    Guest(Switch& learning_switch, PortOptions options);

    void send(const Bytes& contents, const PacketInfo& info = {}, std::uint16_t pair = 0, std::size_t pieces = 3);

    /// The next frame of a pair; empty if there is none.
    Bytes receive(std::uint16_t pair = 0);
    const PacketInfo& info() const { return info_; }

    NetworkBackend& backend() { return *backend_; }
    PacketSender& sender(std::uint16_t pair = 0) { return *senders_.at(pair); }
    PacketReceiver& receiver(std::uint16_t pair = 0) { return *receivers_.at(pair); }
    void close_receiver(std::uint16_t pair = 0) { receivers_.at(pair).reset(); }
    void open_receiver(std::uint16_t pair = 0) { receivers_.at(pair) = must(backend_->open_receiver(pair)); }

private:
    std::unique_ptr<NetworkBackend> backend_;
    std::vector<std::unique_ptr<PacketSender>> senders_;
    std::vector<std::unique_ptr<PacketReceiver>> receivers_;
    Room room_;
    PacketInfo info_;
};

PortTraffic traffic_of(const Switch& learning_switch, const std::string& port);
std::uint64_t drops_of(const Switch& learning_switch, const std::string& port, PortDrop why);

}  // namespace sidecore::network::test
