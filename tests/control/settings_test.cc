// SPDX-License-Identifier: Apache-2.0
#include "control/settings.hh"

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

std::string error_of(std::string_view body, Level level = Level::daemon) {
    const auto parsed = parse_settings_change(body, level);
    return parsed ? "no error" : parsed.error().message;
}

/// Some value of a setting, as it is written.
std::string example_of(const SettingDescription& setting) {
    switch (setting.type) {
        case SettingType::boolean:
            return "true";
        case SettingType::integer:
            return std::to_string(setting.highest);
        case SettingType::duration:
            return "\"1ms\"";
        case SettingType::choice:
            break;
    }
    return '"' + std::string(setting.choices.back()) + '"';
}

TEST(Settings, HaveNamesOfTheirOwn) {
    std::set<std::string> keys;
    std::set<std::pair<bool, std::string_view>> words;
    for (const SettingDescription& setting : all_settings()) {
        EXPECT_EQ(&describe(setting.setting), &setting);
        EXPECT_TRUE(keys.insert(std::string(setting.group) + "." + std::string(setting.key)).second) << setting.key;
        const bool of_workers = setting.group == worker_group;  // whose words are apart
        EXPECT_TRUE(words.insert({of_workers, setting.word}).second) << setting.word;
    }
}

TEST(Settings, EachCanBeSetAndGivenBack) {
    for (const SettingDescription& setting : all_settings()) {
        const std::string body =
            fmt::format(R"({{"{}": {{"{}": {}}}}})", setting.group, setting.key, example_of(setting));
        const auto change = parse_settings_change(body, Level::daemon);
        ASSERT_TRUE(change) << change.error().message;
        ASSERT_EQ(change->set.size(), 1U) << body;
        EXPECT_EQ(change->set.begin()->first, setting.setting);
        EXPECT_EQ(parse_settings_change(to_text(to_json(*change)), Level::daemon).value(), *change) << body;

        const std::string null = fmt::format(R"({{"{}": {{"{}": null}}}})", setting.group, setting.key);
        const auto back = parse_settings_change(null, Level::daemon);
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(back->inherit, std::set<Setting>{setting.setting});
        EXPECT_EQ(back->applied_to(change->set), SettingValues{});
        EXPECT_EQ(to_text(to_json(*back)), to_text(Json::parse(null)));
    }
}

TEST(SettingsChange, IsReadWithItsUnits) {
    const auto change = parse_settings_change(
        R"({"policy": {"kind": "rate", "poll_start_rate": 8, "poll_stop_idle": "500ms", "prefer": "cpu"}})",
        Level::queue);
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(change->set, (SettingValues{{Setting::kind, "rate"},
                                          {Setting::poll_start_rate, 8U},
                                          {Setting::poll_stop_idle, 500'000'000U},
                                          {Setting::prefer, "cpu"}}));
    EXPECT_TRUE(change->inherit.empty());
}

TEST(SettingsChange, LeavesAloneWhatItDoesNotName) {
    const auto change =
        parse_settings_change(R"({"policy": {"kind": null, "tick": "1ms", "poll_start_rate": null}})", Level::device);
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(change->applied_to({{Setting::kind, "always"}, {Setting::poll_time, 77U}}),
              (SettingValues{{Setting::poll_time, 77U}, {Setting::tick, 1'000'000U}}));
}

TEST(SettingsChange, RefusesWhatIsWrong) {
    EXPECT_EQ(error_of("{}"), "request: nothing to change");
    EXPECT_EQ(error_of("{}", Level::worker), "request: nothing to change");
    EXPECT_EQ(error_of(R"({"policy": {}})"), "request: nothing to change");
    EXPECT_EQ(error_of("[]"), "request: settings is a table, not an array");
    EXPECT_EQ(error_of(R"({"policy": 1})"), "policy: policy is a table, not an integer");
    EXPECT_EQ(error_of(R"({"policy": {"kind": "sometimes"}})"),
              "policy.kind: kind cannot be \"sometimes\"; allowed are \"never\", \"always\", \"rate\", \"fixed\", "
              "\"grow_shrink\", \"breakeven\", \"adaptive\"");
    EXPECT_EQ(error_of(R"({"policy": {"prefer": "speed"}})"),
              "policy.prefer: prefer cannot be \"speed\"; allowed are \"latency\", \"balanced\", \"cpu\"");
    EXPECT_EQ(error_of(R"({"policy": {"poll_start_rate": -1}})"),
              "policy.poll_start_rate: poll_start_rate cannot be -1; allowed are 0 to 4294967295");
    EXPECT_EQ(error_of(R"({"policy": {"poll_start_rate": 4294967296}})"),
              "policy.poll_start_rate: poll_start_rate cannot be 4294967296; allowed are 0 to 4294967295");
    EXPECT_EQ(error_of(R"({"policy": {"poll_start_rate": "8"}})"),
              "policy.poll_start_rate: poll_start_rate is an integer, not a string");
    EXPECT_EQ(error_of(R"({"policy": {"poll_time": "0"}})"),
              "policy.poll_time: poll_time cannot be 0; allowed are 1ns to 4611686018427387904ns");
    EXPECT_EQ(error_of(R"({"policy": {"tick": 5}})"),
              "policy.tick: tick is a duration in a string, like \"3s\", not an integer");
    EXPECT_THAT(error_of(R"({"policy": {"speed": 5}})"),
                HasSubstr("policy.speed: unknown key \"speed\"; policy can have grow_max, grow_start, kind,"));
    EXPECT_EQ(error_of(R"({"policy": {"kind": 1, "tick": true}})"),
              "policy.kind: kind is a string, not an integer; policy.tick: tick is a duration in a string, like "
              "\"3s\", not a boolean");
}

