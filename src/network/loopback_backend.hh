// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>

#include "network/coverage.hh"
#include "network/inbox.hh"
#include "network/network_backend.hh"

namespace sidecore::network {

struct LoopbackOptions {
    std::uint16_t pairs = 1;  ///< 1 to LoopbackBackend::pairs_max
    std::size_t ring_bytes = std::size_t{1}
                             << 20U;  ///< of packets under way in each pair; as PacketRing::create() takes
};

/// What a pair sends comes back to its own receiver, in order, through memory, or straight to the guest where both are on one thread: to measure
/// everything else with.
///
/// A packet that was not covered by what is accepted would take work on its contents to hand out; it is dropped instead, and counted by its
/// sender, as is one on a pair that is not in use.
class LoopbackBackend final : public NetworkBackend {
public:
    static constexpr std::uint16_t pairs_max = 16;

    static Result<std::unique_ptr<LoopbackBackend>> create(const LoopbackOptions& options);

    std::string_view kind() const noexcept override { return "loopback"; }
    std::string description() const override;
    Offloads takes() const noexcept override { return {true, true, true, true, true, true}; }
    Offloads gives() const noexcept override { return {true, true, true, true, true, true}; }
    Result<void> accept(const Offloads& offloads) override;
    std::uint16_t max_pairs() const noexcept override { return pairs_; }
    Result<void> set_pairs(std::uint16_t pairs) override;
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) override;
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) override;

    /// Succeeds: nobody is there who could want to know.
    Result<void> announce(std::span<const std::uint8_t, 6>) override { return {}; }

    /// What its halves need to know of it. Any thread.
    struct State {
        Coverage accepted;
        std::atomic<std::uint16_t> pairs_in_use{1};
    };

private:
    explicit LoopbackBackend(std::uint16_t pairs) : pairs_(pairs) {}

    const std::uint16_t pairs_;
    State state_;
    std::array<Inbox, pairs_max> inboxes_;  // those beyond pairs_ have no ring
};

}  // namespace sidecore::network
