// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace sidecore::frontend::test {

/// A frame whose bytes are all in their places.
inline std::vector<std::byte> frame_of(std::size_t size, unsigned seed = 1) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>(i * 7 + i / 251 + seed);
    }
    return bytes;
}

}  // namespace sidecore::frontend::test
