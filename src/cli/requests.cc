// SPDX-License-Identifier: Apache-2.0
#include "cli/requests.hh"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sidecore::cli {

namespace {

/// Keys on the command line and in requests.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> policy_keys{{
    {"policy", "kind"},
    {"poll_start_rate", "poll_start_rate"},
    {"poll_stop_idle", "poll_stop_idle"},
    {"tick", "tick"},
}};

Result<control::Json> policy_value(std::string_view key, std::string_view value) {
    if (value == "inherit") {
        return control::Json(nullptr);
    }
    if (key != "poll_start_rate") {
        return control::Json(value);
    }
    std::uint64_t number = 0;
    const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || rest != value.data() + value.size()) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: \"{}\" is no number", key, value));
    }
    return control::Json(number);
}

std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
}

Result<control::Json> storage_from(const AddArguments& arguments) {
    const auto given = static_cast<int>(!arguments.file.empty()) + static_cast<int>(!arguments.memory_size.empty()) +
                       static_cast<int>(!arguments.null_size.empty());
    if (given != 1) {
        return failure(ErrorKind::invalid_argument, "one of --blk-file, --memory-size and --null-size is needed");
    }
    control::Json storage;
    if (!arguments.file.empty()) {
        storage = {{"kind", "file"}, {"path", absolute(arguments.file)}};
    } else if (!arguments.memory_size.empty()) {
        storage = {{"kind", "memory"}, {"size", arguments.memory_size}};
    } else {
        storage = {{"kind", "null"}, {"size", arguments.null_size}};
    }
    if (arguments.direct) {
        storage["direct"] = true;
    }
    if (!arguments.engine.empty()) {
        storage["engine"] = arguments.engine;
    }
    if (arguments.threads) {
        storage["threads"] = *arguments.threads;
    }
    return storage;
}

}  // namespace

Result<control::Json> policy_from_words(const std::vector<std::string>& words) {
    control::Json policy = control::Json::object();
    for (const std::string& word : words) {
        const std::size_t equals = word.find('=');
        const std::string_view name = std::string_view(word).substr(0, equals);
        const auto known = std::ranges::find(policy_keys, name, &std::pair<std::string_view, std::string_view>::first);
        if (equals == std::string::npos || known == policy_keys.end()) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("\"{}\" is no setting; there are policy=KIND, poll_start_rate=N, "
                                       "poll_stop_idle=TIME and tick=TIME, and =inherit for each",
                                       word));
        }
        if (policy.contains(known->second)) {
            return failure(ErrorKind::invalid_argument, fmt::format("{} is there twice", name));
        }
        SIDECORE_TRY_ASSIGN(policy[std::string(known->second)],
                            policy_value(name, std::string_view(word).substr(equals + 1)));
    }
    return policy;
}

Result<control::Json> device_from_arguments(const AddArguments& arguments) {
    if (arguments.name.empty() || arguments.socket_path.empty()) {
        return failure(ErrorKind::invalid_argument, "a name and --socket-path are needed");
    }
    control::Json device = {{"name", arguments.name}, {"socket", absolute(arguments.socket_path)}};
    const auto add_text = [&device](std::string_view key, const std::string& value) {
        if (!value.empty()) {
            device[std::string(key)] = value;
        }
    };
    const auto add_number = [&device](std::string_view key, const std::optional<std::uint64_t>& value) {
        if (value) {
            device[std::string(key)] = *value;
        }
    };
    if (arguments.connect) {
        device["mode"] = "connect";
    }
    add_text("retry_interval", arguments.retry_interval);
    add_text("socket_permissions", arguments.socket_permissions);
    add_text("socket_group", arguments.socket_group);
    add_number("queues", arguments.queues);
    if (arguments.read_only) {
        device["read_only"] = true;
    }
    add_text("serial", arguments.serial);
    add_text("worker", arguments.worker);
    add_number("turn_budget", arguments.turn_budget);
    SIDECORE_TRY_ASSIGN(device["storage"], storage_from(arguments));
    SIDECORE_TRY_ASSIGN(control::Json policy, policy_from_words(arguments.policy_words));
    if (!policy.empty()) {
        device["policy"] = std::move(policy);
    }
    return device;
}

}  // namespace sidecore::cli
