// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "storage/block_backend.hh"

namespace sidecore::storage {

/// Finished requests that wait for reap(): a first-in first-out ring with room for a whole queue's depth, so that
/// push() never allocates. One thread at a time.
class CompletedRequests {
public:
    explicit CompletedRequests(std::uint32_t depth)
        : ring_(std::make_unique<BlockRequest*[]>(std::bit_ceil(depth))), mask_(std::bit_ceil(depth) - 1U) {}

    /// At most `depth` requests may be inside.
    void push(BlockRequest& request) noexcept {
        assert(size() <= mask_);
        ring_[end_++ & mask_] = &request;
    }

    std::size_t pop(std::span<BlockRequest*> out) noexcept {
        const std::size_t count = std::min<std::size_t>(out.size(), size());
        for (std::size_t i = 0; i < count; ++i) {
            out[i] = ring_[begin_++ & mask_];
        }
        return count;
    }

    std::uint32_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }

private:
    std::unique_ptr<BlockRequest*[]> ring_;
    std::uint32_t mask_;
    std::uint32_t begin_ = 0;  // both run freely and wrap
    std::uint32_t end_ = 0;
};

}  // namespace sidecore::storage
