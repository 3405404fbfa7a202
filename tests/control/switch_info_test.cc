// SPDX-License-Identifier: Apache-2.0
#include "control/switch_info.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/example_settings.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

SwitchInfo example_switch() {
    SwitchInfo info;
    info.name = "lan";
    info.age_s = 300;
    info.stations = 3;
    info.stations_max = 4096;
    UplinkInfo uplink{"tap", "tap lan0, 1 queue", {}};
    uplink.queue.worker = "io0";
    uplink.queue.settings = example_settings();
    uplink.queue.counters = {{"kicks", 4}};
    info.uplink = std::move(uplink);
    info.ports = {{"uplink", 0, false, {{"frames_in", 7}}}, {"vm1", 10, true, {{"frames_in", 1}, {"direct", 2}}}};
    return info;
}

TEST(SwitchInfo, IsWrittenAndReadAgain) {
    const SwitchInfo info = example_switch();
    EXPECT_EQ(parse_switch_info(to_json(info).dump()).value(), info);

    SwitchInfo alone = info;
    alone.uplink.reset();
    EXPECT_EQ(parse_switch_info(to_json(alone).dump()).value(), alone);

    const std::vector<SwitchInfo> both{info, alone};
    EXPECT_EQ(parse_switch_list(to_json(both).dump()).value(), both);
}

TEST(SwitchInfo, OfANewerDaemonMayHaveMore) {
    Json json = to_json(example_switch());
    json["colour"] = "green";
    EXPECT_EQ(parse_switch_info(json.dump()).value(), example_switch());
}

TEST(SwitchInfo, WithoutAMemberIsAnError) {
    Json json = to_json(example_switch());
    json.erase("stations_max");
    EXPECT_THAT(parse_switch_info(json.dump()).error().message, HasSubstr("stations_max"));
}

TEST(Stations, AreWrittenAndReadAgain) {
    const std::vector<StationInfo> stations{{"52:54:00:00:00:01", 0, "vm1", 3}, {"52:54:00:00:00:02", 4095, "vm2", 0}};
    EXPECT_EQ(parse_station_list(to_json(stations).dump()).value(), stations);
    EXPECT_TRUE(parse_station_list(R"({"stations": []})").value().empty());
}

}  // namespace
}  // namespace sidecore::control
