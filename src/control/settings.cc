// SPDX-License-Identifier: Apache-2.0
#include "control/settings.hh"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/format.hh"
#include "control/units.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t max_32_bits = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t longest_ns = 1ULL << 62U;

constexpr std::array<std::string_view, 7> policy_kinds{"never",       "always",    "rate",    "fixed",
                                                       "grow_shrink", "breakeven", "adaptive"};
constexpr std::array<std::string_view, 3> preferences{"latency", "balanced", "cpu"};

constexpr std::uint64_t one_second_ns = 1'000'000'000;
constexpr std::uint64_t ten_seconds_ns = 10'000'000'000;

constexpr SettingDescription choice(Setting setting, std::string_view group, std::string_view key,
                                    std::string_view word, std::span<const std::string_view> choices) {
    return {setting, group, key, word, SettingType::choice, 0, 0, choices};
}
constexpr SettingDescription boolean(Setting setting, std::string_view group, std::string_view key) {
    return {setting, group, key, key, SettingType::boolean};
}
constexpr SettingDescription integer(Setting setting, std::string_view group, std::string_view key,
                                     std::string_view word, std::uint64_t lowest, std::uint64_t highest) {
    return {setting, group, key, word, SettingType::integer, lowest, highest};
}
constexpr SettingDescription integer(Setting setting, std::string_view group, std::string_view key,
                                     std::uint64_t lowest, std::uint64_t highest) {
    return integer(setting, group, key, key, lowest, highest);
}
constexpr SettingDescription duration(Setting setting, std::string_view group, std::string_view key,
                                      std::string_view word, std::uint64_t lowest_ns, std::uint64_t highest_ns) {
    return {setting, group, key, word, SettingType::duration, lowest_ns, highest_ns};
}
constexpr SettingDescription duration(Setting setting, std::string_view group, std::string_view key,
                                      std::uint64_t lowest_ns, std::uint64_t highest_ns) {
    return duration(setting, group, key, key, lowest_ns, highest_ns);
}

constexpr std::array table{
    choice(Setting::kind, "policy", "kind", "policy", policy_kinds),
    choice(Setting::prefer, "policy", "prefer", "prefer", preferences),
    integer(Setting::poll_start_rate, "policy", "poll_start_rate", 0, max_32_bits),
    duration(Setting::poll_stop_idle, "policy", "poll_stop_idle", 1, longest_ns),
    duration(Setting::tick, "policy", "tick", 1, longest_ns),
    duration(Setting::poll_time, "policy", "poll_time", 1, longest_ns),
    duration(Setting::grow_start, "policy", "grow_start", 1, longest_ns),
    duration(Setting::grow_max, "policy", "grow_max", 1, longest_ns),
    integer(Setting::device_poll_budget, "policy", "poll_budget", 0, 100),

    integer(Setting::weight, "schedule", "weight", 1, 1000),
    boolean(Setting::latency_class, "schedule", "latency_class"),
    duration(Setting::turn_min, "schedule", "turn_min", 0, one_second_ns),
    duration(Setting::turn_max, "schedule", "turn_max", 0, one_second_ns),
    integer(Setting::turn_requests, "schedule", "turn_requests", 1, 32768),

    integer(Setting::call_max_requests, "calls", "max_requests", "call_max_requests", 1, 32768),
    duration(Setting::call_max_delay, "calls", "max_delay", "call_max_delay", 0, one_second_ns),

    integer(Setting::worker_poll_budget, worker_group, "poll_budget", 0, 100),
    boolean(Setting::good_neighbour, worker_group, "good_neighbour"),
    duration(Setting::wait_max, worker_group, "wait_max", 0, ten_seconds_ns),
    duration(Setting::stuck_after, worker_group, "stuck_after", 0, ten_seconds_ns),
    integer(Setting::stuck_pending, worker_group, "stuck_pending", 0, 65535),
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

constexpr std::array<std::string_view, 5> level_names{"built-in", "daemon", "device", "queue", "worker"};

std::vector<std::string_view> groups_of(Level level) {
    std::vector<std::string_view> groups{"policy", "schedule", "calls"};
    if (level == Level::daemon) {
        groups.push_back(worker_group);
    }
    return groups;
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

void read_group(TableReader& reader, std::string_view group, Level level, Null null, SettingsChange& into) {
    for (const SettingDescription& setting : table) {
        if (setting.group != group) {
            continue;
        }
        if (level == Level::queue && setting.setting == Setting::device_poll_budget) {
            if (reader.find(setting.key) != nullptr) {
                reader.report(setting.key, fmt::format("{} is for all queues of a device together; set it for the "
                                                       "device",
                                                       setting.key));
            }
        } else if (null == Null::inherits && reader.is_null(setting.key)) {
            into.inherit.insert(setting.setting);
        } else if (auto value = read_value(reader, setting)) {
            into.set[setting.setting] = std::move(*value);
        }
    }
}

SettingsChange read_all(TableReader& reader, Level level, Null null, Problems& problems) {
    SettingsChange result;
    if (level == Level::worker) {
        read_group(reader, worker_group, level, null, result);
        return result;
    }
    for (const std::string_view group : groups_of(level)) {
        if (const Value* members = reader.table(group)) {
            TableReader group_reader(*members, group, problems);
            read_group(group_reader, group, level, null, result);
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

void read_reply_group(TableReader& reader, std::string_view group, Problems& problems, Settings& into) {
    static const Value nobody{Value::Table{}, {}};
    const Value* sources = reader.table("from");
    TableReader from(sources != nullptr ? *sources : nobody, "from", problems, TableReader::Unknown::ignore);
    for (const SettingDescription& setting : table) {
        if (setting.group == group) {
            into.put(setting.setting, read_reply_value(reader, setting),
                     static_cast<Level>(from.choice(setting.key, level_names).value_or(0)));
        }
    }
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

Settings Settings::with(const Settings& others) const {
    Settings result = *this;
    result.values_.insert(others.values_.begin(), others.values_.end());
    return result;
}

SettingValues read_setting_values(TableReader& reader, Level level, Problems& problems) {
    return read_all(reader, level, Null::is_wrong, problems).set;
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

Json to_json(const Settings& settings, Level level) {
    Json json = Json::object();
    add_to_json(json, settings);
    return level == Level::worker ? json[worker_group] : json;
}

Settings read_settings(TableReader& reader, Level level, Problems& problems) {
    Settings settings;
    if (level == Level::worker) {
        read_reply_group(reader, worker_group, problems, settings);
        return settings;
    }
    for (const std::string_view group : groups_of(level)) {
        reader.require(group);
        if (const Value* members = reader.table(group)) {
            TableReader group_reader(*members, group, problems, TableReader::Unknown::ignore);
            read_reply_group(group_reader, group, problems, settings);
        }
    }
    return settings;
}

Result<Settings> parse_settings(std::string_view body, Level level) {
    const auto read = [level](const Value& value, Problems& problems) {
        TableReader reader(value, "settings", problems, TableReader::Unknown::ignore);
        return read_settings(reader, level, problems);
    };
    return parse_json_as(body, read, "reply");
}

Result<SettingsChange> parse_settings_change(std::string_view body, Level level) {
    return parse_json_as(body, [level](const Value& value, Problems& problems) {
        TableReader reader(value, "settings", problems);
        SettingsChange change = read_all(reader, level, Null::inherits, problems);
        reader.finish();
        if (problems.empty() && change.set.empty() && change.inherit.empty()) {
            problems.push_back({value.where, "nothing to change"});
        }
        return change;
    });
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
