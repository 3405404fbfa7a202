// SPDX-License-Identifier: Apache-2.0
#include "daemon/host_costs.hh"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config.hh"

namespace sidecore::daemon {
namespace {

constexpr auto brief = engine::CalibrationEffort::brief;

using ::testing::HasSubstr;

CostSpec spec_of(std::string_view table) {
    return parse_config("[costs]\n" + std::string(table), "f.toml").value().costs;
}

std::string error_of(std::string_view table) {
    const auto config = parse_config("[costs]\n" + std::string(table), "f.toml");
    return config ? "no error" : config.error().front().where + ": " + config.error().front().what;
}

constexpr std::string_view everything =
    "check = \"3ns\"\narm = \"50ns\"\nkick = \"1us\"\nwake = \"2us\"\nwake_latency = \"4us\"\nsee_kick = \"500ns\"\n";

const control::CostInfo& find(const HostCosts& costs, std::string_view name) {
    return *std::ranges::find(costs.info.values, name, &control::CostInfo::name);
}

TEST(HostCosts, AreMeasured) {
    const auto costs = find_host_costs({}, brief);
    ASSERT_TRUE(costs) << costs.error().message;
    ASSERT_EQ(costs->info.values.size(), 6U);
    for (const control::CostInfo& cost : costs->info.values) {
        EXPECT_GT(cost.value_ns, 0) << cost.name;
        EXPECT_LE(cost.low_ns, cost.value_ns) << cost.name;
        EXPECT_GE(cost.high_ns, cost.value_ns) << cost.name;
        EXPECT_FALSE(cost.how.empty()) << cost.name;
    }
    EXPECT_EQ(find(*costs, "kick").value_ns, costs->costs.kick_ns);
    EXPECT_EQ(find(*costs, "wake_latency").value_ns, costs->costs.wake_latency_ns);
    ASSERT_EQ(costs->info.sleep_prices_ns.size(), 3U);
    EXPECT_EQ(costs->info.sleep_prices_ns[1].first, "balanced");
    EXPECT_EQ(costs->info.sleep_prices_ns[1].second, costs->costs.sleep_price_ns(engine::Prefer::balanced));
}

TEST(HostCosts, WhatIsGivenIsNotMeasured) {
    const auto costs = find_host_costs(spec_of("kick = \"1234ns\"\n"), brief);
    ASSERT_TRUE(costs) << costs.error().message;
    ASSERT_EQ(costs->info.values.size(), 6U);
    EXPECT_EQ(costs->costs.kick_ns, 1234);
    EXPECT_EQ(find(*costs, "kick").value_ns, 1234);
    EXPECT_EQ(find(*costs, "kick").how, "given in the configuration");
    EXPECT_THAT(find(*costs, "wake").how, HasSubstr("CPU time"));
}

TEST(HostCosts, TakeNoTimeIfAllAreGiven) {
    const auto costs = find_host_costs(spec_of(everything), brief);
    ASSERT_TRUE(costs);
    const engine::Costs& values = costs->costs;
    EXPECT_EQ(values.check_ns, 3);
    EXPECT_EQ(values.arm_ns, 50);
    EXPECT_EQ(values.kick_ns, 1000);
    EXPECT_EQ(values.wake_ns, 2000);
    EXPECT_EQ(values.wake_latency_ns, 4000);
    EXPECT_EQ(values.see_kick_ns, 500);
    for (const control::CostInfo& cost : costs->info.values) {
        EXPECT_EQ(cost.how, "given in the configuration") << cost.name;
    }
}

TEST(HostCosts, AVmExitComesOnTopOfAKick) {
    const auto costs = find_host_costs(spec_of("vm_exit = \"1ms\"\n"), brief);
    ASSERT_TRUE(costs);
    EXPECT_GE(costs->costs.kick_ns, 1e6);
    EXPECT_THAT(find(*costs, "kick").how, HasSubstr("VM exit"));
}

TEST(HostCosts, RefuseWhatIsWrong) {
    EXPECT_EQ(error_of("kick = 5\n"), "f.toml:2:8: kick is a duration in a string, like \"3s\", not an integer");
    EXPECT_EQ(error_of("kick = \"2s\"\n"), "f.toml:2:8: kick cannot be 2s; allowed are 1ns to 1s");
    EXPECT_EQ(error_of("kick = \"0\"\n"), "f.toml:2:8: kick cannot be 0; allowed are 1ns to 1s");
    EXPECT_EQ(error_of("kick = \"2us\"\nvm_exit = \"1us\"\n"),
              "f.toml:3:11: vm_exit means nothing beside kick, which says all that a kick costs");
    EXPECT_EQ(error_of("sleep = \"2us\"\n"),
              "f.toml:2:1: unknown key \"sleep\"; costs can have arm, check, kick, "
              "see_kick, vm_exit, wake, wake_latency");
}

}  // namespace
}  // namespace sidecore::daemon
