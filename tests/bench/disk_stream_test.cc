// SPDX-License-Identifier: Apache-2.0
#include "disk_stream.hh"

#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "endpoint/live_disk.hh"

namespace sidecore::bench {
namespace {

using endpoint::LiveDisk;
using endpoint::must;

constexpr std::uint64_t disk_bytes = 1U << 20U;
constexpr std::uint32_t block_count = disk_bytes / 4096;

class Streams : public testing::Test {
protected:
    const std::unique_ptr<engine::Worker> worker = endpoint::make_worker();
    LiveDisk live{endpoint::memory_storage(disk_bytes), {worker.get()}};
    frontend::BlkDriver driver = live.start({.memory_bytes = 16U << 20U});

    DiskStream stream(const DiskStream::Options& options, DiskStream::Blocks blocks = {0, block_count}) {
        return must(DiskStream::create(driver.memory(), driver.queue(), blocks, options));
    }
    /// Turns at one moment until so many operations have ended.
    static void turn_until(DiskStream& stream, std::uint64_t operations, std::uint64_t now) {
        EXPECT_TRUE(eventually([&] {
            stream.turn(now);
            return stream.operations() >= operations;
        })) << stream.operations();
    }
};

TEST_F(Streams, AClosedLoopGoesOnByItself) {
    DiskStream load = stream({.depth = 8, .write_percent = 50, .verify = true});
    turn_until(load, 5000, cycles());
    must(load.finish_all());
    EXPECT_EQ(load.errors(), 0U);
    EXPECT_EQ(load.wrong_blocks(), 0U);
    EXPECT_EQ(load.histogram().total(), load.operations());
    EXPECT_GT(load.kicks(), 0U);
}

TEST_F(Streams, DataThatSomebodyElseWroteAreWrong) {
    DiskStream load = stream({.depth = 2, .write_percent = 50, .verify = true}, {64, 8});
    turn_until(load, 500, cycles());
    must(load.finish_all());
    EXPECT_EQ(load.wrong_blocks(), 0U);
    must(driver.requests().write(64, std::vector<std::byte>(8 * 4096)));
    turn_until(load, 600, cycles());
    must(load.finish_all());
    EXPECT_GT(load.wrong_blocks(), 0U);
}

TEST_F(Streams, LatencyCountsFromTheArrival) {
    DiskStream load = stream({.depth = 4, .arrivals = {.rate = 1000, .kind = Arrivals::Kind::periodic}});
    const std::uint64_t start = cycles();
    const auto at = [&](std::uint64_t us) { return start + ns_to_cycles(us * 1000); };
    load.forget(start);
    load.turn(at(0));  // the first
    EXPECT_EQ(load.behind(at(500)), 0U);
    // Nothing is looked at for 20 ms: 20 more have arrived, and there are four slots.
    turn_until(load, 1, at(20'000));
    EXPECT_GT(load.behind(at(20'000)), 0U);
    turn_until(load, 21, at(20'000));
    EXPECT_EQ(load.behind(at(20'000)), 0U);
    EXPECT_EQ(load.operations(), 21U);
    const auto us = [&](double share) {
        return static_cast<double>(cycles_to_ns(load.histogram().percentile(share))) / 1e3;
    };
    EXPECT_NEAR(us(1), 20'000, 1000) << "the first one was seen to end then";
    EXPECT_NEAR(us(0.5), 10'000, 1000) << "and each later one had waited since its own arrival";
}

TEST_F(Streams, KicksCostWhatTheyAreSaidTo) {
    DiskStream load = stream({.depth = 1, .kick_cost_ns = 2'000'000});
    const std::uint64_t start = monotonic_ns();
    turn_until(load, 20, cycles());
    EXPECT_GE(load.kicks(), 2U);
    EXPECT_GE(monotonic_ns() - start, (load.kicks() - 1) * 2'000'000) << "the first may have been before";
}

TEST_F(Streams, SequentialLoadTakesOneBlockAfterTheOther) {
    DiskStream load = stream({.depth = 1, .write_percent = 100, .sequential = true, .verify = true}, {16, 64});
    turn_until(load, 32, cycles());
    must(load.finish_all());
    EXPECT_EQ(load.errors(), 0U);
    // Another one may have been under way.
    const auto written = [&](std::uint64_t block) {
        std::vector<std::byte> data(4096);
        must(driver.requests().read(16 + block * 8, data));
        return data != std::vector<std::byte>(4096);
    };
    for (std::uint64_t block = 0; block < 64; ++block) {
        if (block != load.operations()) {
            EXPECT_EQ(written(block), block < load.operations()) << block;
        }
    }
    const auto tiny = DiskStream::create(driver.memory(), driver.queue(), {0, 4}, {.depth = 4, .verify = true});
    ASSERT_FALSE(tiny) << "all blocks could be claimed";
    EXPECT_EQ(tiny.error().kind, ErrorKind::out_of_range);
}

}  // namespace
}  // namespace sidecore::bench
