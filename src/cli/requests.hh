// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hh"
#include "control/json.hh"

namespace sidecore::cli {

// From words on a command line to the bodies of requests. What is wrong with a value is the daemon's to say; here it is
// only put in its place.

/// "policy=rate", "poll_start_rate=8", "tick=inherit" → {"policy": {"kind": "rate", "poll_start_rate": 8, "tick": null}}.
/// Refused: words without '=', unknown or repeated keys, numbers that are none.
Result<control::Json> settings_from_words(const std::vector<std::string>& words);

/// Names of all settings on the command line, for help: "policy, prefer, …".
std::string setting_words();

struct AddArguments {
    std::string name;
    std::string socket_path;
    bool connect = false;
    std::string retry_interval;
    std::string socket_permissions;
    std::string socket_group;
    std::string file;
    std::string memory_size;
    std::string null_size;
    bool direct = false;
    std::string engine;
    std::optional<std::uint64_t> threads;
    bool read_only = false;
    std::string serial;
    std::optional<std::uint64_t> queues;
    std::string worker;
    std::optional<std::uint64_t> turn_budget;
    std::vector<std::string> setting_words;
};

/// The body of POST /v1/devices. Relative paths start in the current directory.
Result<control::Json> device_from_arguments(const AddArguments& arguments);

}  // namespace sidecore::cli
