// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sidecore::sim {

/// Which places of a worker's list have something to do, so that the others can be passed over at once.
class ReadyBits {
public:
    /// Room for `places`, of which none is ready.
    void resize(std::size_t places) { words_.assign((places + 63) / 64, 0); }

    /// Room for `places`, those that are there as they are.
    void grow(std::size_t places) { words_.resize((places + 63) / 64, 0); }

    void set(std::size_t place, bool ready) noexcept {
        const std::uint64_t bit = std::uint64_t{1} << (place % 64);
        std::uint64_t& word = words_[place / 64];
        word = ready ? word | bit : word & ~bit;
    }

    /// The first place from `place` on that is ready, or `none`.
    std::size_t next(std::size_t place, std::size_t none) const noexcept {
        std::size_t index = place / 64;
        if (index >= words_.size()) {
            return none;
        }
        std::uint64_t word = words_[index] & (~std::uint64_t{0} << (place % 64));
        while (word == 0) {
            if (++index == words_.size()) {
                return none;
            }
            word = words_[index];
        }
        return index * 64 + static_cast<std::size_t>(std::countr_zero(word));
    }

private:
    std::vector<std::uint64_t> words_;
};

}  // namespace sidecore::sim
