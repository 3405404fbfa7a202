// SPDX-License-Identifier: Apache-2.0
// Rate limits of a network device, as its queues keep them.
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "device/driven_net.hh"
#include "device/fake_clock.hh"
#include "engine/wait.hh"
#include "engine/worker.hh"

namespace sidecore::device {
namespace {

using engine::TurnEnd;

constexpr std::uint16_t receive = 0;
constexpr std::uint16_t transmit = 1;
constexpr std::uint64_t ms = 1'000'000;

NetDevice::Options with(const NetLimits& limits) {
    fake_now_ns = 1000 * ms;
    return {.name = "net0", .limits = limits, .clock = &fake_clock};
}

/// A thousand packets a second, ten of them saved up.
constexpr RateLimits thousand{.packets_per_s = 1000, .burst_ns = 10 * ms};

class TransmitLimit : public testing::Test {
protected:
    DrivenNet net{transmit, with({.transmit = thousand}), 0, 256};

    void offer_packets(std::uint64_t first, std::uint64_t count, std::size_t bytes = 100) {
        for (std::uint64_t i = first; i < first + count; ++i) {
            net.offer_readable(std::array{header_bytes({}), pattern(bytes, i)});
        }
    }
    NetCounts counts() { return net.device().transmitted(); }
};

TEST_F(TransmitLimit, TheRestWaitsInTheRingAndNothingIsLostOrOvertaken) {
    offer_packets(0, 40);
    engine::Turn turn = net.serve();
    EXPECT_EQ(turn.requests, 10U);
    EXPECT_EQ(turn.end, TurnEnd::waiting);
    EXPECT_EQ(net.queue().pending(), 0U) << "nobody else is to make room for it";
    EXPECT_EQ(net.used().size(), 10U);
    EXPECT_TRUE(net.queue().arm());
    turn = net.serve();
    EXPECT_EQ(turn.requests, 0U);
    EXPECT_EQ(turn.end, TurnEnd::waiting);

    fake_now_ns += 5 * ms;
    EXPECT_FALSE(net.queue().arm()) << "its time has come";
    EXPECT_TRUE(net.queue().has_work());
    EXPECT_EQ(net.serve().requests, 5U);
    for (int i = 0; i < 25; ++i) {
        fake_now_ns += ms;
        EXPECT_EQ(net.serve().requests, 1U);
    }
    ASSERT_EQ(net.link().sent.size(), 40U);
    for (std::uint64_t i = 0; i < 40; ++i) {
        EXPECT_EQ(net.link().sent[i].bytes, pattern(100, i)) << i;
    }
    EXPECT_FALSE(net.queue().has_work());
    EXPECT_TRUE(net.queue().arm());
    EXPECT_EQ(counts().packets, 40U);
    EXPECT_EQ(counts().throttled, 26U);
    EXPECT_EQ(counts().throttled_ns, 30 * ms);
}

TEST_F(TransmitLimit, WhatIsDroppedCostsNothing) {
    for (std::uint64_t i = 0; i < 12; ++i) {
        offer_packets(0, 1, 13);  // no Ethernet header
        offer_packets(i, 1);
    }
    EXPECT_EQ(net.serve().requests, 21U);
    EXPECT_EQ(net.link().sent.size(), 10U);
    EXPECT_EQ(counts().dropped_too_short, 11U);
}

TEST_F(TransmitLimit, ALinkWithoutRoomGetsItsTokensBack) {
    net.link().room = 4;
    offer_packets(0, 20);
    EXPECT_EQ(net.serve().requests, 4U);
    net.link().room = SIZE_MAX;
    fake_now_ns += ms;
    EXPECT_EQ(net.serve().requests, 7U) << "the six and one more";
    EXPECT_EQ(net.link().sent.size(), 11U);
}

TEST_F(TransmitLimit, TakingItOffLetsAWaitingQueueGo) {
    offer_packets(0, 40);
    net.serve();
    EXPECT_TRUE(net.queue().arm());
    net.device().set_limits({});
    EXPECT_FALSE(net.queue().arm());
    EXPECT_EQ(net.serve().requests, 30U);
    EXPECT_EQ(net.device().limits(), NetLimits{});

    net.device().set_limits({.transmit = {.bits_per_s = 8'000'000, .burst_ns = ms}});  // 1000 bytes a millisecond
    offer_packets(40, 20);
    EXPECT_EQ(net.serve().requests, 10U);
    net.device().set_limits({.receive = thousand});
    EXPECT_EQ(net.serve().requests, 10U) << "the other way is not this one's business";
}

TEST_F(TransmitLimit, APacketLongerThanTheBurstPasses) {
    net.device().set_limits({.transmit = {.bits_per_s = 8'000'000, .burst_ns = ms}});
    offer_packets(0, 2, 9000);
    EXPECT_EQ(net.serve().requests, 1U);
    fake_now_ns += 8 * ms;
    EXPECT_EQ(net.serve().requests, 0U);
    fake_now_ns += ms;
    EXPECT_EQ(net.serve().requests, 1U);
}

class ReceiveLimit : public testing::Test {
protected:
    DrivenNet net{receive, with({.receive = thousand}), 0, 256};

