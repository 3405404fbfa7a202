// SPDX-License-Identifier: Apache-2.0
#include "cli/requests.hh"

#include <charconv>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/settings.hh"

namespace sidecore::cli {

namespace {

const control::SettingDescription* find_setting(std::string_view word) {
    for (const control::SettingDescription& setting : control::all_settings()) {
        if (setting.word == word) {
            return &setting;
        }
    }
    return nullptr;
}

Result<control::Json> setting_value(const control::SettingDescription& setting, std::string_view value) {
    if (value == "inherit") {
        return control::Json(nullptr);
    }
    if (setting.type == control::SettingType::boolean && (value == "true" || value == "false")) {
        return control::Json(value == "true");
    }
    if (setting.type == control::SettingType::boolean) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: \"{}\" is not true or false", setting.word, value));
    }
    if (setting.type != control::SettingType::integer) {
        return control::Json(value);
    }
    std::uint64_t number = 0;
    const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || rest != value.data() + value.size()) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: \"{}\" is no number", setting.word, value));
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

std::string setting_words() {
    std::vector<std::string_view> words;
    for (const control::SettingDescription& setting : control::all_settings()) {
        words.push_back(setting.word);
    }
    return fmt::format("{}", fmt::join(words, ", "));
}

Result<control::Json> settings_from_words(const std::vector<std::string>& words) {
    control::Json json = control::Json::object();
    for (const std::string& word : words) {
        const std::size_t equals = word.find('=');
        const auto* setting = find_setting(std::string_view(word).substr(0, equals));
        if (equals == std::string::npos || setting == nullptr) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("\"{}\" is no setting; write KEY=VALUE or KEY=inherit with one of {}", word,
                                       setting_words()));
        }
        control::Json& group = json[setting->group];
        if (group.contains(setting->key)) {
            return failure(ErrorKind::invalid_argument, fmt::format("{} is there twice", setting->word));
        }
        SIDECORE_TRY_ASSIGN(group[setting->key], setting_value(*setting, std::string_view(word).substr(equals + 1)));
    }
    return json;
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
    SIDECORE_TRY_ASSIGN(const control::Json settings, settings_from_words(arguments.setting_words));
    device.update(settings);
    return device;
}

}  // namespace sidecore::cli
