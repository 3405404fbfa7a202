// SPDX-License-Identifier: Apache-2.0
#include "storage/argument_check.hh"

#include <array>
#include <string_view>

#include "base/format.hh"

namespace sidecore::storage {

namespace {

// Half of off_t's range: no sum of an offset and a length inside a disk comes near an overflow.
constexpr std::uint64_t capacity_bytes_max = std::uint64_t{1} << 62U;

}  // namespace

Result<void> check_depth(std::uint32_t depth) {
    if (depth == 0 || depth > queue_depth_max) {
        return failure(
            ErrorKind::out_of_range,
            fmt::format("a storage queue can have 1 to {} requests in flight, not {}", queue_depth_max, depth));
    }
    return {};
}

Result<void> check_capacity(std::uint64_t capacity_bytes, std::uint64_t logical_block_bytes) {
    if (capacity_bytes == 0) {
        return failure(ErrorKind::invalid_argument, "the size of a disk cannot be 0");
    }
    if (capacity_bytes % logical_block_bytes != 0) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("the size of this disk must be a multiple of {} bytes, which {} is not",
                                   logical_block_bytes, capacity_bytes));
    }
    if (capacity_bytes > capacity_bytes_max) {
        return failure(ErrorKind::out_of_range, fmt::format("{} bytes are too many for a disk; the largest has {}",
                                                            capacity_bytes, format_size(capacity_bytes_max)));
    }
    return {};
}

std::string format_size(std::uint64_t bytes) {
    static constexpr std::array<std::string_view, 6> units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::string_view unit = "bytes";
    for (const std::string_view larger : units) {
        if (bytes == 0 || bytes % 1024 != 0) {
            break;
        }
        bytes /= 1024;
        unit = larger;
    }
    return fmt::format("{} {}", bytes, unit);
}

}  // namespace sidecore::storage
