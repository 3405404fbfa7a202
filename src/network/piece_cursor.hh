// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <sys/uio.h>

namespace sidecore::network {

/// A place in memory that lies in pieces. It only goes forward.
///
/// Thread: one. The pieces outlive it; what is in them may be a guest's, which can change it at any time.
class PieceCursor {
public:
    PieceCursor() = default;
    explicit PieceCursor(std::span<const iovec> pieces) noexcept : pieces_(pieces) {}

    /// As much of the next `bytes` as lies in one piece, and goes behind it. Empty: at the end, or `bytes` is 0.
    std::span<const std::byte> next(std::size_t bytes) noexcept {
        while (!pieces_.empty() && offset_ == pieces_.front().iov_len) {
            pieces_ = pieces_.subspan(1);
            offset_ = 0;
        }
        if (pieces_.empty()) {
            return {};
        }
        const std::size_t length = std::min(bytes, pieces_.front().iov_len - offset_);
        const auto* from = static_cast<const std::byte*>(pieces_.front().iov_base) + offset_;
        offset_ += length;
        return {from, length};
    }

    /// Goes on by `bytes`, or to the end. How many it has gone.
    std::size_t skip(std::size_t bytes) noexcept {
        return each(bytes, [](std::span<const std::byte>) {});
    }

    /// Copies what is next until `to` is full. How many bytes that were: fewer at the end.
    std::size_t copy(std::span<std::byte> to) noexcept {
        return each(to.size(), [&](std::span<const std::byte> run) {
            std::memcpy(to.data(), run.data(), run.size());
            to = to.subspan(run.size());
        });
    }

    /// Hands the next `bytes` to `use` as they lie, piece by piece. How many there were.
    template <typename Use>
    std::size_t each(std::size_t bytes, Use use) noexcept {
        std::size_t left = bytes;
        while (left != 0) {
            const std::span<const std::byte> run = next(left);
            if (run.empty()) {
                break;
            }
            use(run);
            left -= run.size();
        }
        return bytes - left;
    }

private:
    std::span<const iovec> pieces_;
    std::size_t offset_ = 0;  // in the first of them
};

}  // namespace sidecore::network
