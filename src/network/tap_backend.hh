// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "network/coverage.hh"
#include "network/network_backend.hh"
#include "network/tap_device.hh"

namespace sidecore::network {

/// A tap interface of the host: what a guest sends, the host's network stack receives on it, and the other way round. Whoever sets up the
/// host puts it into a bridge or routes to it. The kernel does all offloads that are not accepted.
///
/// Its queues are filled by the kernel, which drops and counts what finds them full: dropped() of a receiver does not know of it.
/// Packets of a flow come to the queue that has last sent a packet of that flow.
class TapBackend final : public NetworkBackend {
public:
    static Result<std::unique_ptr<TapBackend>> create(const TapOptions& options);

    std::string_view kind() const noexcept override { return "tap"; }
    std::string description() const override;
    Offloads takes() const noexcept override { return device_.offloads(); }
    Offloads gives() const noexcept override { return device_.offloads(); }
    Result<void> accept(const Offloads& offloads) override;
    std::uint16_t max_pairs() const noexcept override { return device_.queues(); }
    Result<void> set_pairs(std::uint16_t pairs) override;
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) override;
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) override;
    Result<void> announce(std::span<const std::uint8_t, 6> mac) override;

    /// Of the interface, as the kernel has it.
    const std::string& name() const noexcept { return device_.name(); }

private:
    explicit TapBackend(TapDevice device) : device_(std::move(device)) {}

    TapDevice device_;
    Coverage accepted_;
};

}  // namespace sidecore::network
