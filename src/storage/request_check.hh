// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstdint>

#include "storage/block_backend.hh"

namespace sidecore::storage {

/// What BlockRequest promises to refuse, the same in every storage back-end: 0, or the negative errno.
inline int check_request(const BlockRequest& request, std::uint64_t capacity_bytes, std::uint32_t logical_block_bytes,
                         bool read_only) noexcept {
    if (request.operation == BlockOperation::flush) {
        return 0;
    }
    if (read_only && request.operation != BlockOperation::read) {
        return -EROFS;
    }
    if (((request.offset_bytes | request.length_bytes) & (logical_block_bytes - 1U)) != 0) {
        return -EINVAL;
    }
    if (request.offset_bytes > capacity_bytes || request.length_bytes > capacity_bytes - request.offset_bytes) {
        return -EIO;
    }
    return 0;
}

}  // namespace sidecore::storage
