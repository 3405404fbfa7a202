// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/host_interface.hh"
#include "network/network_backend.hh"
#include "network/xdp_program.hh"
#include "network/xdp_retry.hh"
#include "network/xdp_socket.hh"

namespace sidecore::network {

std::string_view to_string(XdpMode mode) noexcept;
Result<XdpMode> parse_xdp_mode(std::string_view name);

struct AfXdpOptions {
    std::string interface {};  ///< that there is; it is not brought up
    std::uint16_t queue = 0;   ///< of the interface, the first pair's
    std::uint16_t pairs = 1;   ///< 1 to AfXdpBackend::pairs_max: as many of the interface's queues from `queue` on
    XdpMode mode = XdpMode::automatic;
    std::uint32_t frames = 2048;  ///< of each pair for each way: what can wait there. A power of two, 4 to 32768
};

/// Queues of an interface of the host, most of all of a network card, past the host's network stack: what comes on them goes to the guest
/// only, and what the guest sends goes out at once. The interface's other queues stay the host's. While the back-end exists the interface is
/// promiscuous and has an XDP program.
///
/// No offloads. Packets longer than a frame without its headroom are dropped both ways: 1792 bytes if the interface's MTU fits into that
/// when the back-end is made, else 3840. Shorter ones than Ethernet has are filled up to 60 bytes. What is sent while the interface is down, or
/// gone, is dropped.
///
/// Which queue a packet comes on is for the card to say. Those of pairs that are not in use are taken by receivers of pairs that are, so none is
/// lost, whatever their number.
class AfXdpBackend final : public NetworkBackend {
public:
    static constexpr std::uint16_t pairs_max = 16;

    /// Errors say what can be done: see HostInterface, XdpProgram and XdpSocket.
    static Result<std::unique_ptr<AfXdpBackend>> create(const AfXdpOptions& options);

    std::string_view kind() const noexcept override { return "af_xdp"; }
    std::string description() const override;
    Offloads takes() const noexcept override { return {}; }
    Offloads gives() const noexcept override { return {}; }
    Result<void> accept(const Offloads& offloads) override;
    std::uint16_t max_pairs() const noexcept override { return static_cast<std::uint16_t>(sockets_.size()); }
    Result<void> set_pairs(std::uint16_t pairs) override;
    Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) override;
    Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) override;
    Result<void> announce(std::span<const std::uint8_t, 6> mac) override;

    /// Of a packet.
    std::uint32_t longest() const noexcept { return sockets_.front()->transmitter().longest(); }

private:
    AfXdpBackend(HostInterface interface, Fd retry_wake, XdpProgram program, std::uint16_t first_queue)
        : interface_(std::move(interface)),
          retry_wake_(std::move(retry_wake)),
          first_queue_(first_queue),
          program_(std::move(program)) {}
    Result<void> add_socket(const XdpSocket::Options& options);
    Result<void> watch(std::uint16_t socket, std::uint16_t pair);

    const HostInterface interface_;
    const Fd retry_wake_;
    const std::uint16_t first_queue_;
    std::vector<std::unique_ptr<XdpSocket>> sockets_;  // one for each pair
    std::vector<Fd> packet_epolls_;                    // by pair: hold the sockets that its receiver takes from
    std::unique_ptr<XdpRetry> retry_;
    const XdpProgram program_;  // goes first
    std::atomic<std::uint16_t> pairs_in_use_{1};
};

}  // namespace sidecore::network
