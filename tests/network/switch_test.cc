// SPDX-License-Identifier: Apache-2.0
#include "network/switch.hh"

#include <atomic>
#include <optional>

#include <gtest/gtest.h>

#include "network/switch_tools.hh"

namespace sidecore::network::test {
namespace {

class SwitchTest : public testing::Test {
protected:
    std::unique_ptr<Switch> switch_ =
        must(Switch::create({.table = {.age_s = 300}, .now_s = [this] { return now_s_.load(); }}));
    std::atomic<std::uint32_t> now_s_{1000};
};

TEST_F(SwitchTest, WhoIsUnknownIsLookedForEverywhereButWhereTheFrameCameFrom) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    Guest c(*switch_, {.name = "c"});
    const Bytes frame = plain_frame(station(2), station(1), 1000);
    a.send(frame);
    EXPECT_EQ(b.receive(), frame);
    EXPECT_EQ(c.receive(), frame);
    EXPECT_TRUE(a.receive().empty());
    EXPECT_TRUE(b.receive().empty()) << "once";
    EXPECT_EQ(traffic_of(*switch_, "a").flooded, 1U);
}

TEST_F(SwitchTest, WhoHasBeenSeenIsFound) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    Guest c(*switch_, {.name = "c"});
    b.send(plain_frame(everybody, station(2)));
    EXPECT_FALSE(a.receive().empty());
    EXPECT_FALSE(c.receive().empty());
    const Bytes frame = plain_frame(station(2), station(1));
    a.send(frame);
    EXPECT_EQ(b.receive(), frame);
    EXPECT_TRUE(c.receive().empty());
    const PortTraffic from = traffic_of(*switch_, "a");
    EXPECT_EQ(from.frames_in, 1U);
    EXPECT_EQ(from.bytes_in, frame.size());
    EXPECT_EQ(from.flooded, 0U);
    EXPECT_EQ(traffic_of(*switch_, "b").frames_out, 1U);
    EXPECT_EQ(traffic_of(*switch_, "b").bytes_out, frame.size());
}

TEST_F(SwitchTest, GroupsAreEverybodyEvenIfOneOfTheirNumberHasBeenSeen) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    Guest c(*switch_, {.name = "c"});
    const Mac group{0x33, 0x33, 0, 0, 0, 1};
    a.send(plain_frame(group, station(1)));
    EXPECT_FALSE(b.receive().empty());
    EXPECT_FALSE(c.receive().empty());
    EXPECT_EQ(traffic_of(*switch_, "a").flooded, 0U) << "that counts strangers only";
}

TEST_F(SwitchTest, SourcesThatCannotBeAreDropped) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    a.send(plain_frame(everybody, everybody));
    a.send(plain_frame(everybody, Mac{}));
    EXPECT_TRUE(b.receive().empty());
    EXPECT_EQ(drops_of(*switch_, "a", PortDrop::bad_source), 2U);
    EXPECT_EQ(a.sender().dropped(), 2U);
    EXPECT_TRUE(switch_->table().empty());
}

TEST_F(SwitchTest, StationsAge) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    Guest c(*switch_, {.name = "c"});
    b.send(plain_frame(everybody, station(2)));
    a.receive();
    c.receive();
    now_s_ += 300;
    a.send(plain_frame(station(2), station(1)));
    EXPECT_TRUE(c.receive().empty());
    const std::vector<Switch::Row> rows = switch_->table();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].mac, station(1));
    EXPECT_EQ(rows[0].port, "a");
    EXPECT_EQ(rows[0].age_s, 0U);
    EXPECT_EQ(rows[1].mac, station(2));
    EXPECT_EQ(rows[1].port, "b");
    EXPECT_EQ(rows[1].age_s, 300U);
    now_s_ += 1;
    a.send(plain_frame(station(2), station(1)));
    EXPECT_FALSE(c.receive().empty()) << "nobody knows any more where it is";
}

TEST_F(SwitchTest, AStationThatMovesIsFoundWhereItIsNow) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    Guest c(*switch_, {.name = "c"});
    b.send(plain_frame(station(9), station(2)));
    c.send(plain_frame(station(9), station(2)));
    while (!a.receive().empty() || !b.receive().empty() || !c.receive().empty()) {
    }
    a.send(plain_frame(station(2), station(1)));
    EXPECT_TRUE(b.receive().empty());
    EXPECT_FALSE(c.receive().empty());
}

TEST_F(SwitchTest, AnAnnouncementIsLearnedAndHeard) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    a.send(plain_frame(everybody, station(7)));
    b.receive();
    ASSERT_TRUE(b.backend().announce(station(7)).has_value());
    const Bytes heard = a.receive();
    ASSERT_EQ(heard.size(), 60U);
    EXPECT_EQ(number_at(heard, 12, 2), 0x8035U);
    EXPECT_EQ(switch_->table().at(0).port, "b");
}

