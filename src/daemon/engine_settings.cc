// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine_settings.hh"

#include <cstdint>
#include <string>

namespace sidecore::daemon {

namespace {

using control::Setting;
using control::SettingValue;

/// Which setting is which member of the engine's.
template <typename Settings, typename Visit>
void visit_queue_settings(Settings& settings, Visit visit) {
    visit(Setting::kind, settings.policy.kind);
    visit(Setting::prefer, settings.policy.prefer);
    visit(Setting::poll_start_rate, settings.policy.poll_start_rate);
    visit(Setting::poll_stop_idle, settings.policy.poll_stop_idle_ns);
    visit(Setting::tick, settings.policy.tick_ns);
    visit(Setting::poll_time, settings.policy.poll_time_ns);
    visit(Setting::grow_start, settings.policy.grow_start_ns);
    visit(Setting::grow_max, settings.policy.grow_max_ns);
}

SettingValue to_value(std::uint64_t value) {
    return value;
}
SettingValue to_value(engine::PolicyKind kind) {
    return std::string(engine::to_string(kind));
}
SettingValue to_value(engine::Prefer prefer) {
    return std::string(engine::to_string(prefer));
}

void take(const SettingValue& value, std::uint64_t& member) {
    member = std::get<std::uint64_t>(value);
}
void take(const SettingValue& value, std::uint32_t& member) {
    member = static_cast<std::uint32_t>(std::get<std::uint64_t>(value));
}
void take(const SettingValue& value, engine::PolicyKind& member) {
    member = engine::parse_policy_kind(std::get<std::string>(value)).value_or(member);
}
void take(const SettingValue& value, engine::Prefer& member) {
    member = engine::parse_prefer(std::get<std::string>(value)).value_or(member);
}

}  // namespace

control::Settings built_in_queue_settings() {
    control::Settings settings;
    const engine::QueueSettings defaults;
    visit_queue_settings(defaults,
                         [&](Setting setting, const auto& member) { settings.put(setting, to_value(member)); });
    return settings;
}

engine::QueueSettings to_queue_settings(const control::Settings& settings) {
    engine::QueueSettings result;
    visit_queue_settings(result, [&](Setting setting, auto& member) { take(settings.at(setting).value, member); });
    return result;
}

}  // namespace sidecore::daemon
