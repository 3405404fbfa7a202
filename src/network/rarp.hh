// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sidecore::network {

/// Ethernet's shortest frame, which is as long as a RARP request is made.
inline constexpr std::size_t rarp_bytes = 60;

/// A reverse ARP request (RFC 903) to everybody by the host that has this MAC address: nobody answers, but every switch on its way
/// learns where that host is now.
std::array<std::byte, rarp_bytes> make_rarp(std::span<const std::uint8_t, 6> mac) noexcept;

}  // namespace sidecore::network
