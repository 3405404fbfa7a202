// SPDX-License-Identifier: Apache-2.0
#include "verifier.hh"

#include <cstring>

#include "frontend/blk_format.hh"

namespace sidecore::bench {

namespace {

constexpr std::uint64_t step = 0x9e3779b97f4a7c15;  // from word to word

/// All bits of the result depend on all of `value` (the finaliser of SplitMix64).
std::uint64_t mixed(std::uint64_t value) noexcept {
    value = (value ^ value >> 30U) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27U) * 0x94d049bb133111eb;
    return value ^ value >> 31U;
}

}  // namespace

Verifier::Verifier(std::uint64_t first_sector, std::uint32_t blocks, std::uint32_t block_bytes, std::uint64_t seed)
    : first_sector_(first_sector), sectors_(block_bytes / frontend::blk_sector_bytes), seed_(seed), blocks_(blocks) {}

std::uint64_t Verifier::first_word(std::uint32_t block) const noexcept {
    return mixed(mixed(mixed(seed_) ^ sector_of(block)) ^ blocks_[block].generation);
}

std::uint32_t Verifier::claim(std::uint32_t wanted) noexcept {
    while (blocks_[wanted].busy) {
        wanted = wanted + 1 == blocks_.size() ? 0 : wanted + 1;
    }
    blocks_[wanted].busy = true;
    return wanted;
}

void Verifier::fill(std::uint32_t block, std::span<std::byte> data) noexcept {
    ++blocks_[block].generation;
    std::uint64_t word = first_word(block);
    for (std::size_t at = 0; at + sizeof word <= data.size(); at += sizeof word, word += step) {
        std::memcpy(data.data() + at, &word, sizeof word);
    }
}

void Verifier::written(std::uint32_t block, bool well) noexcept {
    blocks_[block].known = well;  // half of a failed write may be there
    blocks_[block].busy = false;
}

bool Verifier::read(std::uint32_t block, std::span<const std::byte> data) noexcept {
    blocks_[block].busy = false;
    if (!blocks_[block].known) {
        return true;
    }
    std::uint64_t word = first_word(block);
    std::uint64_t differences = 0;
    for (std::size_t at = 0; at + sizeof word <= data.size(); at += sizeof word, word += step) {
        std::uint64_t found = 0;
        std::memcpy(&found, data.data() + at, sizeof found);
        differences |= found ^ word;
    }
    return differences == 0;
}

}  // namespace sidecore::bench
