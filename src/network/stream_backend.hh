// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "network/network_backend.hh"
#include "network/stream_link.hh"

namespace sidecore::network {

/// Whole frames over a UNIX socket, as with QEMU's "-netdev stream": to passt, to another QEMU, to a program of one's own. One pair,
/// and no offloads: the protocol has no room for what a packet asks for.
///
/// While nobody is at the other end, packets are dropped and counted, and nothing comes.
class StreamBackend final : public NetworkBackend {
public:
    /// Whether the peer is there already does not matter.
    static Result<std::unique_ptr<StreamBackend>> create(const StreamOptions& options);

    std::string_view kind() const noexcept override { return "stream"; }
    std::string description() const override;
    Offloads takes() const noexcept override { return {}; }
    Offloads gives() const noexcept override { return {}; }
    Result<void> accept(const Offloads& offloads) override;
    std::uint16_t max_pairs() const noexcept override { return 1; }
    Result<void> set_pairs(std::uint16_t pairs) override;
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) override;
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) override;
    Result<void> announce(std::span<const std::uint8_t, 6> mac) override;

private:
    StreamBackend(StreamOptions options, std::unique_ptr<StreamLink> link)
        : options_(std::move(options)), link_(std::move(link)) {}

    const StreamOptions options_;
    const std::unique_ptr<StreamLink> link_;
};

}  // namespace sidecore::network
