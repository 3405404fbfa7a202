// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sidecore::bench {

/// What a driver has written to its blocks of a disk, so that what it reads can be told right from wrong: every word of a block says where it
/// belongs and which write it is from. One request at a time is on a block.
///
/// Thread: one.
class Verifier {
public:
    /// Blocks that nobody else writes to. `seed`: what tells this run's data from those of an earlier one.
    Verifier(std::uint64_t first_sector, std::uint32_t blocks, std::uint32_t block_bytes, std::uint64_t seed);

    /// The block `wanted`, or the next that no request is on. There must be one.
    std::uint32_t claim(std::uint32_t wanted) noexcept;

    std::uint64_t sector_of(std::uint32_t block) const noexcept {
        return first_sector_ + std::uint64_t{block} * sectors_;
    }

    /// What is to be written to a claimed block.
    void fill(std::uint32_t block, std::span<std::byte> data) noexcept;

    /// The write that fill() was for has ended; the block is free.
    void written(std::uint32_t block, bool well) noexcept;

    /// A read has brought this; the block is free. False: it is neither what was written last nor, if nothing was, anything at all.
    bool read(std::uint32_t block, std::span<const std::byte> data) noexcept;

    /// A read has failed; the block is free.
    void give_back(std::uint32_t block) noexcept { blocks_[block].busy = false; }

private:
    struct Block {
        std::uint32_t generation = 0;  ///< of the last write
        bool known = false;            ///< written, as far as is known
        bool busy = false;
    };

    std::uint64_t first_word(std::uint32_t block) const noexcept;

    std::uint64_t first_sector_;
    std::uint64_t sectors_;  // per block
    std::uint64_t seed_;
    std::vector<Block> blocks_;
};

}  // namespace sidecore::bench
