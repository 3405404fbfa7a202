// SPDX-License-Identifier: Apache-2.0
#include "control/net_limits.hh"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/device_spec.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t gbit = 1'000'000'000;

Result<DeviceSpec> device_with(const std::string& limits) {
    return parse_device_spec(R"({"name": "n", "type": "net", "socket": "/run/n", "network": {"kind": "null"},
                                 "limits": )" +
                             limits + "}");
}

std::string error_of(const std::string& body) {
    const auto change = parse_net_limits_change(body);
    return change ? "" : change.error().message;
}

TEST(NetLimits, AreReadAndWrittenAgain) {
    const auto spec = device_with(R"({"transmit_rate": "2.5 Gbit", "receive_rate": 9600, "transmit_packets": 1000,
                                      "receive_packets": 1000000000, "burst": "2ms"})");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->net.limits, (NetLimits{5 * gbit / 2, 9600, 1000, gbit, 2'000'000}));
    EXPECT_EQ(parse_device_spec(to_json(*spec).dump()), *spec);
    EXPECT_EQ(to_text(to_json(spec->net.limits)),
              R"({"transmit_rate":"2500Mbit","receive_rate":"9600bit","transmit_packets":1000,)"
              R"("receive_packets":1000000000,"burst":"2ms"})");
    EXPECT_EQ(device_with("{}").value().net.limits, NetLimits{});
    EXPECT_FALSE(to_json(device_with("{}").value()).contains("limits"));
}

TEST(NetLimits, SayWhatIsWrong) {
    const auto error = [](const std::string& limits) { return device_with(limits).error().message; };
    EXPECT_EQ(error(R"({"transmit_rate": 0})"),
              "limits.transmit_rate: transmit_rate cannot be 0; allowed are 1bit to 400Gbit");
    EXPECT_THAT(error(R"({"receive_rate": "401Gbit"})"), HasSubstr("cannot be 401Gbit"));
    EXPECT_THAT(error(R"({"receive_rate": "1GB"})"), HasSubstr("is no rate"));
    EXPECT_THAT(error(R"({"receive_rate": true})"), HasSubstr("is a rate"));
    EXPECT_THAT(error(R"({"transmit_packets": 1000000001})"), HasSubstr("transmit_packets cannot be"));
    EXPECT_THAT(error(R"({"burst": "99us"})"), HasSubstr("allowed are 100us to 10s"));
    EXPECT_THAT(error(R"({"rate": 1})"), HasSubstr("unknown key"));
    const auto disk = parse_device_spec(
        R"({"name": "d", "socket": "/run/d", "storage": {"kind": "null", "size": 512}, "limits": {}})");
    ASSERT_FALSE(disk);
    EXPECT_THAT(disk.error().message, HasSubstr("limits means nothing for type = \"blk\""));
}

TEST(NetLimitsChange, LeavesWhatItDoesNotSay) {
    const auto change = parse_net_limits_change(R"({"transmit_rate": "1Gbit", "receive_packets": null})");
    ASSERT_TRUE(change) << change.error().message;
    const NetLimits before{5, 6, 7, 8, 9};
    EXPECT_EQ(change->applied_to(before), (NetLimits{gbit, 6, 7, 0, 9}));
    EXPECT_EQ(to_text(to_json(*change)), R"({"transmit_rate":"1Gbit","receive_packets":null})");
    EXPECT_EQ(parse_net_limits_change(to_text(to_json(*change))), *change);
}

TEST(NetLimitsChange, IsAtLeastOne) {
    EXPECT_EQ(error_of("{}"), "request: there is no change in it");
    EXPECT_THAT(error_of(R"({"burst": "1h"})"), HasSubstr("burst cannot be"));
    EXPECT_THAT(error_of(R"({"nonsense": 1})"), HasSubstr("unknown key"));
    EXPECT_THAT(error_of("7"), HasSubstr("limits is a table"));
}

}  // namespace
}  // namespace sidecore::control
