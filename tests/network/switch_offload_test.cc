// SPDX-License-Identifier: Apache-2.0
// What a frame asks for is left to whoever accepts it, and done on the way to whoever does not.
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "network/forwarder.hh"
#include "network/switch_tools.hh"

namespace sidecore::network::test {
namespace {

class SwitchOffloadTest : public testing::Test {
protected:
    std::unique_ptr<Switch> switch_ = must(Switch::create());
    Guest from_{*switch_, {.name = "from"}};
    Guest to_{*switch_, {.name = "to"}};

    static Frame segmented(std::size_t payload_bytes) {
        Frame frame = make_frame({.to = everybody, .payload_bytes = payload_bytes});
        frame.info.gso_type = PacketInfo::gso_tcp4;
        frame.info.segment_bytes = 1000;
        return frame;
    }
};

TEST_F(SwitchOffloadTest, AChecksumIsLeftToWhoAcceptsIt) {
    const Frame frame = make_frame({.to = everybody});
    from_.send(frame.bytes, frame.info);
    const Bytes completed = to_.receive();
    EXPECT_EQ(to_.info(), PacketInfo{});
    EXPECT_TRUE(read_packet(completed).transport_checksum_right);
    ASSERT_TRUE(to_.backend().accept({true, false, false, false, false, false}).has_value());
    from_.send(frame.bytes, frame.info);
    EXPECT_EQ(to_.receive(), frame.bytes);
    EXPECT_EQ(to_.info(), frame.info);
}

TEST_F(SwitchOffloadTest, SegmentsAreLeftToWhoAcceptsThem) {
    const Frame frame = segmented(60'000);
    ASSERT_TRUE(to_.backend().accept(all_offloads).has_value());
    from_.send(frame.bytes, frame.info);
    EXPECT_EQ(to_.receive(), frame.bytes);
    EXPECT_EQ(to_.info(), frame.info);
    ASSERT_TRUE(to_.backend().accept({}).has_value());
    from_.send(frame.bytes, frame.info);
    Bytes payload;
    for (std::size_t i = 0; i < 60; ++i) {
        const ReadPacket read = read_packet(to_.receive(), to_.info());
        EXPECT_EQ(read.wrong, "");
        EXPECT_TRUE(read.transport_checksum_right);
        EXPECT_EQ(read.payload.size(), 1000U);
        payload.insert(payload.end(), read.payload.begin(), read.payload.end());
    }
    EXPECT_TRUE(to_.receive().empty());
    EXPECT_EQ(payload, part(frame.bytes, frame.payload_offset, frame.bytes.size()));
    EXPECT_EQ(traffic_of(*switch_, "from").frames_in, 2U);
    EXPECT_EQ(traffic_of(*switch_, "to").frames_out, 61U);
}

TEST_F(SwitchOffloadTest, AFrameInManyPiecesIsCutLikeAnyOther) {
    const Frame frame = segmented(4000);
    from_.send(frame.bytes, frame.info, 0, frame.bytes.size());
    Bytes payload;
    for (std::size_t i = 0; i < 4; ++i) {
        const ReadPacket read = read_packet(to_.receive(), to_.info());
        EXPECT_TRUE(read.transport_checksum_right);
        payload.insert(payload.end(), read.payload.begin(), read.payload.end());
    }
    EXPECT_EQ(payload, part(frame.bytes, frame.payload_offset, frame.bytes.size()));
}

TEST_F(SwitchOffloadTest, EachOfManyGetsWhatItAccepts) {
    Guest checksums(*switch_, {.name = "checksums"});
    Guest everything(*switch_, {.name = "everything"});
    ASSERT_TRUE(checksums.backend().accept({true, false, false, false, false, false}).has_value());
    ASSERT_TRUE(everything.backend().accept(all_offloads).has_value());
    const Frame frame = segmented(3000);
    from_.send(frame.bytes, frame.info);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(read_packet(to_.receive(), to_.info()).transport_checksum_right);
        EXPECT_FALSE(to_.info().needs_checksum());
        EXPECT_TRUE(read_packet(checksums.receive(), checksums.info()).transport_checksum_right);
        EXPECT_TRUE(checksums.info().needs_checksum());
        EXPECT_FALSE(checksums.info().segmented());
    }
    EXPECT_EQ(everything.receive(), frame.bytes);
    EXPECT_TRUE(to_.receive().empty() && checksums.receive().empty() && everything.receive().empty());
}

TEST_F(SwitchOffloadTest, AFaultIsCountedOnceAndHurtsOnlyWhoNeedsTheWork) {
    Guest everything(*switch_, {.name = "everything"});
    Guest third(*switch_, {.name = "third"});
    ASSERT_TRUE(everything.backend().accept(all_offloads).has_value());
    Frame frame = segmented(3000);
    frame.info.gso_type = PacketInfo::gso_tcp6;
    from_.send(frame.bytes, frame.info);
    EXPECT_TRUE(to_.receive().empty() && third.receive().empty());
    EXPECT_EQ(everything.receive(), frame.bytes);
    EXPECT_EQ(drops_of(*switch_, "from", PortDrop::offload_fault), 1U);
    EXPECT_EQ(from_.sender().dropped(), 1U);
}

TEST_F(SwitchOffloadTest, WhatIsNoLongerAcceptedIsNotReceived) {
    ASSERT_TRUE(to_.backend().accept(all_offloads).has_value());
    const Frame frame = segmented(3000);
    from_.send(frame.bytes, frame.info);
    const Bytes plain = plain_frame(everybody, station(2));
    from_.send(plain);
    ASSERT_TRUE(to_.backend().accept({}).has_value());
    EXPECT_EQ(to_.receive(), plain);
    EXPECT_EQ(drops_of(*switch_, "to", PortDrop::not_accepted), 1U);
}

// ---- which pair ----

std::uint32_t hash_of(const Bytes& frame) {
    const std::span<const std::byte> head = std::span(frame).first(std::min<std::size_t>(frame.size(), 128));
    return flow_hash(head, follow_headers(head, static_cast<std::uint32_t>(frame.size())));
}

TEST(FlowHash, IsTheSameForAnswersAndAnotherForOtherFlows) {
    std::set<std::uint32_t> seen;
    for (const bool ipv6 : {false, true}) {
        for (std::uint16_t port = 1; port <= 200; ++port) {
            FrameSpec spec{.ipv6 = ipv6, .source_port = port};
            Bytes frame = make_frame(spec).bytes;
            const std::uint32_t hash = hash_of(frame);
            EXPECT_TRUE(seen.insert(hash).second);
            spec.vlans = {3};
            spec.payload_bytes = 7;
            EXPECT_EQ(hash_of(make_frame(spec).bytes), hash);
            const std::size_t address_bytes = ipv6 ? 16 : 4;
            const auto addresses = frame.begin() + (ipv6 ? 14 + 8 : 14 + 12);
            std::swap_ranges(addresses, addresses + static_cast<std::ptrdiff_t>(address_bytes),
                             addresses + static_cast<std::ptrdiff_t>(address_bytes));
            const auto ports = addresses + static_cast<std::ptrdiff_t>(2 * address_bytes);
            std::swap_ranges(ports, ports + 2, ports + 2);
            EXPECT_EQ(hash_of(frame), hash);
        }
    }
}

TEST(FlowHash, AllFragmentsOfADatagramAreOneFlow) {
    Bytes first = make_frame({.tcp = false}).bytes;
    Bytes second = make_frame({.tcp = false, .source_port = 9999}).bytes;
    set_number(first, 14 + 6, 2, 0x2000);
    set_number(second, 14 + 6, 2, 1);
    EXPECT_EQ(hash_of(first), hash_of(second));
}

TEST(FlowHash, WhatHasNoAddressesOfIpHasThoseOfEthernet) {
    EXPECT_NE(hash_of(plain_frame(station(1), station(2))), hash_of(plain_frame(station(1), station(3))));
    EXPECT_EQ(hash_of(plain_frame(station(1), station(2))), hash_of(plain_frame(station(2), station(1))));
    Bytes cut = make_frame({}).bytes;
    cut.resize(20);
    EXPECT_EQ(hash_of(cut), hash_of(part(cut, 0, 14))) << "a header that is cut off has none";
}

class SwitchSteeringTest : public testing::Test {
protected:
    static constexpr std::uint16_t pairs = 4;
    std::unique_ptr<Switch> switch_ = must(Switch::create());
    Guest one_{*switch_, {.name = "one"}};
    Guest many_{*switch_, {.name = "many", .pairs = pairs}};

