// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/error.hh"

namespace sidecore::storage {

/// A fixed set of buffers that direct I/O can use whatever the file's alignment, for requests whose own memory it
/// cannot: FileOperation::bounce_bytes each, and aligned to that. Memory is taken from the system as a buffer is first
/// used. One thread at a time.
class BounceBuffers {
public:
    static Result<BounceBuffers> create(std::size_t count);

    bool available() const noexcept { return !free_.empty(); }

    /// nullptr: all are taken.
    std::byte* take() noexcept {
        if (free_.empty()) {
            return nullptr;
        }
        std::byte* buffer = free_.back();
        free_.pop_back();
        return buffer;
    }

    void give_back(std::byte* buffer) noexcept { free_.push_back(buffer); }  // within the capacity it began with

private:
    struct Free {
        void operator()(std::byte* start) const noexcept { std::free(start); }
    };
    std::unique_ptr<std::byte, Free> memory_;
    std::vector<std::byte*> free_;
};

}  // namespace sidecore::storage