TEST_F(SwitchTest, AFrameToTheSendersOwnSideGoesNowhere) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    a.send(plain_frame(everybody, station(1)));
    b.receive();
    a.send(plain_frame(station(1), station(2)));
    EXPECT_TRUE(a.receive().empty());
    EXPECT_TRUE(b.receive().empty());
    EXPECT_EQ(drops_of(*switch_, "a", PortDrop::own_side), 1U);
}

TEST_F(SwitchTest, IsolatedPortsOnlyReachOthers) {
    Guest a(*switch_, {.name = "a", .isolated = true});
    Guest b(*switch_, {.name = "b", .isolated = true});
    Guest way_out(*switch_, {.name = "out"});
    b.send(plain_frame(everybody, station(2)));
    EXPECT_TRUE(a.receive().empty());
    EXPECT_FALSE(way_out.receive().empty());
    a.send(plain_frame(station(2), station(1)));
    EXPECT_TRUE(b.receive().empty());
    EXPECT_TRUE(way_out.receive().empty());
    EXPECT_EQ(drops_of(*switch_, "a", PortDrop::isolated), 1U);
    way_out.send(plain_frame(station(2), station(3)));
    EXPECT_FALSE(b.receive().empty());
    way_out.send(plain_frame(everybody, station(3)));
    EXPECT_FALSE(a.receive().empty());
    EXPECT_FALSE(b.receive().empty());
}

TEST_F(SwitchTest, VlansDoNotMeet) {
    Guest a(*switch_, {.name = "a", .vlan = 10});
    Guest b(*switch_, {.name = "b", .vlan = 10});
    Guest c(*switch_, {.name = "c", .vlan = 20});
    Guest trunk(*switch_, {.name = "trunk"});
    a.send(plain_frame(everybody, station(1)));
    EXPECT_FALSE(b.receive().empty());
    EXPECT_TRUE(c.receive().empty());
    EXPECT_FALSE(trunk.receive().empty());

    // The same address in two VLANs is two stations.
    c.send(plain_frame(everybody, station(1)));
    trunk.receive();
    b.send(plain_frame(station(1), station(2)));
    EXPECT_FALSE(a.receive().empty());
    EXPECT_TRUE(c.receive().empty());

    const Bytes tagged = tagged_frame(station(1), station(3), 20);
    trunk.send(tagged);
    EXPECT_EQ(c.receive(), tagged) << "tags stay where they are";
    EXPECT_TRUE(a.receive().empty());
    trunk.send(plain_frame(everybody, station(3)));
    EXPECT_TRUE(a.receive().empty() && b.receive().empty() && c.receive().empty())
        << "what is in no VLAN is for trunks";
}

TEST_F(SwitchTest, APortOfAVlanMaySayItsOwnTagOnly) {
    Guest a(*switch_, {.name = "a", .vlan = 10});
    Guest b(*switch_, {.name = "b", .vlan = 10});
    Guest trunk(*switch_, {.name = "trunk"});
    a.send(tagged_frame(everybody, station(1), 20));
    EXPECT_TRUE(b.receive().empty());
    EXPECT_TRUE(trunk.receive().empty());
    EXPECT_EQ(drops_of(*switch_, "a", PortDrop::wrong_vlan), 1U);
    a.send(tagged_frame(everybody, station(1), 10));
    EXPECT_FALSE(b.receive().empty());
    a.send(tagged_frame(everybody, station(1), 0));
    EXPECT_FALSE(b.receive().empty()) << "a tag for priority only";
    EXPECT_EQ(switch_->table().at(0).vlan, 10);
}

TEST_F(SwitchTest, WhatNobodyReceivesIsCountedThere) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b", .inbox_bytes = PacketRing::bytes_min});
    b.close_receiver();
    a.send(plain_frame(everybody, station(1)));
    EXPECT_EQ(drops_of(*switch_, "b", PortDrop::not_received), 1U);
    b.open_receiver();
    EXPECT_TRUE(b.receive().empty());
    const std::size_t sent = 10;
    for (std::size_t i = 0; i < sent; ++i) {
        a.send(plain_frame(everybody, station(1), 60'000));
    }
    const std::uint64_t lost = drops_of(*switch_, "b", PortDrop::inbox_full);
    EXPECT_EQ(b.receiver().dropped(), lost);
    std::size_t received = 0;
    while (!b.receive().empty()) {
        ++received;
    }
    EXPECT_EQ(received + lost, sent);
    EXPECT_GT(lost, 0U);
    EXPECT_EQ(traffic_of(*switch_, "b").frames_out, received);
}

TEST_F(SwitchTest, WhatComesBetweenTwoReceiversIsLost) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    const Bytes before = plain_frame(everybody, station(1), 100);
    const Bytes after = plain_frame(everybody, station(1), 300);
    a.send(before);
    b.close_receiver();
    a.send(plain_frame(everybody, station(1), 200));
    b.open_receiver();
    a.send(after);
    EXPECT_EQ(b.receive(), before);
    EXPECT_EQ(b.receive(), after);
    EXPECT_EQ(drops_of(*switch_, "b", PortDrop::not_received), 1U);
}

