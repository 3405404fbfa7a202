// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine_settings.hh"

#include <gtest/gtest.h>

#include "engine/policy_settings.hh"

namespace sidecore::daemon {
namespace {

using control::Setting;

TEST(EngineSettings, BuiltInAreTheEnginesDefaults) {
    EXPECT_EQ(to_queue_settings(built_in_queue_settings()), engine::QueueSettings{});
    EXPECT_EQ(to_worker_settings(built_in_worker_settings()), engine::WorkerSettings{});
    EXPECT_EQ(built_in_queue_settings().text(Setting::kind), "adaptive");
    EXPECT_EQ(built_in_queue_settings().all().size() + built_in_worker_settings().all().size(),
              control::all_settings().size());
}

/// A value other than the default.
control::SettingValue other_than(const control::SettingDescription& setting, const control::SettingValue& value) {
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
        return *number == setting.highest ? setting.lowest : *number + 1;
    }
    if (const auto* boolean = std::get_if<bool>(&value)) {
        return !*boolean;
    }
    return std::string(setting.choices.front());
}

/// Each setting by itself changes what the engine gets; all of them together are returned.
template <typename Convert>
control::Settings expect_each_arrives(const control::Settings& built_in, Convert convert) {
    control::Settings all = built_in;
    for (const auto& [setting, sourced] : built_in.all()) {
        const control::SettingValue other = other_than(describe(setting), sourced.value);
        EXPECT_NE(other, sourced.value) << describe(setting).key;
        control::Settings changed = built_in;
        changed.put(setting, other);
        if (setting != Setting::device_poll_budget) {  // which is not a queue's
            EXPECT_NE(convert(changed), convert(built_in)) << describe(setting).key;
        }
        all.put(setting, other);
    }
    return all;
}

TEST(EngineSettings, TransmitQueuesAreCalledForLaterUnlessALevelSaysOtherwise) {
    control::Settings settings = built_in_queue_settings();
    build_in_for_transmit_queue(settings);
    EXPECT_EQ(to_queue_settings(settings).calls, (engine::CallSettings{.max_requests = 64, .max_delay_ns = 50'000}));
    EXPECT_EQ(settings.at(Setting::call_max_delay).source, control::Level::built_in);

    settings = built_in_queue_settings().overridden_by({{Setting::call_max_requests, std::uint64_t{1}}},
                                                       control::Level::device);
    build_in_for_transmit_queue(settings);
    EXPECT_EQ(to_queue_settings(settings).calls.max_requests, 1U);
    EXPECT_EQ(settings.at(Setting::call_max_requests).source, control::Level::device);
    EXPECT_FALSE(to_queue_settings(settings).calls.moderated());
}

TEST(EngineSettings, EachSettingOfAQueueReachesTheEngine) {
    const engine::QueueSettings settings =
        to_queue_settings(expect_each_arrives(built_in_queue_settings(), to_queue_settings));
    EXPECT_EQ(settings.policy, (engine::PolicySettings{.kind = engine::PolicyKind::never,
                                                       .poll_start_rate = 5,
                                                       .poll_stop_idle_ns = 3'000'000'001,
                                                       .tick_ns = 1'000'001,
                                                       .prefer = engine::Prefer::latency,
                                                       .poll_time_ns = 50'001,
                                                       .grow_start_ns = 10'001,
                                                       .grow_max_ns = 200'001}));
    EXPECT_EQ(settings.schedule,
              (engine::ScheduleSettings{
                  .weight = 101, .latency_class = true, .turn_min_ns = 1, .turn_max_ns = 50'001, .turn_requests = 65}));
    EXPECT_EQ(settings.calls, (engine::CallSettings{.max_requests = 2, .max_delay_ns = 1}));
}

TEST(EngineSettings, EachSettingOfAWorkerReachesTheEngine) {
    EXPECT_EQ(to_worker_settings(expect_each_arrives(built_in_worker_settings(), to_worker_settings)),
              (engine::WorkerSettings{.poll_budget_percent = 0,
                                      .good_neighbour = false,
                                      .wait_max_ns = 100'001,
                                      .stuck_after_ns = 1,
                                      .stuck_pending = 1}));
}

TEST(EngineSettings, ChoicesAreTheEngines) {
    for (const std::string_view name : control::describe(Setting::kind).choices) {
        EXPECT_EQ(engine::to_string(engine::parse_policy_kind(name).value()), name);
    }
    for (const std::string_view name : control::describe(Setting::prefer).choices) {
        EXPECT_EQ(engine::to_string(engine::parse_prefer(name).value()), name);
    }
}

}  // namespace
}  // namespace sidecore::daemon
