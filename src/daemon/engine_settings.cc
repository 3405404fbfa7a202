// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine_settings.hh"

#include <cstdint>
#include <string>
#include <utility>

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
    visit(Setting::weight, settings.schedule.weight);
    visit(Setting::latency_class, settings.schedule.latency_class);
    visit(Setting::turn_min, settings.schedule.turn_min_ns);
    visit(Setting::turn_max, settings.schedule.turn_max_ns);
    visit(Setting::turn_requests, settings.schedule.turn_requests);
    visit(Setting::call_max_requests, settings.calls.max_requests);
    visit(Setting::call_max_delay, settings.calls.max_delay_ns);
}

template <typename Settings, typename Visit>
void visit_worker_settings(Settings& settings, Visit visit) {
    visit(Setting::worker_poll_budget, settings.poll_budget_percent);
    visit(Setting::good_neighbour, settings.good_neighbour);
    visit(Setting::wait_max, settings.wait_max_ns);
    visit(Setting::stuck_after, settings.stuck_after_ns);
    visit(Setting::stuck_pending, settings.stuck_pending);
}

SettingValue to_value(bool value) {
    return value;
}
SettingValue to_value(std::uint32_t value) {
    return std::uint64_t{value};
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

void take(const SettingValue& value, bool& member) {
    member = std::get<bool>(value);
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
    settings.put(Setting::device_poll_budget, std::uint64_t{100});
    return settings;
}

void build_in_for_transmit_queue(control::Settings& settings) {
    for (const auto& [setting, value] : {std::pair(Setting::call_max_requests, std::uint64_t{64}),
                                         std::pair(Setting::call_max_delay, std::uint64_t{50'000})}) {
        if (settings.at(setting).source == control::Level::built_in) {
            settings.put(setting, value);
        }
    }
}

engine::QueueSettings to_queue_settings(const control::Settings& settings) {
    engine::QueueSettings result;
    visit_queue_settings(result, [&](Setting setting, auto& member) { take(settings.at(setting).value, member); });
    return result;
}

control::Settings built_in_worker_settings() {
    control::Settings settings;
    const engine::WorkerSettings defaults;
    visit_worker_settings(defaults,
                          [&](Setting setting, const auto& member) { settings.put(setting, to_value(member)); });
    return settings;
}

engine::WorkerSettings to_worker_settings(const control::Settings& settings) {
    engine::WorkerSettings result;
    visit_worker_settings(result, [&](Setting setting, auto& member) { take(settings.at(setting).value, member); });
    return result;
}

}  // namespace sidecore::daemon
