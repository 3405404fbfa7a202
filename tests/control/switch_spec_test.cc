// SPDX-License-Identifier: Apache-2.0
#include "control/switch_spec.hh"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& members) {
    const auto spec = parse_switch_spec(R"({"name": "lan")" + (members.empty() ? "" : ", " + members) + "}");
    return spec ? "" : spec.error().message;
}

constexpr auto tap = R"("uplink": {"kind": "tap", "interface": "tap0"})";

TEST(SwitchSpec, OfANameAloneIsAllDefaults) {
    const auto spec = parse_switch_spec(R"({"name": "lan"})");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(*spec, SwitchSpec{"lan"});
    EXPECT_EQ(spec->age_s, 300U);
    EXPECT_EQ(spec->stations, 4096U);
    EXPECT_FALSE(spec->uplink);
}

TEST(SwitchSpec, IsReadAndWrittenAgain) {
    const auto spec = parse_switch_spec(
        R"({"name": "lan", "age": "90s", "stations": 1000, "mtu": 9000, "worker": "io1",
            "uplink": {"kind": "tap", "interface": "lan0", "vlan": 10, "isolated": true}})");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->age_s, 90U);
    EXPECT_EQ(spec->stations, 1000U);
    EXPECT_EQ(spec->mtu, 9000);
    EXPECT_EQ(spec->worker, "io1");
    ASSERT_TRUE(spec->uplink);
    EXPECT_EQ(spec->uplink->interface, "lan0");
    EXPECT_EQ(spec->uplink->vlan, 10);
    EXPECT_TRUE(spec->uplink->isolated);
    EXPECT_EQ(parse_switch_spec(to_json(*spec).dump()), *spec);
}

TEST(SwitchSpec, SaysWhatIsWrong) {
    EXPECT_THAT(parse_switch_spec("{}").error().message, HasSubstr("name"));
    EXPECT_THAT(error_of(R"("age": "0s")"), HasSubstr("age"));
    EXPECT_THAT(error_of(R"("age": "1500ms")"), HasSubstr("whole number of seconds"));
    EXPECT_THAT(error_of(R"("stations": 10)"), HasSubstr("stations"));
    EXPECT_THAT(error_of(R"("worker": "io0")"), HasSubstr("worker means nothing without an uplink"));
    EXPECT_THAT(error_of(R"("mtu": 9000)"), HasSubstr("mtu means nothing without an uplink"));
    EXPECT_THAT(error_of(std::string(tap) + R"(, "mtu": 1)"), HasSubstr("mtu"));
    EXPECT_THAT(error_of(R"("mtu": 9000, "uplink": {"kind": "stream", "path": "/run/s"})"),
                HasSubstr("mtu means nothing but for an uplink of kind = \"tap\""));
    EXPECT_THAT(error_of(R"("uplink": {"kind": "switch", "switch": "other"})"), HasSubstr("allowed are"));
    EXPECT_THAT(error_of(R"("uplink": {"kind": "tap", "path": "/x"})"), HasSubstr("path means nothing"));
    EXPECT_THAT(error_of(R"("uplink": {"kind": "tap", "vlan": 4095})"), HasSubstr("vlan"));
    EXPECT_THAT(error_of(R"("vlan": 3)"), HasSubstr("vlan"));
}

}  // namespace
}  // namespace sidecore::control