TEST(Settings, TheLowestLevelThatSpeaksWins) {
    Settings built_in;
    built_in.put(Setting::kind, "adaptive");
    built_in.put(Setting::poll_start_rate, 4U);
    built_in.put(Setting::tick, 1'000'000U);
    const Settings queue =
        built_in.overridden_by({{Setting::poll_start_rate, 8U}, {Setting::poll_time, 1U}}, Level::daemon)
            .overridden_by({}, Level::device)
            .overridden_by({{Setting::kind, "always"}}, Level::queue);
    EXPECT_EQ(queue.text(Setting::kind), "always");
    EXPECT_EQ(queue.at(Setting::kind).source, Level::queue);
    EXPECT_EQ(queue.number(Setting::poll_start_rate), 8U);
    EXPECT_EQ(queue.at(Setting::poll_start_rate).source, Level::daemon);
    EXPECT_EQ(queue.at(Setting::tick).source, Level::built_in);
    EXPECT_FALSE(queue.all().contains(Setting::poll_time)) << "what does not exist at a level stays out of it";
    EXPECT_EQ(to_text(to_json(queue, Level::queue)),
              R"({"policy":{"kind":"always","poll_start_rate":8,"tick":"1ms",)"
              R"("from":{"kind":"queue","poll_start_rate":"daemon","tick":"built-in"}}})");
}

TEST(Settings, RepliesRoundTripAndMayBeOfANewerDaemon) {
    Settings settings;
    for (const SettingDescription& setting : all_settings()) {
        SettingValue value = std::uint64_t{3};
        if (setting.type == SettingType::boolean) {
            value = true;
        } else if (setting.type == SettingType::choice) {
            value = "of tomorrow";
        }
        settings.put(setting.setting, value, Level::daemon);
    }
    Json json = to_json(settings, Level::daemon);
    EXPECT_EQ(parse_settings(to_text(json), Level::daemon).value(), settings);
    json["policy"]["colour"] = "blue";
    json["colours"] = Json::object();
    EXPECT_EQ(parse_settings(to_text(json), Level::daemon).value(), settings);
    json["policy"].erase("kind");
    EXPECT_EQ(parse_settings(to_text(json), Level::daemon).error().message, "policy: policy needs the key \"kind\"");
    EXPECT_THAT(parse_settings("{}", Level::daemon).error().message, HasSubstr("settings needs the key \"policy\""));
}

TEST(Settings, OfScheduleAndCallsHaveTheirLimits) {
    const auto of_schedule = [](std::string_view key, std::string_view value) {
        return error_of(fmt::format(R"({{"schedule": {{"{}": {}}}}})", key, value), Level::queue);
    };
    EXPECT_EQ(of_schedule("weight", "1"), "no error");
    EXPECT_EQ(of_schedule("weight", "1001"), "schedule.weight: weight cannot be 1001; allowed are 1 to 1000");
    EXPECT_EQ(of_schedule("latency_class", "1"),
              "schedule.latency_class: latency_class is true or false, not an integer");
    EXPECT_EQ(of_schedule("turn_min", "\"0\""), "no error");
    EXPECT_EQ(of_schedule("turn_max", "\"2s\""), "schedule.turn_max: turn_max cannot be 2s; allowed are 0 to 1s");
    EXPECT_EQ(of_schedule("turn_requests", "0"),
              "schedule.turn_requests: turn_requests cannot be 0; allowed are 1 to 32768");
    EXPECT_EQ(error_of(R"({"calls": {"max_requests": 0}})"),
              "calls.max_requests: max_requests cannot be 0; allowed are 1 to 32768");
    EXPECT_EQ(error_of(R"({"calls": {"max_delay": "1m"}})"),
              "calls.max_delay: max_delay cannot be 60s; allowed are 0 to 1s");
}

TEST(Settings, OfADeviceAsAWholeAreNoQueues) {
    EXPECT_EQ(error_of(R"({"policy": {"poll_budget": 20}})", Level::device), "no error");
    EXPECT_EQ(error_of(R"({"policy": {"poll_budget": 101}})", Level::device),
              "policy.poll_budget: poll_budget cannot be 101; allowed are 0 to 100");
    EXPECT_EQ(error_of(R"({"policy": {"poll_budget": 20}})", Level::queue),
              "policy.poll_budget: poll_budget is for all queues of a device together; set it for the device");
}

TEST(Settings, OfOneWorkerHaveNoGroupAroundThem) {
    const auto change = parse_settings_change(R"({"poll_budget": 20, "wait_max": null})", Level::worker);
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(change->set, (SettingValues{{Setting::worker_poll_budget, 20U}}));
    EXPECT_EQ(change->inherit, std::set<Setting>{Setting::wait_max});
    EXPECT_EQ(error_of(R"({"good_neighbour": "yes"})", Level::worker),
              "good_neighbour: good_neighbour is true or false, not a string");
    EXPECT_THAT(error_of(R"({"workers": {"poll_budget": 20}})", Level::worker), HasSubstr("unknown key \"workers\""));
    EXPECT_THAT(error_of(R"({"workers": {"poll_budget": 20}})", Level::device), HasSubstr("unknown key \"workers\""));

    Settings settings;
    settings.put(Setting::worker_poll_budget, 20U, Level::worker);
    EXPECT_EQ(to_text(to_json(settings, Level::worker)), R"({"poll_budget":20,"from":{"poll_budget":"worker"}})");
}

TEST(Settings, AreShownAsTheyAreWritten) {
    EXPECT_EQ(display(Setting::kind, "rate"), "rate");
    EXPECT_EQ(display(Setting::poll_start_rate, std::uint64_t{4}), "4");
    EXPECT_EQ(display(Setting::poll_stop_idle, std::uint64_t{3'000'000'000}), "3s");
}

}  // namespace
}  // namespace sidecore::control
