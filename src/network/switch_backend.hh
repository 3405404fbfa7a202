// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "network/network_backend.hh"
#include "network/switch_core.hh"
#include "network/switch_port.hh"

namespace sidecore::network {

/// A port of a switch as the guest behind it has it. The port is there as long as this is. What a send() cannot get rid of is dropped where it
/// was to go: a sender never waits for a receiver.
class SwitchBackend final : public NetworkBackend {
public:
    SwitchBackend(std::shared_ptr<SwitchCore> core, std::shared_ptr<GuestPort> port)
        : core_(std::move(core)), port_(std::move(port)) {}
    ~SwitchBackend() override { core_->remove(*port_); }
    SwitchBackend(const SwitchBackend&) = delete;
    SwitchBackend& operator=(const SwitchBackend&) = delete;

    std::string_view kind() const noexcept override { return "switch"; }
    std::string description() const override;
    Offloads takes() const noexcept override { return {true, true, true, true, true, true}; }
    Offloads gives() const noexcept override { return {true, true, true, true, true, true}; }
    Result<void> accept(const Offloads& offloads) override;
    std::uint16_t max_pairs() const noexcept override { return port_->options().pairs; }
    Result<void> set_pairs(std::uint16_t pairs) override;
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) override;

    /// What comes while there is none is lost; what had come for the last one and was not taken is not.
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) override;
    Result<void> announce(std::span<const std::uint8_t, 6> mac) override;

private:
    const std::shared_ptr<SwitchCore> core_;
    const std::shared_ptr<GuestPort> port_;
};

}  // namespace sidecore::network