    void offer_buffers(int count) {
        for (int i = 0; i < count; ++i) {
            net.offer_writable(1526);
        }
    }
    void arrive(std::uint64_t first, std::uint64_t count, std::size_t bytes = 100) {
        for (std::uint64_t i = first; i < first + count; ++i) {
            net.link().waiting.push_back({{}, pattern(bytes, i)});
        }
    }
    NetCounts counts() { return net.device().received(); }
};

TEST_F(ReceiveLimit, PacketsWaitInTheBackEnd) {
    offer_buffers(40);
    arrive(0, 20);
    engine::Turn turn = net.serve();
    EXPECT_EQ(turn.requests, 10U);
    EXPECT_EQ(turn.end, TurnEnd::waiting);
    EXPECT_EQ(net.link().waiting.size(), 10U);
    EXPECT_EQ(net.queue().next_available(), 10) << "no buffer is kept";
    EXPECT_TRUE(net.queue().arm());
    EXPECT_FALSE(net.link().packet_armed) << "packets are of no interest now";
    EXPECT_EQ(net.serve().end, TurnEnd::waiting);
    fake_now_ns += 3 * ms;
    EXPECT_FALSE(net.queue().arm());
    EXPECT_TRUE(net.queue().has_work());
    EXPECT_EQ(net.serve().requests, 3U);
    EXPECT_EQ(counts().throttled, 2U);
    EXPECT_EQ(counts().throttled_ns, 3 * ms);
    net.device().set_limits({});
    EXPECT_EQ(net.serve().requests, 7U);
    EXPECT_TRUE(net.queue().arm());
    EXPECT_TRUE(net.link().packet_armed);
    const auto used = net.used();
    ASSERT_EQ(used.size(), 20U);
    EXPECT_EQ(used.front().length, 112U);
}

TEST_F(ReceiveLimit, AnEmptyNetworkIsNotWaitedForWithATimer) {
    offer_buffers(40);
    arrive(0, 10);
    const engine::Turn turn = net.serve();
    EXPECT_EQ(turn.requests, 10U);
    EXPECT_EQ(turn.end, TurnEnd::empty);
    EXPECT_TRUE(net.queue().arm());
    EXPECT_TRUE(net.link().packet_armed);
    EXPECT_EQ(counts().throttled, 0U);
    arrive(10, 1);
    EXPECT_TRUE(net.queue().has_work());
    EXPECT_EQ(net.serve().end, TurnEnd::waiting);
}

TEST_F(ReceiveLimit, BytesCountToo) {
    net.device().set_limits({.receive = {.bits_per_s = 8'000'000, .burst_ns = 10 * ms}});  // 10000 bytes
    offer_buffers(40);
    arrive(0, 20, 1500);
    EXPECT_EQ(net.serve().requests, 7U) << "what there was for the last of them was not enough";
    fake_now_ns += ms / 2;
    EXPECT_EQ(net.serve().requests, 0U);
    fake_now_ns += 10 * ms;
    EXPECT_EQ(net.serve().requests, 7U);
}

TEST_F(ReceiveLimit, ASenderOnTheSameThreadIsHeldToIt) {
    net.queue().entered();
    offer_buffers(40);
    std::vector<std::byte> bytes = pattern(60, 2);
    const std::array pieces{iovec{bytes.data(), bytes.size()}};
    const network::Packet packet{{}, pieces, 60};
    for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(net.link().sink->deliver(packet)) << i;
    }
    EXPECT_FALSE(net.link().sink->deliver(packet));
    net.link().sink->flush();
    EXPECT_EQ(net.used().size(), 10U);
    EXPECT_EQ(net.queue().next_available(), 10) << "no buffer is kept";
    arrive(0, 1, 60);  // where a packet goes that cannot be delivered
    EXPECT_EQ(net.serve().end, TurnEnd::waiting);
    fake_now_ns += 5 * ms;
    EXPECT_FALSE(net.link().sink->deliver(packet)) << "one waits already";
    EXPECT_EQ(net.serve().requests, 1U);
    EXPECT_TRUE(net.link().sink->deliver(packet));
    net.queue().left();
}

TEST(NetLimitsOptions, ALimitThatIsThereFromTheBeginningIsKept) {
    DrivenNet net(transmit, with({.transmit = {.packets_per_s = 3}, .receive = thousand}));
    EXPECT_EQ(net.device().limits(), (NetLimits{.transmit = {.packets_per_s = 3}, .receive = thousand}));
}

/// On a worker of its own, by the real clock, polled for all that the policy has to say.
class LimitOnAWorker : public testing::Test {
protected:
    void attach(const NetLimits& limits) {
        net_ = std::make_unique<DrivenNet>(transmit, NetDevice::Options{.name = "net0", .limits = limits}, 0, 256);
        for (std::uint64_t i = 0; i < packets; ++i) {
            net_->offer_readable(std::array{header_bytes({}), pattern(100, i)});
        }
        const engine::QueueSettings settings{.policy = {.kind = engine::PolicyKind::always}};
        ASSERT_TRUE(worker_->attach(net_->queue(), {settings, &statistics_}));
    }
    void TearDown() override { worker_->detach(net_->queue()); }

