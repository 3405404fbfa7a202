// SPDX-License-Identifier: Apache-2.0
#include "control/settings.hh"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/units.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t max_32_bits = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t longest_ns = 1ULL << 62U;

constexpr std::array<std::string_view, 7> policy_kinds{"never",       "always",    "rate",    "fixed",
                                                       "grow_shrink", "breakeven", "adaptive"};
constexpr std::array<std::string_view, 3> preferences{"latency", "balanced", "cpu"};

constexpr SettingDescription choice(Setting setting, std::string_view group, std::string_view key,
                                    std::string_view word, std::span<const std::string_view> choices) {
    return {setting, group, key, word, SettingType::choice, 0, 0, choices};
}

constexpr std::array table{
    choice(Setting::kind, "policy", "kind", "policy", policy_kinds),
    choice(Setting::prefer, "policy", "prefer", "prefer", preferences),
    SettingDescription{Setting::poll_start_rate, "policy", "poll_start_rate", "poll_start_rate", SettingType::integer,
                       0, max_32_bits},
    SettingDescription{Setting::poll_stop_idle, "policy", "poll_stop_idle", "poll_stop_idle", SettingType::duration, 1,
                       longest_ns},
    SettingDescription{Setting::tick, "policy", "tick", "tick", SettingType::duration, 1, longest_ns},
    SettingDescription{Setting::poll_time, "policy", "poll_time", "poll_time", SettingType::duration, 1, longest_ns},
    SettingDescription{Setting::grow_start, "policy", "grow_start", "grow_start", SettingType::duration, 1, longest_ns},
    SettingDescription{Setting::grow_max, "policy", "grow_max", "grow_max", SettingType::duration, 1, longest_ns},
};

constexpr bool table_is_in_order() {
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (static_cast<std::size_t>(table[i].setting) != i) {
            return false;
        }
    }
    return true;
}
static_assert(table_is_in_order());

constexpr std::array<std::string_view, 4> level_names{"built-in", "daemon", "device", "queue"};

std::vector<std::string_view> groups_of(Level /*level*/) {
    return {"policy"};
}

std::optional<SettingValue> read_value(TableReader& reader, const SettingDescription& setting) {
    switch (setting.type) {
        case SettingType::boolean:
            return reader.boolean(setting.key);
        case SettingType::integer:
            return reader.integer(setting.key, setting.lowest, setting.highest);
        case SettingType::duration:
            return reader.duration(setting.key, setting.lowest, setting.highest);
        case SettingType::choice:
            break;
    }
    const auto chosen = reader.choice(setting.key, setting.choices);
    return chosen ? std::optional<SettingValue>(std::string(setting.choices[*chosen])) : std::nullopt;
}

enum class Null : std::uint8_t { is_wrong, inherits };

void read_group(TableReader& reader, std::string_view group, Null null, SettingsChange& into) {
    for (const SettingDescription& setting : table) {
        if (setting.group != group) {
            continue;
        }
        if (null == Null::inherits && reader.is_null(setting.key)) {
            into.inherit.insert(setting.setting);
        } else if (auto value = read_value(reader, setting)) {
            into.set[setting.setting] = std::move(*value);
        }
    }
}

SettingsChange read_groups(TableReader& reader, Level level, Null null, Problems& problems) {
    SettingsChange result;
    for (const std::string_view group : groups_of(level)) {
        if (const Value* members = reader.table(group)) {
            TableReader group_reader(*members, group, problems);
            read_group(group_reader, group, null, result);
            group_reader.finish();
        }
    }
    return result;
}

/// A value of a reply. A choice may be one that only a newer daemon knows.
SettingValue read_reply_value(TableReader& reader, const SettingDescription& setting) {
    constexpr std::uint64_t any = std::numeric_limits<std::uint64_t>::max();
    reader.require(setting.key);
    switch (setting.type) {
        case SettingType::boolean:
            return reader.boolean(setting.key).value_or(false);
        case SettingType::integer:
            return reader.integer(setting.key, 0, any).value_or(0);
        case SettingType::duration:
            return reader.duration(setting.key, 0, any).value_or(0);
        case SettingType::choice:
            break;
    }
    return reader.text(setting.key).value_or("");
}

}  // namespace

std::span<const SettingDescription> all_settings() noexcept {
    return table;
}

