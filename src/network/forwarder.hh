// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "network/header_chain.hh"
#include "network/segmentation.hh"
#include "network/switch_core.hh"
#include "network/switch_port.hh"

namespace sidecore::network {

/// The same for a flow and for its answers: of addresses and ports, as far as `head`, whose headers are `chain`, has them. At least of MAC
/// addresses.
std::uint32_t flow_hash(std::span<const std::byte> head, const HeaderChain& chain) noexcept;

/// What happens to the frames that come from one pair of one port: who sent them is learned, who they are for is looked up, and they are
/// handed to the ports where that is, as these can take them.
///
/// Thread: one at a time, the sender's. Takes no lock but when the set of ports has changed, or the table of MAC addresses has to, or a frame
/// is for an uplink.
///
/// Invariants:
///  1. The beginning of a frame is copied once. What is decided is decided by the copy, and the copy is what is handed on, so that a guest
///     that changes a frame meanwhile cannot have one address looked at and another one sent.
///  2. A sink that was used is flushed before forward() returns.
class Forwarder {
public:
    Forwarder(std::shared_ptr<SwitchCore> core, std::shared_ptr<SwitchPort> from, std::uint16_t pair);

    void forward(std::span<const Packet> packets) noexcept;

    /// Of those, frames dropped because of what they are.
    std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

private:
    static constexpr std::size_t head_bytes = 128;

    void forward_one(const Packet& packet) noexcept;
    bool take_head(const Packet& packet) noexcept;
    bool vlan_of_frame(std::uint16_t& vlan) const noexcept;
    void learn(std::uint16_t vlan) noexcept;
    void flood(std::uint16_t vlan) noexcept;
    void unicast(PortNumber number, std::uint16_t vlan) noexcept;
    void give(SwitchPort& port) noexcept;
    std::uint32_t flow() noexcept;
    void drop(PortDrop why) noexcept;

    std::span<const std::byte> head() const noexcept { return std::span(head_).first(head_length_); }
    std::span<const std::byte, 6> destination() const noexcept { return std::span(head_).first<6>(); }
    std::span<const std::byte, 6> source() const noexcept { return std::span(head_).subspan<6, 6>(); }

    const std::shared_ptr<SwitchCore> core_;
    const std::shared_ptr<SwitchPort> from_;
    const std::uint16_t pair_;
    std::atomic<std::uint64_t> dropped_{0};

    std::uint64_t generation_ = 0;
    std::shared_ptr<const PortSet> ports_;
    std::uint32_t now_s_ = 0;
    Unflushed unflushed_;

    // The frame in hand.
    Packet frame_;
    std::array<std::byte, head_bytes> head_{};
    std::size_t head_length_ = 0;
    HeaderChain chain_;
    std::uint32_t flow_ = 0;
    bool flow_known_ = false;
    bool faulty_ = false;  // it has been dropped for what it is
    std::array<iovec, Segmenter::pieces_max> pieces_{};
    std::unique_ptr<std::byte[]> flat_;  // a frame in more pieces than these is copied here
    Segmenter segmenter_;
};

}  // namespace sidecore::network
