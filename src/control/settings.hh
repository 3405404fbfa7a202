// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

/// What can be set while the daemon runs, at several levels: what a queue does not say comes from its device, what a device or a
/// worker does not say from the daemon, and the rest is built in. A new setting is a line here, one in the table of settings.cc
/// and one in daemon/engine_settings.cc; configuration, control API and command take it from there.
enum class Setting : std::uint8_t {
    // policy
    kind,
    prefer,
    poll_start_rate,
    poll_stop_idle,
    tick,
    poll_time,
    grow_start,
    grow_max,
    device_poll_budget,
    // schedule
    weight,
    latency_class,
    turn_min,
    turn_max,
    turn_requests,
    // calls
    call_max_requests,
    call_max_delay,
    // workers
    worker_poll_budget,
    good_neighbour,
    wait_max,
    stuck_after,
    stuck_pending,
};

enum class SettingType : std::uint8_t { boolean, integer, duration, choice };

/// How a setting is written, and what it may be.
struct SettingDescription {
    Setting setting;
    std::string_view group;  ///< the table of a configuration and the object of a request that it is in
    std::string_view key;    ///< its name there
    std::string_view word;   ///< its name on the command line
    SettingType type;
    std::uint64_t lowest = 0;  ///< integer, duration (ns)
    std::uint64_t highest = 0;
    std::span<const std::string_view> choices{};
};

/// All of them, in the order of the enumeration.
std::span<const SettingDescription> all_settings() noexcept;
const SettingDescription& describe(Setting setting) noexcept;

/// Who said so, or who is spoken to.
enum class Level : std::uint8_t { built_in, daemon, device, queue, worker };

/// The group of settings that are workers'; the others are queues'. One worker's are written without the group around them.
inline constexpr std::string_view worker_group = "workers";

std::string_view to_string(Level level) noexcept;

/// A boolean, an integer or a duration in nanoseconds, or the name of a choice.
using SettingValue = std::variant<bool, std::uint64_t, std::string>;

/// As in tables and objects.
Json to_json(Setting setting, const SettingValue& value);

/// For people: "adaptive", "4", "3s", "true".
std::string display(Setting setting, const SettingValue& value);

/// What one level says.
using SettingValues = std::map<Setting, SettingValue>;

/// A change at one level: what is set, and what is given back to the level above (JSON null). The rest stays as it is.
struct SettingsChange {
    SettingValues set;
    std::set<Setting> inherit;

    /// `values` after the change.
    SettingValues applied_to(SettingValues values) const;

    friend bool operator==(const SettingsChange&, const SettingsChange&) = default;
};

/// Settings in force, with where each value comes from.
class Settings {
public:
    struct Sourced {
        SettingValue value;
        Level source = Level::built_in;
        friend bool operator==(const Sourced&, const Sourced&) = default;
    };

    void put(Setting setting, SettingValue value, Level source = Level::built_in) {
        values_[setting] = {std::move(value), source};
    }

    /// Those that exist here. The setting has to be among them, and of the type asked for.
    const std::map<Setting, Sourced>& all() const noexcept { return values_; }
    const Sourced& at(Setting setting) const { return values_.at(setting); }
    std::uint64_t number(Setting setting) const { return std::get<std::uint64_t>(at(setting).value); }
    bool boolean(Setting setting) const { return std::get<bool>(at(setting).value); }
    const std::string& text(Setting setting) const { return std::get<std::string>(at(setting).value); }

    /// The settings one level down, where `values` speak for `source`. What does not exist here is passed over.
    Settings overridden_by(const SettingValues& values, Level source) const;

    /// These and those.
    Settings with(const Settings& others) const;

    friend bool operator==(const Settings&, const Settings&) = default;

private:
    std::map<Setting, Sourced> values_;
};

/// Reads the groups that `level` can have, or a worker's settings, out of a table of a configuration or a request.
SettingValues read_setting_values(TableReader& reader, Level level, Problems& problems);

/// The other way round: a group's object in `json` for each group that has values.
void add_to_json(Json& json, const SettingValues& values);

/// {"policy": {"kind": "adaptive", …, "from": {"kind": "built-in", …}}, …}; of a worker: {"poll_budget": 100, …, "from": {…}}
void add_to_json(Json& json, const Settings& settings);
Json to_json(const Settings& settings, Level level);

/// The same out of a reply: all the groups that `level` can have, or the worker's settings, all of them.
Settings read_settings(TableReader& reader, Level level, Problems& problems);
Result<Settings> parse_settings(std::string_view body, Level level);

/// The body of a PATCH …/settings: groups of values, or a worker's, with null for what is to be inherited again. At least one.
Result<SettingsChange> parse_settings_change(std::string_view body, Level level);
Json to_json(const SettingsChange& change);  // in groups, whatever the level

}  // namespace sidecore::control
