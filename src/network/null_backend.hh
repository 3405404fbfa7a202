// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "network/network_backend.hh"

namespace sidecore::network {

/// Takes every packet and forgets it; none ever comes.
class NullBackend final : public NetworkBackend {
public:
    static constexpr std::uint16_t pairs_possible = 16;

    std::string_view kind() const noexcept override { return "null"; }
    std::string description() const override { return "null"; }
    Offloads takes() const noexcept override { return {true, true, true, true, true, true}; }
    Offloads gives() const noexcept override { return {true, true, true, true, true, true}; }
    Result<void> accept(const Offloads&) override { return {}; }
    std::uint16_t max_pairs() const noexcept override { return pairs_possible; }
    Result<void> set_pairs(std::uint16_t) override { return {}; }
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) override;
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) override;
    Result<void> announce(std::span<const std::uint8_t, 6>) override { return {}; }
};

}  // namespace sidecore::network
