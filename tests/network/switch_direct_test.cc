// SPDX-License-Identifier: Apache-2.0
// From one guest's memory into another's, where both are the same thread's.
#include <functional>
#include <future>
#include <vector>

#include <gtest/gtest.h>

#include "network/fake_sink.hh"
#include "network/switch_tools.hh"

namespace sidecore::network::test {
namespace {

class SwitchDirectTest : public testing::Test {
protected:
    void TearDown() override { to_.receiver().set_sink(nullptr); }

    static Bytes numbered_frame(std::uint32_t number) {
        Bytes frame = plain_frame(everybody, station(1), 100);
        set_number(frame, 20, 4, number);
        return frame;
    }
    static std::uint32_t number_of(const Bytes& frame) { return number_at(frame, 20, 4); }

    std::unique_ptr<Switch> switch_ = must(Switch::create());
    Guest from_{*switch_, {.name = "from"}};
    Guest to_{*switch_, {.name = "to"}};
    FakeSink sink_;
};

TEST_F(SwitchDirectTest, AFrameOfTheSameThreadNeedsNoInbox) {
    to_.receiver().set_sink(&sink_);
    from_.send(numbered_frame(7));
    ASSERT_EQ(sink_.frames.size(), 1U);
    EXPECT_EQ(sink_.frames[0], numbered_frame(7));
    EXPECT_TRUE(sink_.shown);
    EXPECT_FALSE(to_.receiver().has_packet());
    EXPECT_EQ(traffic_of(*switch_, "to").direct, 1U);
    EXPECT_EQ(traffic_of(*switch_, "to").frames_out, 1U);
}

TEST_F(SwitchDirectTest, ABatchIsShownOnce) {
    Guest third(*switch_, {.name = "third"});
    FakeSink others;
    third.receiver().set_sink(&others);
    to_.receiver().set_sink(&sink_);
    std::vector<PacketBuffer> buffers;
    buffers.reserve(10);
    std::vector<Packet> packets;
    for (std::uint32_t i = 0; i < 10; ++i) {
        packets.push_back(buffers.emplace_back(numbered_frame(i)).packet());
    }
    EXPECT_EQ(from_.sender().send(packets), 10U);
    for (const FakeSink* sink : {&sink_, &others}) {
        EXPECT_EQ(sink->frames.size(), 10U);
        EXPECT_EQ(sink->flushes, 1);
        EXPECT_TRUE(sink->shown);
    }
    EXPECT_EQ(from_.sender().send({}), 0U);
    EXPECT_EQ(sink_.flushes, 1) << "a sink that got nothing is left in peace";
    third.receiver().set_sink(nullptr);
}

TEST_F(SwitchDirectTest, AnotherThreadsFramesGoToTheInbox) {
    to_.receiver().set_sink(&sink_);
    std::async(std::launch::async, [&] { from_.send(numbered_frame(1)); }).get();
    EXPECT_TRUE(sink_.frames.empty());
    EXPECT_EQ(number_of(to_.receive()), 1U);
    to_.receiver().set_sink(nullptr);
    from_.send(numbered_frame(2));
    EXPECT_TRUE(sink_.frames.empty());
    EXPECT_EQ(number_of(to_.receive()), 2U);
}

TEST_F(SwitchDirectTest, WhatDoesNotFitWaitsAndNothingPassesIt) {
    to_.receiver().set_sink(&sink_);
    std::vector<std::uint32_t> order;
    sink_.room = 2;
    for (std::uint32_t i = 0; i < 4; ++i) {
        from_.send(numbered_frame(i));
    }
    EXPECT_EQ(sink_.frames.size(), 2U);
    sink_.room = 10;
    from_.send(numbered_frame(4));
    EXPECT_EQ(sink_.frames.size(), 2U) << "two frames are before it";
    for (const Bytes& frame : sink_.frames) {
        order.push_back(number_of(frame));
    }
    for (Bytes frame = to_.receive(); !frame.empty(); frame = to_.receive()) {
        order.push_back(number_of(frame));
    }
    from_.send(numbered_frame(5));
    EXPECT_EQ(sink_.frames.size(), 3U) << "now there are none";
    order.push_back(number_of(sink_.frames.back()));
    EXPECT_EQ(order, (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5}));
}

TEST_F(SwitchDirectTest, OrderIsKeptHoweverRoomComesAndGoes) {
    to_.receiver().set_sink(&sink_);
    Random random(11);
    std::vector<std::uint32_t> order;
    std::size_t taken = 0;
    const auto take = [&] {
        for (; taken < sink_.frames.size(); ++taken) {
            order.push_back(number_of(sink_.frames[taken]));
        }
    };
    constexpr std::uint32_t frames = 5000;
    for (std::uint32_t i = 0; i < frames; ++i) {
        sink_.room = random() % 3;
        from_.send(numbered_frame(i));
        take();
        for (auto count = random() % 3; count != 0; --count) {
            if (const Bytes frame = to_.receive(); !frame.empty()) {
                order.push_back(number_of(frame));
            }
        }
    }
    for (Bytes frame = to_.receive(); !frame.empty(); frame = to_.receive()) {
        order.push_back(number_of(frame));
    }
    ASSERT_EQ(order.size(), frames);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    const std::uint64_t direct = traffic_of(*switch_, "to").direct;
    EXPECT_GT(direct, 0U);
    EXPECT_LT(direct, frames);
}

TEST_F(SwitchDirectTest, SegmentsAreDeliveredOneByOne) {
    to_.receiver().set_sink(&sink_);
    Frame frame = make_frame({.to = everybody, .payload_bytes = 2500});
    frame.info.gso_type = PacketInfo::gso_tcp4;
    frame.info.segment_bytes = 1000;
    from_.send(frame.bytes, frame.info);
    ASSERT_EQ(sink_.frames.size(), 3U);
    EXPECT_EQ(sink_.flushes, 1);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(read_packet(sink_.frames[i], sink_.infos[i]).transport_checksum_right);
    }
}

/// The sender's memory changes while the frame is on its way: between the first sink's and the second one's copy, for instance.
TEST_F(SwitchDirectTest, AddressesThatWereLookedAtAreThoseThatAreSent) {
    class Meddler final : public PacketSink {
    public:
        bool deliver(const Packet&) noexcept override {
            meddle();
            return true;
        }
        void flush() noexcept override {}
        std::function<void()> meddle;
    };
    const Bytes original = plain_frame(station(9), station(1), 300);
    PacketBuffer buffer(original);
    Meddler meddler;
    meddler.meddle = [&] { buffer.spoil(); };
    to_.receiver().set_sink(&meddler);
    Guest second(*switch_, {.name = "second"});
    second.receiver().set_sink(&sink_);
    const Packet packet = buffer.packet();
    from_.sender().send({&packet, 1});
    second.receiver().set_sink(nullptr);
    ASSERT_EQ(sink_.frames.size(), 1U);
    EXPECT_EQ(part(sink_.frames[0], 0, 128), part(original, 0, 128));
}

}  // namespace
}  // namespace sidecore::network::test