    std::uint64_t sent() { return net_->device().transmitted().packets; }

    static constexpr std::uint64_t packets = 60;
    engine::QueueStatistics statistics_;
    std::unique_ptr<DrivenNet> net_;
    std::unique_ptr<engine::Worker> worker_ = must(engine::Worker::create({}));
};

TEST_F(LimitOnAWorker, AllGoNoFasterThanTheLimit) {
    const std::uint64_t start_ns = monotonic_ns();
    attach({.transmit = {.packets_per_s = 1000, .burst_ns = 10 * ms}});
    ASSERT_TRUE(eventually([&] { return sent() == packets; }));
    EXPECT_GE(monotonic_ns() - start_ns, 50 * ms);
    worker_->execute([&] { EXPECT_EQ(net_->link().sent.size(), packets); });
    EXPECT_GE(net_->device().transmitted().throttled, 1U);
}

TEST_F(LimitOnAWorker, AWaitingQueueIsNotPolledAndGoesWhenTheLimitIsTakenOff) {
    attach({.transmit = {.packets_per_s = 1, .burst_ns = 1000 * ms}});
    ASSERT_TRUE(eventually([&] { return statistics_.read().armed; }));
    EXPECT_EQ(statistics_.read().mode, engine::Mode::polled);
    EXPECT_FALSE(statistics_.read().listed);
    EXPECT_LT(sent(), packets);
    net_->device().set_limits({});
    EXPECT_TRUE(eventually([&] { return sent() == packets; }));
}

}  // namespace
}  // namespace sidecore::device