    /// Of a frame that is sent to it now; pairs if it comes nowhere.
    std::uint16_t pair_of(const Bytes& frame) {
        one_.send(frame);
        std::uint16_t found = pairs;
        for (std::uint16_t pair = 0; pair < pairs; ++pair) {
            if (!many_.receive(pair).empty()) {
                EXPECT_EQ(found, pairs) << "it came twice";
                found = pair;
            }
        }
        return found;
    }

    static Bytes flow(std::uint16_t port) { return make_frame({.to = everybody, .source_port = port}).bytes; }
};

TEST_F(SwitchSteeringTest, OnlyPairsInUseGetFrames) {
    for (std::uint16_t port = 1; port < 50; ++port) {
        EXPECT_EQ(pair_of(flow(port)), 0);
    }
    ASSERT_TRUE(many_.backend().set_pairs(3).has_value());
    std::set<std::uint16_t> used;
    for (std::uint16_t port = 1; port < 200; ++port) {
        const std::uint16_t pair = pair_of(flow(port));
        EXPECT_EQ(pair, pair_of(flow(port))) << "a flow stays where it is";
        used.insert(pair);
    }
    EXPECT_EQ(used, (std::set<std::uint16_t>{0, 1, 2}));
}

TEST_F(SwitchSteeringTest, AFlowComesToThePairThatItIsSentFrom) {
    ASSERT_TRUE(many_.backend().set_pairs(pairs).has_value());
    for (std::uint16_t pair = 0; pair < pairs; ++pair) {
        // The hash does not know the direction: this is the answer, too.
        many_.send(make_frame({.to = everybody, .from = station(3), .source_port = 77}).bytes, {}, pair);
        EXPECT_EQ(pair_of(flow(77)), pair);
    }
    ASSERT_TRUE(many_.backend().set_pairs(2).has_value());
    EXPECT_LT(pair_of(flow(77)), 2) << "the pair that it was sent from is no longer in use";
}

}  // namespace
}  // namespace sidecore::network::test