TEST_F(SwitchTest, APortThatGoesIsForgotten) {
    Guest a(*switch_, {.name = "a"});
    std::optional<Guest> b(std::in_place, *switch_, PortOptions{.name = "b"});
    Guest c(*switch_, {.name = "c"});
    b->send(plain_frame(everybody, station(2)));
    c.receive();
    a.receive();
    b.reset();
    EXPECT_TRUE(switch_->table().empty());
    EXPECT_EQ(switch_->ports().size(), 2U);
    a.send(plain_frame(station(2), station(1)));
    EXPECT_FALSE(c.receive().empty()) << "it may be anywhere now";

    // Its number goes to the next one, its name and its stations do not stick to it.
    Guest again(*switch_, {.name = "b"});
    a.send(plain_frame(station(2), station(1)));
    EXPECT_FALSE(again.receive().empty());
    EXPECT_FALSE(c.receive().empty());
}

TEST_F(SwitchTest, PortsGoOnWithoutTheirSwitch) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    switch_.reset();
    a.send(plain_frame(everybody, station(1)));
    EXPECT_FALSE(b.receive().empty());
}

TEST_F(SwitchTest, AFloodOfSourcesIsNotLearned) {
    switch_ = must(Switch::create({.table = {.entries = 64, .share = 64}}));
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    b.send(plain_frame(everybody, station(2)));
    for (std::uint32_t i = 100; i < 1000; ++i) {
        a.send(plain_frame(station(2), station(i)));
    }
    EXPECT_EQ(traffic_of(*switch_, "a").flooded, 0U) << "b is still known";
    EXPECT_GT(traffic_of(*switch_, "a").not_learned, 0U);
    EXPECT_EQ(switch_->table().size(), 2U);
}

TEST_F(SwitchTest, FramesThatAreNoneAreDropped) {
    Guest a(*switch_, {.name = "a"});
    Guest b(*switch_, {.name = "b"});
    const Bytes frame = plain_frame(everybody, station(1), 2000);
    const PacketBuffer buffer(frame);
    Packet packet = buffer.packet();
    for (const std::uint32_t bytes : {13U, 2001U, max_packet_bytes + 1}) {
        packet.bytes = bytes;
        EXPECT_EQ(a.sender().send({&packet, 1}), 1U);
    }
    EXPECT_EQ(drops_of(*switch_, "a", PortDrop::unusable), 3U);
    EXPECT_TRUE(b.receive().empty());
    for (const std::size_t pieces : {std::size_t{1024}, std::size_t{1025}, frame.size()}) {
        a.send(frame, {}, 0, pieces);
        EXPECT_EQ(b.receive(), frame) << "in " << pieces << " pieces";
    }
    a.send(plain_frame(everybody, station(1), max_packet_bytes));
    EXPECT_EQ(b.receive().size(), max_packet_bytes);
    a.send(plain_frame(everybody, station(1), min_packet_bytes));
    EXPECT_EQ(b.receive().size(), min_packet_bytes);
}

TEST_F(SwitchTest, OptionsThatMakeNoSenseAreRefused) {
    Guest a(*switch_, {.name = "a"});
    EXPECT_EQ(switch_->add_port({.name = "a"}).error().kind, ErrorKind::already_exists);
    EXPECT_EQ(switch_->add_port({.name = ""}).error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(switch_->add_port({.name = "b", .vlan = 4095}).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(switch_->add_port({.name = "b", .pairs = 0}).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(switch_->add_port({.name = "b", .pairs = 17}).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(switch_->add_port({.name = "b", .inbox_bytes = 1}).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(switch_->open_uplink_pump().error().kind, ErrorKind::not_found);
    EXPECT_FALSE(Switch::create({.table = {.entries = 1}}).has_value());
    EXPECT_FALSE(a.backend().set_pairs(2).has_value());
    EXPECT_FALSE(a.backend().open_sender(1).has_value());
    EXPECT_FALSE(a.backend().open_receiver(1).has_value());
    EXPECT_FALSE(a.backend().accept({false, true, false, false, false, false}).has_value());
    EXPECT_EQ(switch_->ports().size(), 1U);
}

TEST_F(SwitchTest, SaysWhatItIs) {
    Guest a(*switch_, {.name = "a", .vlan = 3, .isolated = true, .pairs = 2});
    EXPECT_EQ(a.backend().kind(), "switch");
    EXPECT_EQ(a.backend().description(), "switch port \"a\", 2 pairs, VLAN 3, isolated");
    EXPECT_EQ(a.backend().max_pairs(), 2);
    EXPECT_EQ(a.backend().takes(), all_offloads);
    EXPECT_EQ(a.backend().gives(), all_offloads);
    for (std::size_t drop = 0; drop < port_drops; ++drop) {
        EXPECT_NE(to_string(static_cast<PortDrop>(drop)), "unknown");
    }
    EXPECT_EQ(to_string(static_cast<PortDrop>(port_drops)), "unknown");
}

}  // namespace
}  // namespace sidecore::network::test
