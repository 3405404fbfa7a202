// SPDX-License-Identifier: Apache-2.0
#include "network/loopback_backend.hh"

#include <vector>

#include <gtest/gtest.h>

#include "network/fake_sink.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {
namespace {

class LoopbackBackendTest : public testing::Test {
protected:
    bool send(std::uint16_t pair, std::size_t bytes, const PacketInfo& info = {}) {
        const PacketBuffer buffer(make_packet(random_, bytes), 1, info);
        const Packet packet = buffer.packet();
        return senders_.at(pair)->send({&packet, 1}) == 1;
    }
    std::uint32_t receive(std::uint16_t pair) {
        const Room room;
        PacketInfo info;
        return receivers_.at(pair)->receive(info, room.pieces());
    }

    void SetUp() override {
        for (std::uint16_t pair = 0; pair < backend_->max_pairs(); ++pair) {
            senders_.push_back(must(backend_->open_sender(pair)));
            receivers_.push_back(must(backend_->open_receiver(pair)));
        }
    }

    Random random_{1};
    std::unique_ptr<LoopbackBackend> backend_ =
        must(LoopbackBackend::create({.pairs = 3, .ring_bytes = PacketRing::bytes_min}));
    std::vector<std::unique_ptr<PacketSender>> senders_;
    std::vector<std::unique_ptr<PacketReceiver>> receivers_;
};

TEST_F(LoopbackBackendTest, EachPairHearsItself) {
    ASSERT_TRUE(backend_->set_pairs(3));
    for (const std::uint16_t pair : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{2}}) {
        ASSERT_TRUE(send(pair, 100U + pair));
    }
    for (const std::uint16_t pair : {std::uint16_t{2}, std::uint16_t{0}, std::uint16_t{1}}) {
        EXPECT_EQ(receive(pair), 100U + pair);
        EXPECT_EQ(receive(pair), 0U);
    }
}

TEST_F(LoopbackBackendTest, WhatTheSameThreadReceivesGoesStraightToTheGuest) {
    FakeSink sink;
    sink.room = 2;
    receivers_[0]->set_sink(&sink);
    std::vector<PacketBuffer> buffers;
    buffers.reserve(3);
    std::vector<Packet> packets;
    for (const std::size_t bytes : {100U, 200U, 300U}) {
        packets.push_back(buffers.emplace_back(make_packet(random_, bytes)).packet());
    }
    EXPECT_EQ(senders_[0]->send(packets), 3U);
    ASSERT_EQ(sink.frames.size(), 2U);
    EXPECT_EQ(sink.frames[0].size(), 100U);
    EXPECT_EQ(sink.frames[1].size(), 200U);
    EXPECT_EQ(sink.flushes, 1);

    sink.room = 10;
    EXPECT_TRUE(send(0, 400));
    EXPECT_EQ(sink.frames.size(), 2U) << "one waits before it";
    EXPECT_EQ(receive(0), 300U);
    EXPECT_EQ(receive(0), 400U);
    EXPECT_TRUE(send(0, 500));
    EXPECT_EQ(sink.frames.size(), 3U);

    receivers_[0]->set_sink(nullptr);
    EXPECT_TRUE(send(0, 600));
    EXPECT_EQ(receive(0), 600U);
    EXPECT_EQ(sink.frames.size(), 3U);
}

TEST_F(LoopbackBackendTest, PairsThatAreNotInUseDrop) {
    EXPECT_TRUE(send(1, 100));
    EXPECT_EQ(receive(1), 0U);
    EXPECT_EQ(senders_[1]->dropped(), 1U);
    ASSERT_TRUE(backend_->set_pairs(2));
    EXPECT_TRUE(send(1, 100));
    EXPECT_EQ(receive(1), 100U);
}

TEST_F(LoopbackBackendTest, WhatIsNotAcceptedIsDropped) {
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.checksum_start = 34;
    EXPECT_TRUE(send(0, 100, info));
    EXPECT_EQ(receive(0), 0U);
    EXPECT_EQ(senders_[0]->dropped(), 1U);
    ASSERT_TRUE(backend_->accept({.checksum = true}));
    EXPECT_TRUE(send(0, 100, info));
    EXPECT_EQ(receive(0), 100U);
    info.gso_type = PacketInfo::gso_tcp4;
    info.segment_bytes = 1000;
    EXPECT_TRUE(send(0, 3000, info));
    EXPECT_EQ(receive(0), 0U);
    EXPECT_EQ(senders_[0]->dropped(), 2U);
}

TEST_F(LoopbackBackendTest, AFullPairHoldsUpNoOther) {
    ASSERT_TRUE(backend_->set_pairs(2));
    while (send(0, 9000)) {
    }
    EXPECT_FALSE(senders_[0]->can_send() && send(0, 9000));
    EXPECT_TRUE(send(1, 9000));
    EXPECT_EQ(receive(1), 9000U);
}

TEST(LoopbackOptionsTest, WhatCannotBeIsRefused) {
    for (const std::uint16_t pairs : {std::uint16_t{0}, std::uint16_t{17}}) {
        EXPECT_EQ(LoopbackBackend::create({.pairs = pairs}).error().kind, ErrorKind::out_of_range);
    }
    EXPECT_EQ(LoopbackBackend::create({.ring_bytes = 1000}).error().kind, ErrorKind::out_of_range);
}

}  // namespace
}  // namespace sidecore::network::test
