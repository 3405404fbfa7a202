// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"

namespace sidecore::cli {

// The other programs of Sidecore: those beside this one, in an installation's sbin, or else in the PATH.

/// Becomes `name` with these arguments (the first is its own name, the last null). Returns only if that fails.
Error become(std::string_view name, char** arguments);

/// Runs `name` and returns what it has printed. Its errors go where ours go; system if it fails.
Result<std::string> output_of(std::string_view name, std::vector<std::string> arguments);

}  // namespace sidecore::cli
