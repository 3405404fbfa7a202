// SPDX-License-Identifier: Apache-2.0
#include "network/uplink_pump.hh"

namespace sidecore::network {

Result<std::unique_ptr<UplinkPump>> UplinkPump::create(std::shared_ptr<SwitchCore> core,
                                                       std::shared_ptr<UplinkPort> port) {
    SIDECORE_TRY_ASSIGN(auto receiver, port->open_receiver());
    return std::unique_ptr<UplinkPump>(new UplinkPump(std::move(core), std::move(port), std::move(receiver)));
}

UplinkPump::UplinkPump(std::shared_ptr<SwitchCore> core, std::shared_ptr<UplinkPort> port,
                       std::unique_ptr<PacketReceiver> receiver)
    : port_(port),
      receiver_(std::move(receiver)),
      room_(std::make_unique<std::byte[]>(max_packet_bytes)),
      forwarder_(std::move(core), std::move(port), 0) {}

std::size_t UplinkPump::run(std::size_t budget) noexcept {
    const iovec room{room_.get(), max_packet_bytes};
    for (std::size_t done = 0; done < budget; ++done) {
        PacketInfo info;
        const std::uint32_t bytes = receiver_->receive(info, {&room, 1});
        if (bytes == 0) {
            return done;
        }
        const iovec piece{room_.get(), bytes};
        const Packet packet{info, {&piece, 1}, bytes};
        forwarder_.forward({&packet, 1});
    }
    return budget;
}

}  // namespace sidecore::network
