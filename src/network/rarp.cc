// SPDX-License-Identifier: Apache-2.0
#include "network/rarp.hh"

#include <cstring>

namespace sidecore::network {

std::array<std::byte, rarp_bytes> make_rarp(std::span<const std::uint8_t, 6> mac) noexcept {
    // RFC 903 has ARP's format (RFC 826): hardware Ethernet, protocol IPv4, their addresses' lengths, operation 3.
    static constexpr std::array<std::uint8_t, 8> fixed{0, 1, 8, 0, 6, 4, 0, 3};
    constexpr std::size_t source_at = 6;
    constexpr std::size_t type_at = 12;
    constexpr std::size_t fixed_at = 14;
    constexpr std::size_t sender_at = 22;
    constexpr std::size_t target_at = 32;
    std::array<std::byte, rarp_bytes> frame{};
    std::memset(frame.data(), 0xff, mac.size());
    std::memcpy(frame.data() + source_at, mac.data(), mac.size());
    frame[type_at] = std::byte{0x80};
    frame[type_at + 1] = std::byte{0x35};
    std::memcpy(frame.data() + fixed_at, fixed.data(), fixed.size());
    std::memcpy(frame.data() + sender_at, mac.data(), mac.size());
    std::memcpy(frame.data() + target_at, mac.data(), mac.size());
    return frame;
}

}  // namespace sidecore::network
