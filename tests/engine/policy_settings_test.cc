// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_settings.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

/// Every value set, and none to its default.
PolicyOverrides everything() {
    return {.kind = PolicyKind::fixed,
            .poll_start_rate = 1,
            .poll_stop_idle_ns = 2,
            .tick_ns = 3,
            .prefer = Prefer::latency,
            .poll_time_ns = 4,
            .grow_start_ns = 5,
            .grow_max_ns = 6};
}

TEST(PolicyOverrides, TheInnermostLevelWins) {
    const PolicySettings daemon{.kind = PolicyKind::rate, .poll_start_rate = 4, .poll_time_ns = 17};
    PolicyOverrides device;
    device.kind = PolicyKind::always;
    device.poll_start_rate = 9;
    PolicyOverrides queue;
    queue.kind = PolicyKind::never;
    const PolicySettings result = queue.applied_to(device.applied_to(daemon));
    EXPECT_EQ(result.kind, PolicyKind::never);
    EXPECT_EQ(result.poll_start_rate, 9U);
    EXPECT_EQ(result.poll_stop_idle_ns, daemon.poll_stop_idle_ns);
    EXPECT_EQ(result.poll_time_ns, 17U);
}

TEST(PolicyOverrides, MergeKeepsWhatTheLaterDoesNotSay) {
    PolicyOverrides first;
    first.kind = PolicyKind::always;
    first.tick_ns = 5;
    PolicyOverrides second;
    second.kind = PolicyKind::rate;
    first.merge(second);
    EXPECT_EQ(first.kind, PolicyKind::rate);
    EXPECT_EQ(first.tick_ns, 5U);
}

TEST(PolicyOverrides, EveryValueIsAppliedAndMerged) {
    const PolicySettings all{PolicyKind::fixed, 1, 2, 3, Prefer::latency, 4, 5, 6};
    EXPECT_EQ(everything().applied_to({}), all);
    PolicyOverrides merged;
    merged.merge(everything());
    EXPECT_EQ(merged, everything());
    merged.merge({});
    EXPECT_EQ(merged, everything());
    EXPECT_EQ(PolicyOverrides{}.applied_to(all), all);
}

TEST(PolicyOverrides, RefusesDurationsThatNoClockHas) {
    EXPECT_TRUE(everything().check());
    EXPECT_TRUE(PolicyOverrides{}.check());
    for (const auto& [member, name] : {std::pair{&PolicyOverrides::poll_stop_idle_ns, "poll_stop_idle"},
                                       {&PolicyOverrides::tick_ns, "tick"},
                                       {&PolicyOverrides::poll_time_ns, "poll_time"},
                                       {&PolicyOverrides::grow_start_ns, "grow_start"},
                                       {&PolicyOverrides::grow_max_ns, "grow_max"}}) {
        for (const std::uint64_t impossible : {std::uint64_t{0}, (std::uint64_t{1} << 62U) + 1}) {
            PolicyOverrides overrides = everything();
            overrides.*member = impossible;
            const auto result = overrides.check();
            ASSERT_FALSE(result) << name;
            EXPECT_EQ(result.error().kind, ErrorKind::invalid_argument);
            EXPECT_EQ(result.error().message.find(std::string(name) + " must"), 0U) << result.error().message;
        }
    }
}

TEST(PolicyKind, NamesGoBothWaysAndOthersAreRefused) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always, PolicyKind::rate, PolicyKind::fixed,
                                  PolicyKind::grow_shrink, PolicyKind::breakeven, PolicyKind::adaptive}) {
        EXPECT_EQ(parse_policy_kind(to_string(kind)).value(), kind);
    }
    EXPECT_NE(parse_policy_kind("sometimes").error().message.find("\"sometimes\" is no policy; use one of never, "),
              std::string::npos);
}

TEST(Prefer, NamesGoBothWaysAndOthersAreRefused) {
    for (const Prefer prefer : {Prefer::latency, Prefer::balanced, Prefer::cpu}) {
        EXPECT_EQ(parse_prefer(to_string(prefer)).value(), prefer);
    }
    EXPECT_EQ(parse_prefer("comfort").error().message,
              "\"comfort\" is no preference; use one of latency, balanced, cpu");
}

}  // namespace
}  // namespace sidecore::engine
