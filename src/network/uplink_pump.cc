// SPDX-License-Identifier: Apache-2.0
#include "network/uplink_pump.hh"

#include <algorithm>
#include <span>

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
      rooms_(std::make_unique_for_overwrite<std::byte[]>(batch_frames * max_packet_bytes)),
      forwarder_(std::move(core), std::move(port), 0) {
    for (std::size_t i = 0; i < batch_frames; ++i) {
        pieces_[i].iov_base = rooms_.get() + i * max_packet_bytes;
        packets_[i].data = {&pieces_[i], 1};
    }
}

UplinkPump::Pumped UplinkPump::run(std::size_t budget) noexcept {
    Pumped pumped;
    while (pumped.frames < budget) {
        const std::size_t wanted = std::min(budget - pumped.frames, batch_frames);
        const std::size_t taken = take(wanted, pumped.bytes);
        forwarder_.forward(std::span(packets_).first(taken));
        pumped.frames += taken;
        if (taken < wanted) {
            break;
        }
    }
    return pumped;
}

std::size_t UplinkPump::take(std::size_t wanted, std::uint64_t& bytes) noexcept {
    for (std::size_t i = 0; i < wanted; ++i) {
        const iovec room{pieces_[i].iov_base, max_packet_bytes};
        packets_[i].bytes = receiver_->receive(packets_[i].info, {&room, 1});
        if (packets_[i].bytes == 0) {
            return i;
        }
        pieces_[i].iov_len = packets_[i].bytes;
        bytes += packets_[i].bytes;
    }
    return wanted;
}

}  // namespace sidecore::network
