// SPDX-License-Identifier: Apache-2.0
#include "network/checksum.hh"

#include <bit>
#include <cstring>

namespace sidecore::network {

namespace {

std::uint16_t fold(std::uint64_t sum) noexcept {
    sum = (sum & 0xffffffffU) + (sum >> 32U);
    sum = (sum & 0xffffffffU) + (sum >> 32U);
    sum = (sum & 0xffffU) + (sum >> 16U);
    sum = (sum & 0xffffU) + (sum >> 16U);
    return static_cast<std::uint16_t>(sum);
}

std::uint16_t swapped(std::uint16_t value) noexcept {
    return static_cast<std::uint16_t>(value << 8U | value >> 8U);
}

template <typename Word>
Word load(const std::byte* from) noexcept {
    Word word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

/// Two sums, so that an addition need not wait for the one before it; a carry counts at the bottom.
struct Sums {
    std::uint64_t first = 0;
    std::uint64_t second = 0;

    static void add(std::uint64_t& sum, std::uint64_t word) noexcept {
        sum += word;
        sum += sum < word ? 1U : 0U;
    }
};

/// The sum of words as this machine loads them, the last one filled up with a zero. The order of bytes does not matter to a ones'
/// complement sum but for its own (RFC 1071, 2).
std::uint16_t sum_of(const std::byte* from, std::size_t bytes) noexcept {
    Sums sums;
    for (; bytes >= 32; from += 32, bytes -= 32) {
        Sums::add(sums.first, load<std::uint64_t>(from));
        Sums::add(sums.second, load<std::uint64_t>(from + 8));
        Sums::add(sums.first, load<std::uint64_t>(from + 16));
        Sums::add(sums.second, load<std::uint64_t>(from + 24));
    }
    for (; bytes >= 8; from += 8, bytes -= 8) {
        Sums::add(sums.first, load<std::uint64_t>(from));
    }
    std::uint64_t last = 0;
    std::memcpy(&last, from, bytes);
    Sums::add(sums.second, last);
    Sums::add(sums.first, sums.second);
    return fold(sums.first);
}

}  // namespace

void InternetChecksum::add(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) {
        return;
    }
    std::uint16_t part = sum_of(bytes.data(), bytes.size());
    // What begins in the middle of a word has its bytes the other way round.
    if ((std::endian::native == std::endian::little) != odd_) {
        part = swapped(part);
    }
    add_sum(part);
    odd_ = odd_ != (bytes.size() % 2 != 0);
}

std::uint16_t InternetChecksum::sum() const noexcept {
    return fold(sum_);
}

}  // namespace sidecore::network
