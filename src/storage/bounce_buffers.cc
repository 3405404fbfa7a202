// SPDX-License-Identifier: Apache-2.0
#include "storage/bounce_buffers.hh"

#include <cstdint>

#include "storage/file_operation.hh"

namespace sidecore::storage {

Result<BounceBuffers> BounceBuffers::create(std::size_t count) {
    BounceBuffers buffers;
    if (count == 0) {
        return buffers;
    }
    constexpr std::size_t each = FileOperation::bounce_bytes;
    buffers.memory_.reset(static_cast<std::byte*>(std::aligned_alloc(each, count * each)));
    if (buffers.memory_ == nullptr) {
        return failure_from_errno("getting memory for bounce buffers", ENOMEM);
    }
    buffers.free_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        buffers.free_.push_back(buffers.memory_.get() + i * each);
    }
    return buffers;
}

}  // namespace sidecore::storage
