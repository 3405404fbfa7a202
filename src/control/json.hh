// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.hh"
#include "control/value.hh"

namespace sidecore::control {

/// JSON to be written: keeps the order in which members were added.
using Json = nlohmann::ordered_json;

/// Reads one JSON text that may come from anybody. Places are paths from the top: "storage.size",
/// "queue[1].index"; `root` is the place of the outermost value. Refused besides wrong syntax: a key twice in
/// one object, nesting deeper than 16, integers beyond 64 bits.
Result<Value> parse_json(std::string_view text, std::string_view root = "request");

/// Text of `json`, indented for people if `indent` is not negative. Strings that are no UTF-8 (paths may be
/// anything) get replacement characters.
std::string to_text(const Json& json, int indent = -1);

}  // namespace sidecore::control
