// SPDX-License-Identifier: Apache-2.0
#include "network/switch_tools.hh"

#include <cstring>

namespace sidecore::network::test {

Bytes plain_frame(const Mac& to, const Mac& from, std::size_t bytes) {
    Random random(bytes);
    Bytes frame = make_packet(random, bytes);
    std::memcpy(frame.data(), to.data(), to.size());
    std::memcpy(frame.data() + to.size(), from.data(), from.size());
    return frame;
}

Bytes tagged_frame(const Mac& to, const Mac& from, std::uint16_t vlan) {
    Bytes frame = plain_frame(to, from);
    set_number(frame, 12, 2, 0x8100);
    set_number(frame, 14, 2, 0x6000U | vlan);
    set_number(frame, 16, 2, 0x88b5);
    return frame;
}

Guest::Guest(Switch& learning_switch, PortOptions options) {
    const std::uint16_t pairs = options.pairs;
    backend_ = must(learning_switch.add_port(std::move(options)));
    for (std::uint16_t pair = 0; pair < pairs; ++pair) {
        senders_.push_back(must(backend_->open_sender(pair)));
        receivers_.push_back(must(backend_->open_receiver(pair)));
    }
}

void Guest::send(const Bytes& contents, const PacketInfo& info, std::uint16_t pair, std::size_t pieces) {
    PacketBuffer buffer(contents, pieces, info);
    const Packet packet = buffer.packet();
    EXPECT_EQ(sender(pair).send({&packet, 1}), 1U);
    buffer.spoil();
}

Bytes Guest::receive(std::uint16_t pair) {
    return room_.first(receiver(pair).receive(info_, room_.pieces()));
}

PortTraffic traffic_of(const Switch& learning_switch, const std::string& port) {
    for (const Switch::Port& one : learning_switch.ports()) {
        if (one.name == port) {
            return one.traffic;
        }
    }
    ADD_FAILURE() << "no port " << port;
    return {};
}

std::uint64_t drops_of(const Switch& learning_switch, const std::string& port, PortDrop why) {
    return traffic_of(learning_switch, port).drops.at(static_cast<std::size_t>(why));
}

}  // namespace sidecore::network::test
