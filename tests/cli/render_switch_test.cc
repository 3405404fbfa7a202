// SPDX-License-Identifier: Apache-2.0
#include "cli/render_switch.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/fake_service.hh"

namespace sidecore::cli {
namespace {

using test::FakeService;
using ::testing::HasSubstr;

TEST(RenderSwitch, ListsSwitches) {
    control::SwitchInfo alone = FakeService::make_switch("dmz");
    alone.uplink.reset();
    EXPECT_EQ(render_switches({FakeService::make_switch("lan"), alone}),
              "NAME  PORTS  STATIONS    OF  WORKER  UPLINK\n"
              "lan       2         3  4096  io0     tap lan0, 1 queue\n"
              "dmz       2         3  4096  -       -\n");
}

TEST(RenderSwitch, ShowsItsPortsAndWhatTheyLost) {
    EXPECT_EQ(
        render_switch(FakeService::make_switch("lan")),
        "name        lan\n"
        "stations    3 of 4096, forgotten after 300 s of silence\n"
        "uplink      tap lan0, 1 queue\n"
        "worker      io0\n"
        "mode        notified for 3.2 s\n"
        "\n"
        "PORT    VLAN  ISOLATED  FRAMES IN  BYTES IN  FRAMES OUT  BYTES OUT  FLOODED  DROPPED\n"
        "uplink     -  no               10      1KiB          12       2KiB        0  0\n"
        "vm1       10  yes              12      2KiB          10       1KiB        1  5 (isolated 2, inbox_full 3)\n");
    control::SwitchInfo alone = FakeService::make_switch("lan");
    alone.uplink.reset();
    EXPECT_THAT(render_switch(alone), HasSubstr("uplink      none\n"));
}

TEST(RenderSwitch, ShowsWhoIsBehindWhichPort) {
    EXPECT_EQ(render_stations({{"52:54:00:00:00:01", 0, "vm1", 3}, {"52:54:00:00:00:02", 10, "vm2", 0}}),
              "MAC                VLAN  PORT    HEARD\n"
              "52:54:00:00:00:01     -  vm1   3 s ago\n"
              "52:54:00:00:00:02    10  vm2   0 s ago\n");
}

}  // namespace
}  // namespace sidecore::cli
