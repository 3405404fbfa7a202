// SPDX-License-Identifier: Apache-2.0
#include "network/null_backend.hh"

namespace sidecore::network {

namespace {

class NullSender final : public PacketSender {
public:
    std::size_t send(std::span<const Packet> packets) noexcept override { return packets.size(); }
    std::uint64_t dropped() const noexcept override { return 0; }
};

class NullReceiver final : public PacketReceiver {
public:
    bool has_packet() noexcept override { return false; }
    std::uint32_t receive(PacketInfo&, std::span<const iovec>) noexcept override { return 0; }
    int packet_fd() const noexcept override { return -1; }
    bool arm() noexcept override { return true; }
    void disarm() noexcept override {}
    std::uint64_t dropped() const noexcept override { return 0; }
};

}  // namespace

Result<std::unique_ptr<PacketSender>> NullBackend::open_sender(std::uint16_t) {
    return std::make_unique<NullSender>();
}

Result<std::unique_ptr<PacketReceiver>> NullBackend::open_receiver(std::uint16_t) {
    return std::make_unique<NullReceiver>();
}

}  // namespace sidecore::network
