// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <tl/expected.hpp>

#include "control/value.hh"

namespace sidecore::daemon {

/// Reads a TOML document into a value whose places are "file:line:column", or says where its syntax is wrong.
tl::expected<control::Value, control::Problem> parse_toml(std::string_view text, std::string_view file_name);

}  // namespace sidecore::daemon
