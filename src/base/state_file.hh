// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.hh"

namespace sidecore {

/// Small files that keep something over a restart.

inline constexpr std::size_t state_file_bytes_max = 16U << 20U;

/// The whole file. Error: not_found if there is none.
Result<std::string> read_state_file(const std::string& path);

/// Replaces the file, or makes it: when this returns, it is stable and has the new contents; whatever happens meanwhile, it has the old ones or
/// the new ones. One writer at a time.
Result<void> write_state_file(const std::string& path, std::string_view contents);

/// Takes the file away, and what it kept with it: likewise. One that is not there is no error.
Result<void> remove_state_file(const std::string& path);

}  // namespace sidecore
