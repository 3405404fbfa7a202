// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_receive_ring.hh"

#include <algorithm>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/fake_xdp_kernel.hh"

namespace sidecore::network::test {
namespace {

constexpr std::uint32_t ring_frame_bytes = 2048;
constexpr std::uint32_t ring_frames = 64;
constexpr std::uint64_t ring_address = std::uint64_t{7} * ring_frame_bytes;
constexpr std::uint32_t headroom = 256;

class XdpReceiveRingTest : public testing::Test {
protected:
    XdpReceiveRing::Parts parts() {
        XdpReceiveRing::Parts parts;
        parts.fd = socket_.near.get();
        parts.frames = memory_;
        parts.first_address = ring_address;
        parts.frame_bytes = ring_frame_bytes;
        parts.receive = receive_.memory();
        parts.fill = fill_.memory();
        return parts;
    }

    /// The kernel writes a packet into a frame; it needs to have one.
    void arrive(const Bytes& contents) {
        const std::uint64_t address = fill_.take();
        EXPECT_EQ(address % ring_frame_bytes, 0U);
        std::memcpy(memory_.data() + (address - ring_address) + headroom, contents.data(), contents.size());
        receive_.put({address + headroom, static_cast<std::uint32_t>(contents.size()), 0});
    }

    Random random_{11};
    std::vector<std::byte> memory_ = std::vector<std::byte>(std::size_t{ring_frames} * ring_frame_bytes);
    FakeXdpRing<xdp_desc> receive_{ring_frames};
    FakeXdpRing<std::uint64_t> fill_{ring_frames};
    KickSocket socket_;
};

TEST_F(XdpReceiveRingTest, TheKernelHasAllFramesAtFirstAndGetsThemBack) {
    XdpReceiveRing ring(parts());
    EXPECT_EQ(fill_.waiting(), ring_frames);
    const Room room(5);
    for (int round = 0; round < 200; ++round) {
        const std::size_t count = 1 + random_() % ring_frames;
        std::vector<Bytes> contents;
        for (std::size_t i = 0; i < count; ++i) {
            contents.push_back(make_packet(random_, 14 + random_() % 1700));
            arrive(contents.back());
        }
        for (const Bytes& one : contents) {
            ASSERT_TRUE(ring.has_packet());
            ASSERT_EQ(room.first(ring.receive(room.pieces())), one);
        }
        ASSERT_FALSE(ring.has_packet());
        ASSERT_EQ(ring.receive(room.pieces()), 0U);
        ASSERT_EQ(fill_.waiting(), ring_frames);
    }
    EXPECT_EQ(ring.runts(), 0U);
}

TEST_F(XdpReceiveRingTest, WhatIsTooShortIsLeftOut) {
    XdpReceiveRing ring(parts());
    const Bytes good = make_packet(random_, 14);
    arrive(Bytes(13));
    arrive(good);
    arrive(Bytes(1));
    const Room room;
    EXPECT_EQ(room.first(ring.receive(room.pieces())), good);
    EXPECT_EQ(ring.receive(room.pieces()), 0U);
    EXPECT_EQ(ring.runts(), 2U);
    EXPECT_EQ(fill_.waiting(), ring_frames);
}

TEST_F(XdpReceiveRingTest, ADriverThatSleepsIsWokenWhenItGetsFrames) {
    XdpReceiveRing ring(parts());
    ASSERT_EQ(::send(socket_.far.get(), nullptr, 0, 0), 0);  // what the system call takes, so that it can be seen
    arrive(make_packet(random_, 100));
    const Room room;
    const auto was_woken = [&] { return ::recv(socket_.near.get(), nullptr, 0, MSG_PEEK) < 0; };
    EXPECT_EQ(ring.receive(room.pieces()), 100U);
    EXPECT_FALSE(was_woken());
    arrive(make_packet(random_, 100));
    fill_.ask_for_wakeups(true);
    EXPECT_EQ(ring.receive(room.pieces()), 100U);
    EXPECT_TRUE(was_woken());
}

/// As for a moment when the number of pairs in use changes.
TEST_F(XdpReceiveRingTest, TwoMayTakeFromIt) {
    constexpr std::uint32_t packets = 400 * ring_frames;
    XdpReceiveRing ring(parts());
    std::atomic<std::uint32_t> received{0};
    std::vector<std::uint32_t> numbers[2];
    const auto take_all = [&](std::vector<std::uint32_t>& found) {
        const Room room;
        while (received < packets) {
            if (ring.receive(room.pieces()) != 0) {
                std::uint32_t number = 0;
                std::memcpy(&number, static_cast<const std::byte*>(room.pieces()[0].iov_base) + 14, sizeof number);
                found.push_back(number);
                ++received;
            } else {
                std::this_thread::yield();
            }
        }
    };
    std::thread one([&] { take_all(numbers[0]); });
    std::thread other([&] { take_all(numbers[1]); });
    Bytes contents(100);
    for (std::uint32_t number = 0; number < packets; ++number) {
        std::memcpy(contents.data() + 14, &number, sizeof number);
        // So many at once that both find some.
        while (number % ring_frames == 0 && fill_.waiting() != ring_frames) {
            std::this_thread::yield();
        }
        arrive(contents);
    }
    one.join();
    other.join();
    EXPECT_TRUE(std::is_sorted(numbers[0].begin(), numbers[0].end()));
    EXPECT_TRUE(std::is_sorted(numbers[1].begin(), numbers[1].end()));
    std::vector<std::uint32_t> all;
    std::merge(numbers[0].begin(), numbers[0].end(), numbers[1].begin(), numbers[1].end(), std::back_inserter(all));
    ASSERT_EQ(all.size(), packets);
    for (std::uint32_t number = 0; number < packets; ++number) {
        ASSERT_EQ(all[number], number);
    }
}

}  // namespace
}  // namespace sidecore::network::test
