// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace sidecore {

/// Pointers that wait for whoever takes them, first in, first out, with room for as many as there can be: push() never allocates.
/// One thread at a time.
template <typename T>
class BoundedFifo {
public:
    explicit BoundedFifo(std::uint32_t capacity)
        : ring_(std::make_unique<T*[]>(std::bit_ceil(capacity))), mask_(std::bit_ceil(capacity) - 1U) {}

    /// At most `capacity` may be inside.
    void push(T& item) noexcept {
        assert(size() <= mask_);
        ring_[end_++ & mask_] = &item;
    }

    std::size_t pop(std::span<T*> out) noexcept {
        const std::size_t count = std::min<std::size_t>(out.size(), size());
        for (std::size_t i = 0; i < count; ++i) {
            out[i] = ring_[begin_++ & mask_];
        }
        return count;
    }

    std::uint32_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }

private:
    std::unique_ptr<T*[]> ring_;
    std::uint32_t mask_;
    std::uint32_t begin_ = 0;  // both run freely and wrap
    std::uint32_t end_ = 0;
};

}  // namespace sidecore