const SettingDescription& describe(Setting setting) noexcept {
    return table[static_cast<std::size_t>(setting)];
}

std::string_view to_string(Level level) noexcept {
    return level_names[static_cast<std::size_t>(level)];
}

Json to_json(Setting setting, const SettingValue& value) {
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
        return describe(setting).type == SettingType::duration ? Json(format_duration(*number)) : Json(*number);
    }
    return std::visit([](const auto& content) { return Json(content); }, value);
}

std::string display(Setting setting, const SettingValue& value) {
    const Json json = to_json(setting, value);
    return json.is_string() ? json.get<std::string>() : json.dump();
}

SettingValues SettingsChange::applied_to(SettingValues values) const {
    for (const Setting setting : inherit) {
        values.erase(setting);
    }
    for (const auto& [setting, value] : set) {
        values[setting] = value;
    }
    return values;
}

Settings Settings::overridden_by(const SettingValues& values, Level source) const {
    Settings result = *this;
    for (const auto& [setting, value] : values) {
        if (const auto found = result.values_.find(setting); found != result.values_.end()) {
            found->second = {value, source};
        }
    }
    return result;
}

SettingValues read_setting_values(TableReader& reader, Level level, Problems& problems) {
    return read_groups(reader, level, Null::is_wrong, problems).set;
}

void add_to_json(Json& json, const SettingValues& values) {
    for (const auto& [setting, value] : values) {
        const SettingDescription& description = describe(setting);
        json[description.group][description.key] = to_json(setting, value);
    }
}

void add_to_json(Json& json, const Settings& settings) {
    for (const auto& [setting, sourced] : settings.all()) {
        const SettingDescription& description = describe(setting);
        json[description.group][description.key] = to_json(setting, sourced.value);
    }
    for (const auto& [setting, sourced] : settings.all()) {
        const SettingDescription& description = describe(setting);
        json[description.group]["from"][description.key] = to_string(sourced.source);
    }
}

Json to_json(const Settings& settings) {
    Json json = Json::object();
    add_to_json(json, settings);
    return json;
}

Settings read_settings(TableReader& reader, Level level, Problems& problems) {
    Settings settings;
    for (const std::string_view group : groups_of(level)) {
        reader.require(group);
        const Value* members = reader.table(group);
        if (members == nullptr) {
            continue;
        }
        TableReader group_reader(*members, group, problems, TableReader::Unknown::ignore);
        static const Value nobody{Value::Table{}, {}};
        const Value* sources = group_reader.table("from");
        TableReader from(sources != nullptr ? *sources : nobody, "from", problems, TableReader::Unknown::ignore);
        for (const SettingDescription& setting : table) {
            if (setting.group == group) {
                settings.put(setting.setting, read_reply_value(group_reader, setting),
                             static_cast<Level>(from.choice(setting.key, level_names).value_or(0)));
            }
        }
    }
    return settings;
}

Result<Settings> parse_settings(std::string_view body, Level level) {
    SIDECORE_TRY_ASSIGN(const Value value, parse_json(body, "reply"));
    Problems problems;
    TableReader reader(value, "settings", problems, TableReader::Unknown::ignore);
    Settings settings = read_settings(reader, level, problems);
    if (!problems.empty()) {
        return tl::unexpected(to_error(problems));
    }
    return settings;
}

Result<SettingsChange> parse_settings_change(std::string_view body, Level level) {
    SIDECORE_TRY_ASSIGN(const Value value, parse_json(body));
    Problems problems;
    TableReader reader(value, "settings", problems);
    SettingsChange change = read_groups(reader, level, Null::inherits, problems);
    reader.finish();
    if (problems.empty() && change.set.empty() && change.inherit.empty()) {
        problems.push_back(
            {value.where, fmt::format("nothing to change; settings can have {}", fmt::join(groups_of(level), ", "))});
    }
    if (!problems.empty()) {
        return tl::unexpected(to_error(problems));
    }
    return change;
}

Json to_json(const SettingsChange& change) {
    Json json = Json::object();
    add_to_json(json, change.set);
    for (const Setting setting : change.inherit) {
        const SettingDescription& description = describe(setting);
        json[description.group][description.key] = nullptr;
    }
    return json;
}

}  // namespace sidecore::control
