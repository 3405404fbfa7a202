// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sidecore::network {

/// The Internet checksum (RFC 1071) of bytes that come in pieces of any length and alignment.
///
/// A guest may change bytes of its own while they are added: each is read once, and a wrong sum spoils that guest's packet only.
class InternetChecksum {
public:
    /// Adds bytes that follow those added so far, as words in network byte order.
    void add(std::span<const std::byte> bytes) noexcept;

    /// Adds a number of 16 bits as if its two bytes came next; after an even number of bytes only.
    void add_16(std::uint16_t value) noexcept { add_sum(value); }

    /// The ones' complement sum: what a pseudo header leaves in a field that is to be completed.
    std::uint16_t sum() const noexcept;

    /// Its complement: what a checksum field holds.
    std::uint16_t finished() const noexcept { return static_cast<std::uint16_t>(~sum()); }

    /// As finished(), for UDP, where 0 stands for no checksum; any other protocol takes this for the same.
    std::uint16_t finished_not_zero() const noexcept {
        const std::uint16_t checksum = finished();
        return checksum == 0 ? std::uint16_t{0xffff} : checksum;
    }

private:
    void add_sum(std::uint64_t value) noexcept {
        sum_ += value;
        sum_ += sum_ < value ? 1U : 0U;
    }

    std::uint64_t sum_ = 0;  // of words in host byte order, carries added at the bottom
    bool odd_ = false;       // the next byte is the second of its word
};

}  // namespace sidecore::network
