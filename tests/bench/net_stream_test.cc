// SPDX-License-Identifier: Apache-2.0
#include "net_stream.hh"

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "engine/wait.hh"
#include "frontend/net_device.hh"

namespace sidecore::bench {
namespace {

using frontend::DriverQueue;
using frontend::GuestMemoryFile;
using frontend::test::NetDevice;

/// A pair, and a device that sends everything back.
class NetStreams : public testing::Test {
protected:
    NetStream stream(const NetStream::Options& options) {
        return NetStream::create(
                   {.memory = &memory, .receive = &receive, .transmit = &transmit, .features = 1ULL << 32U}, options)
            .value();
    }

    GuestMemoryFile memory = GuestMemoryFile::create(32U << 20U).value();
    DriverQueue receive = DriverQueue::create(memory, {.size = 256}).value();
    DriverQueue transmit = DriverQueue::create(memory, {.size = 256}).value();
    NetDevice device{memory, {{.receive = &receive, .transmit = &transmit}}, nullptr, {.loop = true}};
    const std::uint64_t start = cycles();

    std::uint64_t at(std::uint64_t us) const { return start + ns_to_cycles(us * 1000); }
};

constexpr Arrivals::Options one_a_millisecond{.rate = 1000, .kind = Arrivals::Kind::periodic};

TEST_F(NetStreams, RequestsOfAnOpenLoopCountFromTheirArrival) {
    NetStream load = stream({.mode = NetMode::request_response, .arrivals = one_a_millisecond, .chains = {.depth = 4}});
    load.forget(start);
    load.turn(at(0));  // the first
    EXPECT_EQ(load.behind(at(500)), 0U);
    // Nothing is looked at for 20 ms: 20 more have arrived, and four can be under way.
    const auto turn_until = [&](std::uint64_t responses) {
        EXPECT_TRUE(eventually([&] {
            load.turn(at(20'000));
            return load.counts().responses >= responses;
        }));
    };
    turn_until(1);
    EXPECT_GT(load.behind(at(20'000)), 0U);
    turn_until(21);
    EXPECT_EQ(load.behind(at(20'000)), 0U);
    EXPECT_TRUE(load.finish_all());
    EXPECT_EQ(load.counts().responses, 21U);
    EXPECT_EQ(load.counts().lost + load.counts().strangers, 0U);
    const auto us = [&](double share) {
        return static_cast<double>(cycles_to_ns(load.histogram().percentile(share))) / 1e3;
    };
    EXPECT_NEAR(us(1), 20'000, 1000) << "the first one was seen to end then";
    EXPECT_NEAR(us(0.5), 10'000, 1000) << "and each later one had waited since its own arrival";
}

TEST_F(NetStreams, RequestsOfAClosedLoopGoOneByOne) {
    NetStream load = stream({.mode = NetMode::request_response, .chains = {.depth = 4}});
    EXPECT_TRUE(eventually([&] {
        load.turn(cycles());
        return load.counts().responses >= 100;
    }));
    EXPECT_TRUE(load.finish_all());
    EXPECT_LE(load.counts().transmitted, load.counts().responses + 1);
    EXPECT_EQ(load.behind(UINT64_MAX), 0U);
}

TEST_F(NetStreams, FramesOfAnOpenLoopGoWhenTheyAreDue) {
    NetStream load =
        stream({.mode = NetMode::loop, .batch = 8, .arrivals = one_a_millisecond, .chains = {.depth = 64}});
    load.forget(start);
    const auto sent = [&](std::size_t frames) {
        return eventually([&] { return device.transmitted().size() >= frames; }) &&
               device.transmitted().size() == frames;
    };
    load.turn(at(0));
    EXPECT_TRUE(sent(1));
    load.turn(at(900));
    EXPECT_TRUE(sent(1));
    load.turn(at(5'500));
    EXPECT_TRUE(sent(6));
    load.turn(at(30'500));
    EXPECT_TRUE(sent(14)) << "a batch at a time";
    EXPECT_GT(load.behind(at(30'500)), 0U);
    load.turn(at(30'500));
    load.turn(at(30'500));
    EXPECT_TRUE(sent(30));
    load.turn(at(30'500));
    EXPECT_TRUE(sent(31));
    EXPECT_EQ(load.behind(at(30'500)), 0U);
    EXPECT_TRUE(load.finish_all());
    EXPECT_EQ(load.counts().transmitted, 31U);
}

TEST_F(NetStreams, KicksCostWhatTheyAreSaidTo) {
    NetStream load = stream({.mode = NetMode::transmit, .batch = 1, .kick_cost_ns = 2'000'000, .chains = {.depth = 4}});
    const std::uint64_t before = monotonic_ns();
    EXPECT_TRUE(eventually([&] {
        load.turn(cycles());
        return load.counts().transmit_kicks >= 10;
    }));
    EXPECT_GE(monotonic_ns() - before, 10 * 2'000'000U);
    EXPECT_TRUE(load.finish_all());
}

}  // namespace
}  // namespace sidecore::bench
