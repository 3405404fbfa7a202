// SPDX-License-Identifier: Apache-2.0
#include "network/switch_backend.hh"

#include "base/format.hh"
#include "network/forwarder.hh"
#include "network/pair_check.hh"
#include "network/rarp.hh"

namespace sidecore::network {

namespace {

class SwitchSender final : public PacketSender {
public:
    SwitchSender(std::shared_ptr<SwitchCore> core, std::shared_ptr<GuestPort> port, std::uint16_t pair)
        : forwarder_(std::move(core), std::move(port), pair) {}

    std::size_t send(std::span<const Packet> packets) noexcept override {
        forwarder_.forward(packets);
        return packets.size();
    }
    std::uint64_t dropped() const noexcept override { return forwarder_.dropped(); }

private:
    Forwarder forwarder_;
};

class SwitchReceiver final : public PacketReceiver {
public:
    SwitchReceiver(std::shared_ptr<GuestPort> port, std::uint16_t pair)
        : port_(std::move(port)), inbox_(port_->inbox(pair)), ring_(*inbox_.ring) {
        inbox_.open.store(true, std::memory_order_release);
    }
    ~SwitchReceiver() override {
        inbox_.open.store(false, std::memory_order_relaxed);
        inbox_.set_sink(nullptr);
    }
    SwitchReceiver(const SwitchReceiver&) = delete;
    SwitchReceiver& operator=(const SwitchReceiver&) = delete;

    bool has_packet() noexcept override { return !ring_.empty(); }
    std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept override {
        for (;;) {  // ends with the ring: each round takes a frame out
            const std::uint32_t bytes = ring_.pop(info, room);
            if (bytes == 0 || port_->coverage().covers(info)) {
                return bytes;
            }
            port_->counters().drop(PortDrop::not_accepted);
            inbox_.lost.fetch_add(1, std::memory_order_relaxed);
        }
    }
    int packet_fd() const noexcept override { return ring_.fd(); }
    bool arm() noexcept override { return ring_.arm(); }
    void disarm() noexcept override { ring_.disarm(); }
    void set_sink(PacketSink* sink) noexcept override { inbox_.set_sink(sink); }
    std::uint64_t dropped() const noexcept override { return inbox_.lost.load(std::memory_order_relaxed); }

private:
    const std::shared_ptr<GuestPort> port_;
    Inbox& inbox_;
    PacketRing& ring_;
};

}  // namespace

std::string SwitchBackend::description() const {
    const PortOptions& options = port_->options();
    return fmt::format("switch port \"{}\", {} pair{}{}{}", options.name, options.pairs, options.pairs == 1 ? "" : "s",
                       options.vlan == 0 ? "" : fmt::format(", VLAN {}", options.vlan),
                       options.isolated ? ", isolated" : "");
}

Result<void> SwitchBackend::accept(const Offloads& offloads) {
    if (!consistent(offloads)) {
        return failure(ErrorKind::unsupported, "segmentation can only be accepted together with checksums");
    }
    port_->coverage().set(offloads);
    return {};
}

Result<void> SwitchBackend::set_pairs(std::uint16_t pairs) {
    SIDECORE_TRY(check_pairs(*this, pairs));
    port_->set_pairs(pairs);
    return {};
}

Result<std::unique_ptr<PacketSender>> SwitchBackend::open_sender(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<SwitchSender>(core_, port_, pair);
}

Result<std::unique_ptr<PacketReceiver>> SwitchBackend::open_receiver(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<SwitchReceiver>(port_, pair);
}

Result<void> SwitchBackend::announce(std::span<const std::uint8_t, 6> mac) {
    const auto frame = make_rarp(mac);
    const iovec piece{const_cast<std::byte*>(frame.data()), frame.size()};  // NOLINT(*-const-cast): iovec has no const
    const Packet packet{{}, {&piece, 1}, static_cast<std::uint32_t>(frame.size())};
    const auto forwarder = std::make_unique<Forwarder>(core_, port_, std::uint16_t{0});
    forwarder->forward({&packet, 1});
    return {};
}

}  // namespace sidecore::network
