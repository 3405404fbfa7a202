// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

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

/// What `read` makes of a JSON text as above, or all the problems that it has reported.
template <typename Read>
auto parse_json_as(std::string_view text, Read read, std::string_view root = "request")
    -> Result<std::invoke_result_t<Read, const Value&, Problems&>> {
    SIDECORE_TRY_ASSIGN(const Value value, parse_json(text, root));
    Problems problems;
    auto result = read(value, problems);
    if (!problems.empty()) {
        return tl::unexpected(to_error(problems));
    }
    return result;
}

/// Text of `json`, indented for people if `indent` is not negative. Strings that are no UTF-8 (paths may be
/// anything) get replacement characters.
std::string to_text(const Json& json, int indent = -1);

}  // namespace sidecore::control
