// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <sys/uio.h>
#include <vector>

namespace sidecore::storage::test {

using Bytes = std::vector<std::byte>;
using Random = std::mt19937_64;

Bytes random_bytes(Random& random, std::size_t count);

/// How a request's memory is laid out.
enum class Layout : std::uint8_t {
    one_page_aligned,  ///< one segment, aligned to 4096
    sectors,           ///< segments of 512 bytes, aligned to 512
    one_odd,           ///< one segment at an odd address
    odd_pieces,        ///< segments of 1 to 3000 bytes at odd addresses
    single_bytes,      ///< segments of one byte, up to 8192 of them after a long one
    mixed,             ///< aligned ones and odd ones
};
inline constexpr Layout layouts[] = {Layout::one_page_aligned, Layout::sectors,      Layout::one_odd,
                                     Layout::odd_pieces,       Layout::single_bytes, Layout::mixed};

/// Memory for a request in a given layout, with guard bytes around every segment.
class SegmentedBuffer {
public:
    SegmentedBuffer(Layout layout, std::size_t bytes, Random& random);

    /// A fresh list, since storage back-ends may change theirs.
    std::span<iovec> segments() {
        working_ = segments_;
        return working_;
    }
    std::size_t segment_count() const noexcept { return segments_.size(); }

    void fill(std::span<const std::byte> bytes);
    Bytes gather() const;
    bool guards_intact() const;

private:
    Bytes arena_;
    std::vector<iovec> segments_;
    std::vector<iovec> working_;
};

}  // namespace sidecore::storage::test
