// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hh"

namespace sidecore::storage {

/// What the control handles of all storage back-ends check and print alike.

/// A queue's depth: 1 to queue_depth_max.
inline constexpr std::uint32_t queue_depth_max = 32768;
Result<void> check_depth(std::uint32_t depth);

/// A disk's size: not 0, a multiple of `logical_block_bytes`, and such that no end of a range overflows.
Result<void> check_capacity(std::uint64_t capacity_bytes, std::uint64_t logical_block_bytes);

/// "10 GiB", "1536 MiB", "1000 bytes": the largest unit that loses nothing.
std::string format_size(std::uint64_t bytes);

}  // namespace sidecore::storage
