// SPDX-License-Identifier: Apache-2.0
#include "control/policy.hh"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

std::string error_of(std::string_view body) {
    const auto parsed = parse_policy_change(body);
    return parsed ? "no error" : parsed.error().message;
}

TEST(PolicyChange, IsReadWithItsUnits) {
    const auto change =
        parse_policy_change(R"({"kind": "rate", "poll_start_rate": 8, "poll_stop_idle": "500ms", "tick": "2ms"})");
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(change->set, (PolicyOverrides{"rate", 8, 500'000'000, 2'000'000}));
    EXPECT_TRUE(change->inherit.empty());
}

TEST(PolicyChange, NullGivesAParameterBack) {
    const auto change = parse_policy_change(R"({"kind": null, "tick": "1ms", "poll_start_rate": null})");
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(change->applied_to({"always", 3, 77, {}}), (PolicyOverrides{{}, {}, 77, 1'000'000}));
    const auto rest = parse_policy_change(R"({"poll_stop_idle": null, "tick": null})");
    ASSERT_TRUE(rest) << rest.error().message;
    EXPECT_EQ(rest->applied_to({"always", 3, 77, 88}), (PolicyOverrides{"always", 3, {}, {}}));
}

TEST(PolicyChange, RoundTrips) {
    PolicyChange change;
    change.set = {"never", 0, 1, {}};
    change.inherit.push_back(PolicyParameter::tick);
    EXPECT_EQ(parse_policy_change(to_text(to_json(change))).value(), change);
}

TEST(PolicyChange, RefusesWhatIsWrong) {
    EXPECT_EQ(error_of("{}"),
              "request: nothing to change; a policy can have kind, poll_start_rate, poll_stop_idle, tick");
    EXPECT_EQ(error_of("[]"), "request: policy is a table, not an array");
    EXPECT_EQ(error_of(R"({"kind": "sometimes"})"),
              "kind: kind cannot be \"sometimes\"; allowed are \"never\", \"always\", \"rate\"");
    EXPECT_EQ(error_of(R"({"poll_start_rate": -1})"),
              "poll_start_rate: poll_start_rate cannot be -1; allowed are 0 to 4294967295");
    EXPECT_EQ(error_of(R"({"poll_start_rate": 4294967296})"),
              "poll_start_rate: poll_start_rate cannot be 4294967296; allowed are 0 to 4294967295");
    EXPECT_EQ(error_of(R"({"poll_start_rate": "8"})"), "poll_start_rate: poll_start_rate is an integer, not a string");
    EXPECT_EQ(error_of(R"({"tick": "0"})"), "tick: tick cannot be 0; allowed are 1ns to 4611686018427387904ns");
    EXPECT_EQ(error_of(R"({"tick": 5})"), "tick: tick is a duration in a string, like \"3s\", not an integer");
    EXPECT_EQ(error_of(R"({"speed": 5})"),
              "speed: unknown key \"speed\"; policy can have kind, poll_start_rate, poll_stop_idle, tick");
    EXPECT_EQ(error_of(R"({"kind": 1, "tick": true})"),
              "kind: kind is a string, not an integer; tick: tick is a duration in a string, like \"3s\", "
              "not a boolean");
}

TEST(PolicyInfo, TheLowestLevelThatSpeaksWins) {
    const PolicyInfo built_in{{"rate"}, {4}, {3'000'000'000}, {1'000'000}};
    const PolicyInfo daemon = built_in.overridden_by({{}, 8, {}, {}}, PolicySource::daemon);
    const PolicyInfo queue =
        daemon.overridden_by({}, PolicySource::device).overridden_by({"always", {}, {}, {}}, PolicySource::queue);
    EXPECT_EQ(queue.kind, (Sourced<std::string>{"always", PolicySource::queue}));
    EXPECT_EQ(queue.poll_start_rate, (Sourced<std::uint32_t>{8, PolicySource::daemon}));
    EXPECT_EQ(queue.tick_ns, (Sourced<std::uint64_t>{1'000'000, PolicySource::built_in}));

    Problems problems;
    const auto value = parse_json(to_text(to_json(queue)));
    ASSERT_TRUE(value);
    EXPECT_EQ(read_policy_info(*value, problems), queue);
    EXPECT_EQ(problems, Problems{});
}

}  // namespace
}  // namespace sidecore::control
