// SPDX-License-Identifier: Apache-2.0
#include "device/throttle.hh"

#include <array>
#include <atomic>
#include <poll.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"
#include "device/fake_clock.hh"
#include "engine/wait.hh"

namespace sidecore::device {
namespace {

using network::Packet;
using network::PacketInfo;

constexpr std::uint64_t ms = 1'000'000;

bool readable(int fd, int timeout_ms) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, timeout_ms) == 1;
}

std::vector<Packet> packets(std::size_t count, std::uint32_t bytes) {
    return std::vector<Packet>(count, Packet{{}, {}, bytes});
}

class ThrottleTest : public testing::Test {
protected:
    void SetUp() override { fake_now_ns = 1000 * ms; }
    static void pass(std::uint64_t time_ns) { fake_now_ns += time_ns; }

    RateLimiter limiter_{&fake_clock};
    NetCounters counters_;
    std::unique_ptr<Throttle> throttle_ = must(Throttle::create(limiter_, counters_));
};

TEST_F(ThrottleTest, WithoutALimitEverythingGoes) {
    EXPECT_EQ(throttle_->admit(packets(64, 65'535)), 64U);
    EXPECT_TRUE(throttle_->ready());
    throttle_->charge({}, 65'535);
    EXPECT_TRUE(throttle_->admit_now(packets(1, 65'535)[0]));
    EXPECT_FALSE(throttle_->closed());
    limiter_.set({.burst_ns = ms});
    EXPECT_EQ(throttle_->admit(packets(64, 65'535)), 64U) << "a burst alone is no limit";
}

TEST_F(ThrottleTest, HoldsWhatIsTooMuchUntilItsTimeHasCome) {
    limiter_.set({.packets_per_s = 1000});  // 10 ms of it: 10 packets
    EXPECT_EQ(throttle_->admit(packets(64, 60)), 10U);
    ASSERT_TRUE(throttle_->closed());
    EXPECT_EQ(counters_.throttled.get(), 1U);
    EXPECT_FALSE(throttle_->reopen());
    EXPECT_TRUE(throttle_->arm());
    pass(ms - 1);
    EXPECT_FALSE(throttle_->reopen());
    pass(1);
    EXPECT_FALSE(throttle_->arm());
    EXPECT_TRUE(throttle_->reopen());
    EXPECT_FALSE(throttle_->closed());
    EXPECT_EQ(counters_.throttled_ns.get(), ms);
    EXPECT_EQ(throttle_->admit(packets(64, 60)), 1U);
}

TEST_F(ThrottleTest, TheTimerFires) {
    limiter_.set({.packets_per_s = 1000});
    throttle_->admit(packets(64, 60));
    EXPECT_TRUE(throttle_->arm());
    EXPECT_TRUE(readable(throttle_->fd(), 20'000));
    EXPECT_FALSE(throttle_->reopen()) << "its clock stands still, which is nothing to the timer";
    EXPECT_TRUE(throttle_->arm());
    EXPECT_TRUE(readable(throttle_->fd(), 20'000));
}

TEST_F(ThrottleTest, BothLimitsHoldAndWhatOnlyOneAllowsCostsNothing) {
    limiter_.set({.bits_per_s = 8'000'000, .packets_per_s = 2000, .burst_ns = 10 * ms});  // 10000 bytes, 20 packets
    EXPECT_EQ(throttle_->admit(packets(64, 100)), 20U);
    pass(10 * ms);
    EXPECT_EQ(throttle_->admit(packets(64, 1000)), 10U) << "the bytes of those 44 were given back";
    EXPECT_FALSE(throttle_->admit_now(packets(1, 60)[0]));
    pass(ms);
    EXPECT_FALSE(throttle_->admit_now(packets(1, 1001)[0]));
    EXPECT_TRUE(throttle_->admit_now(packets(1, 1000)[0]));
}

TEST_F(ThrottleTest, WhatWasAdmittedAndDidNotGoIsGivenBack) {
    limiter_.set({.bits_per_s = 8'000'000, .packets_per_s = 2000, .burst_ns = 10 * ms});
    const std::vector<Packet> batch = packets(10, 1000);
    EXPECT_EQ(throttle_->admit(batch), 10U);
    throttle_->give_back(std::span(batch).subspan(4));
    EXPECT_EQ(throttle_->admit(batch), 6U);
}

TEST_F(ThrottleTest, APacketThatIsSeenLateIsPaidForByThoseAfterIt) {
    limiter_.set({.bits_per_s = 8'000'000, .burst_ns = ms});  // 1000 bytes
    EXPECT_TRUE(throttle_->ready());
    throttle_->charge({}, 9000);
    EXPECT_FALSE(throttle_->ready());
    throttle_->close();
    EXPECT_TRUE(throttle_->closed());
    pass(8 * ms);
    EXPECT_FALSE(throttle_->reopen());
    pass(ms);
    EXPECT_TRUE(throttle_->reopen());
    EXPECT_TRUE(throttle_->ready());
    EXPECT_EQ(counters_.throttled_ns.get(), 9 * ms);
}

TEST_F(ThrottleTest, TheDefaultBurstHasRoomForAPacketOfAnyLength) {
    limiter_.set({.bits_per_s = 1'000'000});
    EXPECT_EQ(throttle_->admit(packets(2, network::max_packet_bytes)), 1U);
    limiter_.set({.packets_per_s = 1});
    EXPECT_EQ(throttle_->admit(packets(2, 60)), 1U);
}

TEST_F(ThrottleTest, ASegmentedPacketCountsAsItsSegments) {
    limiter_.set({.packets_per_s = 1000, .burst_ns = 10 * ms});
    const PacketInfo info{.flags = PacketInfo::flag_needs_checksum,
                          .gso_type = PacketInfo::gso_tcp4,
                          .header_bytes = 54,
                          .segment_bytes = 1000,
                          .checksum_start = 34,
                          .checksum_offset = 16};
    const std::array<Packet, 2> batch{Packet{info, {}, 4054}, Packet{info, {}, 7054}};
    EXPECT_EQ(throttle_->admit(batch), 1U);
    EXPECT_EQ(throttle_->admit(packets(64, 60)), 6U);
}

TEST_F(ThrottleTest, AChangeLetsAWaitingQueueGoAtOnce) {
    limiter_.set({.bits_per_s = 1});
    EXPECT_EQ(throttle_->admit(packets(2, network::max_packet_bytes)), 1U);
    EXPECT_TRUE(throttle_->arm());
    EXPECT_FALSE(readable(throttle_->fd(), 0));
    limiter_.set({});
    EXPECT_TRUE(readable(throttle_->fd(), 20'000));
    EXPECT_FALSE(throttle_->arm());
    EXPECT_TRUE(throttle_->reopen());
    EXPECT_EQ(throttle_->admit(packets(64, 60)), 64U);
}

TEST_F(ThrottleTest, AChangeOfOneLimitLeavesTheOthersTokensAlone) {
    limiter_.set({.bits_per_s = 8'000'000, .packets_per_s = 2000, .burst_ns = 10 * ms});
    EXPECT_EQ(throttle_->admit(packets(64, 100)), 20U);
    limiter_.set({.bits_per_s = 8'000'000'000, .packets_per_s = 2000, .burst_ns = 10 * ms});
    EXPECT_EQ(throttle_->admit(packets(64, 100)), 0U);
    EXPECT_EQ(limiter_.limits(), (RateLimits{8'000'000'000, 2000, 10 * ms}));
}

/// A queue that goes to sleep while its limits change sees the change or is woken up.
TEST_F(ThrottleTest, NoChangeIsSleptThrough) {
    constexpr int rounds = 500;
    std::atomic<int> asleep{0};
    std::atomic<int> changed{0};
    std::thread control([&] {
        for (int round = 1; round <= rounds; ++round) {
            while (asleep.load() < round) {
                std::this_thread::yield();
            }
            limiter_.set({.bits_per_s = static_cast<std::uint64_t>(1 + round % 2)});
            changed = round;
        }
    });
    limiter_.set({.bits_per_s = 1});
    for (int round = 1; round <= rounds; ++round) {
        while (throttle_->admit(packets(1, network::max_packet_bytes)) == 1) {
        }
        asleep = round;  // as good as: the change comes before, between or after the two steps of arm()
        if (throttle_->arm()) {
            ASSERT_TRUE(readable(throttle_->fd(), 20'000)) << round;
        }
        ASSERT_TRUE(eventually([&] { return changed.load() >= round; }));
        ASSERT_TRUE(throttle_->reopen());
    }
    control.join();
}

TEST_F(ThrottleTest, QueuesOnSeveralThreadsShareOneLimit) {
    constexpr std::uint64_t rate = 1'000'000;  // packets/s, and bytes/ms
    limiter_.set({.bits_per_s = 8 * 1000 * rate, .packets_per_s = rate, .burst_ns = ms});
    const std::uint64_t begin_ns = fake_now_ns;
    constexpr int queues = 2;
    std::array<NetCounters, queues> counters;
    std::atomic<std::uint64_t> sent{0};
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (std::size_t queue = 0; queue < queues; ++queue) {
        threads.emplace_back([&, queue] {
            const auto throttle = must(Throttle::create(limiter_, counters[queue]));
            const std::vector<Packet> batch = packets(32, 500);
            while (!done) {
                if (throttle->closed() && !throttle->reopen()) {
                    std::this_thread::yield();
                    continue;
                }
                sent += throttle->admit(batch);
            }
        });
    }
    // However seldom the threads get to run.
    int steps = 0;
    EXPECT_TRUE(eventually([&] {
        pass(ms / 10);
        return ++steps >= 200 && sent >= 1000;
    }));
    done = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    const std::uint64_t elapsed_ns = fake_now_ns - begin_ns;
    const std::uint64_t most = rate * (elapsed_ns + ms) / 1'000'000'000;
    EXPECT_LE(sent, most);
    limiter_.set({});
}

}  // namespace
}  // namespace sidecore::device
