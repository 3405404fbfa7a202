// SPDX-License-Identifier: Apache-2.0
// Network devices on a switch in the daemon, and on its way out.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/manager_fixture.hh"
#include "frontend/net_driver.hh"
#include "frontend/net_frame.hh"
#include "network/stream_peer.hh"

namespace sidecore::daemon {
namespace {

using frontend::NetDriver;
using network::test::StreamPeer;
using test::eventually;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Frame = std::vector<std::byte>;

frontend::MacAddress mac(std::uint8_t last) {
    return {0x02, 0, 0, 0, 0, last};
}

Frame frame(std::uint8_t from, std::uint8_t to, std::string_view text) {
    return frontend::make_udp_frame({.source_mac = mac(from), .destination_mac = mac(to)},
                                    std::as_bytes(std::span(text)));
}

class ManagerSwitches : public ManagerTest {
protected:
    control::SwitchInfo add_switch(const control::SwitchSpec& spec) {
        const auto added = manager_->add_switch(spec);
        EXPECT_TRUE(added) << added.error().message;
        return added.value_or(control::SwitchInfo{});
    }

    /// A switch with an uplink that a StreamPeer can connect to.
    control::SwitchSpec with_uplink(const std::string& name) {
        control::SwitchSpec spec{name};
        spec.uplink = control::NetworkSpec{
            .kind = control::NetworkKind::stream, .path = folder_ / (name + "-uplink.sock"), .listen = true};
        return spec;
    }

    control::DeviceSpec port(const std::string& name, std::uint16_t vlan = 0) const {
        control::DeviceSpec spec;
        spec.name = name;
        spec.type = "net";
        spec.socket = folder_ / (name + ".sock");
        spec.queues = 3;
        spec.net.network = {.kind = control::NetworkKind::port, .switch_name = "lan", .vlan = vlan};
        return spec;
    }

    NetDriver drive_net(const control::DeviceSpec& device) {
        NetDriver::Options options;
        options.queue.size = 64;
        return NetDriver::start(device.socket, options).value();
    }

    static std::uint64_t count(const control::SwitchInfo& info, const std::string& port, const std::string& name) {
        for (const control::PortInfo& each : info.ports) {
            if (each.name == port) {
                return control::counter(each.counters, name);
            }
        }
        ADD_FAILURE() << "no port " << port;
        return 0;
    }

    std::vector<std::string> switches_of(const std::string& worker) {
        for (const control::WorkerInfo& info : manager_->workers()) {
            if (info.name == worker) {
                return info.switches;
            }
        }
        return {};
    }
};

TEST_F(ManagerSwitches, CarryFramesFromGuestToGuest) {
    start();
    add_switch({"lan"});
    add(port("vm1"));
    add(port("vm2"));
    NetDriver first = drive_net(port("vm1"));
    NetDriver second = drive_net(port("vm2"));

    ASSERT_TRUE(first.send(frame(1, 2, "hello")));
    const auto heard = second.receive();
    ASSERT_TRUE(heard) << heard.error().message;
    EXPECT_EQ(heard->frame, frame(1, 2, "hello"));
    ASSERT_TRUE(second.send(frame(2, 1, "you, too")));
    const auto answer = first.receive();
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->frame, frame(2, 1, "you, too"));

