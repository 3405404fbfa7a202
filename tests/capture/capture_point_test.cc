// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_point.hh"

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::capture {
namespace {

class Point : public testing::Test {
protected:
    std::shared_ptr<CapturePoint> point = CapturePoint::create();

    void pass(std::uint32_t bytes, Direction direction = Direction::in, std::uint16_t queue = 0) {
        std::vector<std::byte> data(bytes, std::byte{0x55});
        const iovec piece{data.data(), data.size()};
        const network::Packet packet{{}, {&piece, 1}, bytes};
        point->take(direction, queue, 1000, {&packet, 1});
    }
    static std::vector<Record> take_all(Capture& capture) {
        std::vector<Record> records;
        std::vector<std::byte> data(70'000);
        while (const auto record = capture.ring().front()) {
            capture.ring().pop(data);
            records.push_back(*record);
        }
        return records;
    }
};

TEST_F(Point, ACaptureSeesWhatPassesWhileItLives) {
    EXPECT_FALSE(point->active());
    pass(60);
    auto capture = point->start({}).value();
    EXPECT_TRUE(point->active());
    pass(61, Direction::in, 3);
    pass(62, Direction::out);
    EXPECT_EQ(take_all(*capture),
              (std::vector<Record>{{1000, 61, 61, 3, Direction::in}, {1000, 62, 62, 0, Direction::out}}));
    EXPECT_EQ(capture->dropped(), 0U);
    capture.reset();
    EXPECT_FALSE(point->active());
    pass(63);
    EXPECT_TRUE(take_all(*point->start({}).value()).empty());
}

TEST_F(Point, ACaptureKeepsNoMoreThanItWants) {
    auto in = point->start({.snap_bytes = 20, .out = false}).value();
    auto out = point->start({.in = false}).value();
    pass(60, Direction::in);
    pass(70, Direction::out);
    pass(15, Direction::in);
    EXPECT_EQ(take_all(*in), (std::vector<Record>{{1000, 60, 20, 0, Direction::in}, {1000, 15, 15, 0, Direction::in}}));
    EXPECT_EQ(take_all(*out), (std::vector<Record>{{1000, 70, 70, 0, Direction::out}}));
}

TEST_F(Point, AFullRingDropsAndCounts) {
    auto small = point->start({.ring_bytes = 4096}).value();
    auto large = point->start({}).value();
    for (int i = 0; i < 100; ++i) {
        pass(100);
    }
    const std::size_t kept = take_all(*small).size();
    EXPECT_GT(kept, 10U);
    EXPECT_EQ(kept + small->dropped(), 100U);
    EXPECT_EQ(take_all(*large).size(), 100U) << "each capture for itself";
    EXPECT_EQ(large->dropped(), 0U);
}

TEST_F(Point, TheLongestPacketsFit) {
    auto capture = point->start({}).value();
    pass(network::max_packet_bytes);
    EXPECT_EQ(take_all(*capture).at(0).captured_bytes, network::max_packet_bytes);
}

TEST_F(Point, ThereIsALimitAndPlacesAreUsedAgain) {
    std::vector<std::unique_ptr<Capture>> captures;
    for (std::size_t i = 0; i < CapturePoint::max_captures; ++i) {
        captures.push_back(point->start({}).value());
    }
    EXPECT_EQ(point->start({}).error().kind, ErrorKind::already_exists);
    captures[1].reset();
    captures[1] = point->start({}).value();
    pass(60);
    for (const auto& capture : captures) {
        EXPECT_EQ(take_all(*capture).size(), 1U);
    }
}

TEST_F(Point, ImpossibleWishesAreRefused) {
    EXPECT_EQ(point->start({.snap_bytes = min_snap_bytes - 1}).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(point->start({.snap_bytes = max_snap_bytes + 1}).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(point->start({.ring_bytes = 1}).error().kind, ErrorKind::out_of_range);
    EXPECT_FALSE(point->active());
}

TEST_F(Point, TheEndOfTheDeviceIsTold) {
    auto capture = point->start({}).value();
    pass(60);
    drain_eventfd(capture->ring().fd());
    EXPECT_FALSE(capture->ended());
    point->end();
    EXPECT_TRUE(capture->ended());
    EXPECT_TRUE(drain_eventfd(capture->ring().fd()));
    pass(61);
    EXPECT_EQ(take_all(*capture).size(), 1U) << "what came before is still there, and nothing after";
    EXPECT_EQ(point->start({}).error().kind, ErrorKind::closed);
    point.reset();
    capture.reset();
}

TEST_F(Point, CapturesComeAndGoWhilePacketsPass) {
    std::atomic<bool> over{false};
    std::vector<std::thread> workers;
    workers.reserve(2);
    for (std::uint16_t queue = 0; queue < 2; ++queue) {
        workers.emplace_back([this, &over, queue] {
            while (!over) {
                if (point->active()) {
                    pass(80, Direction::out, queue);
                }
            }
        });
    }
    std::size_t seen = 0;
    for (int i = 0; i < 40; ++i) {
        auto capture = point->start({.ring_bytes = 8192}).value();
        while (capture->dropped() == 0) {
            std::this_thread::yield();
        }
        const std::vector<Record> records = take_all(*capture);
        seen += records.size();
        for (const Record& record : records) {
            ASSERT_EQ(record.packet_bytes, 80U);
            ASSERT_LT(record.queue, 2U);
        }
    }
    over = true;
    for (std::thread& worker : workers) {
        worker.join();
    }
    EXPECT_GE(seen, 40U);
}

}  // namespace
}  // namespace sidecore::capture