    const control::SwitchInfo info = manager_->switch_info("lan").value();
    EXPECT_EQ(info.stations, 2U);
    EXPECT_EQ(count(info, "vm1", "frames_in"), 1U);
    EXPECT_EQ(count(info, "vm1", "frames_out"), 1U);
    EXPECT_EQ(count(info, "vm1", "flooded"), 1U);
    EXPECT_EQ(count(info, "vm2", "flooded"), 0U);
    const auto stations = manager_->stations("lan").value();
    ASSERT_THAT(stations, SizeIs(2));
    EXPECT_EQ(stations[0].mac, "02:00:00:00:00:01");
    EXPECT_EQ(stations[0].port, "vm1");
    EXPECT_EQ(stations[1].port, "vm2");
    EXPECT_EQ(manager_->device("vm1").value().net->network_kind, "switch");
}

TEST_F(ManagerSwitches, KeepVlansApart) {
    start();
    add_switch({"lan"});
    const control::DeviceSpec red = port("red", 10);
    const control::DeviceSpec blue = port("blue", 20);
    const control::DeviceSpec other_red = port("other-red", 10);
    for (const control::DeviceSpec& spec : {red, blue, other_red}) {
        add(spec);
    }
    NetDriver red_guest = drive_net(red);
    NetDriver blue_guest = drive_net(blue);
    NetDriver other_red_guest = drive_net(other_red);
    ASSERT_TRUE(red_guest.send(frame(1, 9, "to whom it may concern")));
    const auto heard = other_red_guest.receive();
    ASSERT_TRUE(heard) << heard.error().message;
    const control::SwitchInfo info = manager_->switch_info("lan").value();
    EXPECT_EQ(count(info, "other-red", "frames_out"), 1U);
    EXPECT_EQ(count(info, "blue", "frames_out"), 0U);
}

TEST_F(ManagerSwitches, ReachTheWorldThroughTheirUplinkWhichMoves) {
    start({{"io0"}, {"io1"}});
    control::SwitchSpec spec = with_uplink("lan");
    spec.worker = "io0";
    const control::SwitchInfo added = add_switch(spec);
    ASSERT_TRUE(added.uplink);
    EXPECT_EQ(added.uplink->network_kind, "stream");
    EXPECT_EQ(added.uplink->queue.worker, "io0");
    EXPECT_THAT(switches_of("io0"), ElementsAre("lan"));
    add(port("vm1"));
    NetDriver guest = drive_net(port("vm1"));
    auto world = StreamPeer::connect(spec.uplink->path);

    const auto exchange = [&](const std::string& text) {
        // In this order: what a guest sends is lost until the uplink has noticed that somebody has connected.
        world.put(frame(2, 1, text));
        const auto heard = guest.receive();
        ASSERT_TRUE(heard) << heard.error().message;
        EXPECT_EQ(heard->frame, frame(2, 1, text));
        ASSERT_TRUE(guest.send(frame(1, 2, text)));
        EXPECT_EQ(world.take(), frame(1, 2, text));
    };
    exchange("before");
    const auto moved = manager_->move_switch("lan", {"io1"});
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(moved->uplink->queue.worker, "io1");
    exchange("after a move");
    ASSERT_TRUE(manager_->remove_worker("io1"));
    EXPECT_THAT(switches_of("io0"), ElementsAre("lan"));
    exchange("after its worker's end");

    EXPECT_TRUE(eventually(
        [&] { return control::counter(manager_->switch_info("lan")->uplink->queue.counters, "completions") == 3; }));
    EXPECT_EQ(control::counter(manager_->switch_info("lan")->uplink->queue.counters, "moves"), 2U);
}

TEST_F(ManagerSwitches, RunTheirUplinkUnderTheDaemonsSettings) {
    start();
    add_switch(with_uplink("lan"));
    ASSERT_TRUE(manager_->change_settings({}, change(R"({"policy": {"kind": "always"}})")));
    EXPECT_TRUE(eventually([&] { return manager_->switch_info("lan")->uplink->queue.mode == "polled"; }));
    ASSERT_TRUE(manager_->change_settings({}, change(R"({"policy": {"kind": "never"}})")));
    EXPECT_TRUE(eventually([&] { return manager_->switch_info("lan")->uplink->queue.mode == "notified"; }));
    EXPECT_TRUE(eventually([&] { return manager_->switch_info("lan")->uplink->queue.armed; }));
}

// The switch learns anew, and the others hear of it.
TEST_F(ManagerSwitches, HearOfGuestsThatAreAnnounced) {
    start();
    add_switch({"lan"});
    control::DeviceSpec first = port("vm1");
    first.net.mac = "52:54:00:00:00:01";
    add(first);
    add(port("vm2"));
    EXPECT_EQ(manager_->announce_device("vm2").error().kind, ErrorKind::unsupported) << "nobody knows its address";
    NetDriver other = drive_net(port("vm2"));
    EXPECT_TRUE(manager_->announce_device("vm2")) << "its driver does";
    ASSERT_TRUE(manager_->announce_device("vm1"));
    const auto heard = other.receive();
    ASSERT_TRUE(heard) << heard.error().message;
    EXPECT_EQ(heard->frame.at(12), std::byte{0x80}) << "RARP";
    EXPECT_EQ(heard->frame.at(13), std::byte{0x35});
    EXPECT_EQ(manager_->stations("lan")->at(0).mac, "52:54:00:00:00:01");
    EXPECT_EQ(manager_->announce_device("none").error().kind, ErrorKind::not_found);
}

TEST_F(ManagerSwitches, StayWhileTheyHavePorts) {
    start();
    EXPECT_EQ(manager_->add_device(port("vm1")).error().kind, ErrorKind::not_found);
    add_switch({"lan"});
    EXPECT_EQ(manager_->add_switch({"lan"}).error().kind, ErrorKind::already_exists);
    add(port("vm1"));
    const auto refused = manager_->remove_switch("lan");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("remove vm1 first"));
    ASSERT_TRUE(manager_->remove_device("vm1"));
    ASSERT_TRUE(manager_->remove_switch("lan"));
    EXPECT_THAT(manager_->switches(), IsEmpty());
    EXPECT_EQ(manager_->switch_info("lan").error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->stations("lan").error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->remove_switch("lan").error().kind, ErrorKind::not_found);
}

TEST_F(ManagerSwitches, SayWhyTheyCannotBe) {
    start();
    control::SwitchSpec spec = with_uplink("lan");
    spec.uplink->path = folder_ / "none/uplink.sock";
    const auto refused = manager_->add_switch(spec);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("lan: "));
    EXPECT_THAT(manager_->switches(), IsEmpty());

    spec = with_uplink("lan");
    spec.worker = "io9";
    EXPECT_EQ(manager_->add_switch(spec).error().kind, ErrorKind::not_found);

    add_switch({"quiet"});
    EXPECT_EQ(manager_->move_switch("quiet", {"io0"}).error().kind, ErrorKind::invalid_argument);

    // A device that is called like the uplink.
    add_switch(with_uplink("lan"));
    EXPECT_EQ(manager_->add_device(port("uplink")).error().kind, ErrorKind::already_exists);
}

TEST_F(ManagerSwitches, ArePartOfWhatPlacementSees) {
    start({{"io0"}, {"io1"}});
    control::SwitchSpec fixed = with_uplink("fixed");
    fixed.worker = "io1";
    add_switch(fixed);
    add_switch(with_uplink("free"));
    const engine::PlacementView view = manager_->measure();
    ASSERT_THAT(view.queues, SizeIs(2));
    EXPECT_FALSE(view.queues[0].movable);
    EXPECT_TRUE(view.queues[1].movable);
    EXPECT_THAT(switches_of("io0"), ElementsAre("free"));

    engine::PlacementStep step;
    step.kind = engine::PlacementStep::Kind::move;
    step.queue = view.queues[1].id;
    step.to = view.queues[0].worker;
    ASSERT_TRUE(manager_->carry_out(step));
    EXPECT_THAT(switches_of("io1"), ElementsAre("fixed", "free"));
}

}  // namespace
}  // namespace sidecore::daemon
