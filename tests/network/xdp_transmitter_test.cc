// SPDX-License-Identifier: Apache-2.0
// With a kernel that takes what it likes, when it likes.
#include "network/xdp_transmitter.hh"

#include <cstring>
#include <deque>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/wait.hh"
#include "network/fake_xdp_kernel.hh"
#include "network/xdp_retry.hh"

namespace sidecore::network::test {
namespace {

constexpr std::uint32_t frame_bytes = 2048;
constexpr std::uint32_t frame_count = 8;
constexpr std::uint64_t first_address = std::uint64_t{100} * frame_bytes;

class XdpTransmitterTest : public testing::Test {
protected:
    XdpTransmitter make(bool zero_copy) {
        XdpTransmitter::Parts parts;
        parts.fd = socket_.near.get();
        parts.frames = memory_;
        parts.first_address = first_address;
        parts.frame_bytes = frame_bytes;
        parts.transmit = transmit_.memory();
        parts.completion = completion_.memory();
        parts.zero_copy = zero_copy;
        parts.retry_fd = retry_fd_.get();
        return XdpTransmitter(parts, must(make_eventfd()));
    }

    static bool send(XdpTransmitter& transmitter, const Bytes& contents, std::uint64_t* dropped = nullptr) {
        const PacketBuffer buffer(contents, 3);
        const Packet packet = buffer.packet();
        std::uint64_t ignored = 0;
        return transmitter.send({&packet, 1}, dropped == nullptr ? ignored : *dropped) == 1;
    }

    /// The kernel takes the next packet; where its frame is.
    std::uint64_t take(Bytes& contents) {
        const xdp_desc entry = transmit_.take();
        const std::byte* const frame = memory_.data() + (entry.addr - first_address);
        contents.assign(frame, frame + entry.len);
        return entry.addr;
    }
    void complete(std::uint64_t address) { completion_.put(address); }

    Random random_{3};
    std::vector<std::byte> memory_ = std::vector<std::byte>(std::size_t{frame_count} * frame_bytes);
    FakeXdpRing<xdp_desc> transmit_{2 * frame_count};
    FakeXdpRing<std::uint64_t> completion_{frame_count};
    KickSocket socket_;
    Fd retry_fd_ = must(make_eventfd());
};

TEST_F(XdpTransmitterTest, FramesGoRound) {
    XdpTransmitter transmitter = make(true);
    for (int round = 0; round < 100; ++round) {
        const Bytes contents = make_packet(random_, 60 + random_() % (transmitter.longest() - 60));
        ASSERT_TRUE(send(transmitter, contents));
        Bytes found;
        complete(take(found));
        ASSERT_EQ(found, contents);
    }
    EXPECT_EQ(transmitter.longest(), 1792U);
    EXPECT_FALSE(drain_eventfd(retry_fd_.get()));
}

TEST_F(XdpTransmitterTest, TheKernelIsToldOnlyIfItWantsToBeAndOnceABatch) {
    XdpTransmitter transmitter = make(true);
    const PacketBuffer buffer(make_packet(random_, 100));
    const std::vector<Packet> batch(frame_count / 2, buffer.packet());
    std::uint64_t dropped = 0;
    EXPECT_EQ(transmitter.send(batch, dropped), batch.size());
    EXPECT_EQ(socket_.kicks(), 0);
    transmit_.ask_for_wakeups(true);
    EXPECT_EQ(transmitter.send(batch, dropped), batch.size());
    EXPECT_EQ(socket_.kicks(), 1);
    EXPECT_EQ(transmitter.send({}, dropped), 0U);
    EXPECT_EQ(socket_.kicks(), 0);
    EXPECT_EQ(transmit_.waiting(), frame_count);
    EXPECT_EQ(dropped, 0U);
}

TEST_F(XdpTransmitterTest, WhatTheKernelLeavesIsSeenToUntilItHasTakenIt) {
    XdpTransmitter transmitter = make(false);
    transmit_.ask_for_wakeups(true);
    EXPECT_FALSE(transmitter.retry()) << "there is nothing to do";
    ASSERT_TRUE(send(transmitter, make_packet(random_, 100)));
    EXPECT_EQ(socket_.kicks(), 1);
    ASSERT_TRUE(drain_eventfd(retry_fd_.get()));
    EXPECT_TRUE(transmitter.retry());
    EXPECT_TRUE(transmitter.retry());
    EXPECT_EQ(socket_.kicks(), 2);
    Bytes found;
    take(found);
    EXPECT_FALSE(transmitter.retry());
    EXPECT_FALSE(transmitter.retry());
    EXPECT_EQ(socket_.kicks(), 1);
}

TEST_F(XdpTransmitterTest, RoomIsSignalledWhenAFrameComesBack) {
    XdpTransmitter transmitter = make(true);
    EXPECT_TRUE(transmitter.can_send());
    EXPECT_FALSE(transmitter.arm());
    const Bytes contents = make_packet(random_, 100);
    for (std::uint32_t i = 0; i < frame_count; ++i) {
        ASSERT_TRUE(send(transmitter, contents));
    }
    EXPECT_FALSE(send(transmitter, contents));
    EXPECT_FALSE(transmitter.can_send());
    ASSERT_TRUE(transmitter.arm());
    ASSERT_TRUE(drain_eventfd(retry_fd_.get()));
    Bytes found;
    const std::uint64_t frame = take(found);
    EXPECT_TRUE(transmitter.retry()) << "taken is not yet sent";
    EdgeWatch watch(transmitter.room_fd());
    EXPECT_FALSE(watch.signalled(0));
    complete(frame);
    EXPECT_FALSE(transmitter.retry());
    EXPECT_TRUE(watch.signalled(0));
    EXPECT_FALSE(transmitter.arm());
    EXPECT_TRUE(transmitter.can_send());
    EXPECT_TRUE(send(transmitter, contents));
    EXPECT_FALSE(send(transmitter, contents));
}

TEST_F(XdpTransmitterTest, AFrameThatIsBackAlreadyIsRoom) {
    XdpTransmitter transmitter = make(true);
    for (std::uint32_t i = 0; i < frame_count; ++i) {
        ASSERT_TRUE(send(transmitter, make_packet(random_, 100)));
    }
    ASSERT_FALSE(transmitter.can_send());
    Bytes found;
    complete(take(found));
    EXPECT_FALSE(transmitter.arm());
    EXPECT_FALSE(transmitter.retry());
}

TEST_F(XdpTransmitterTest, WhileTheInterfaceCannotSendAllIsDropped) {
    XdpTransmitter transmitter = make(false);
    transmit_.ask_for_wakeups(true);
    const Bytes contents = make_packet(random_, 100);
    socket_.far.reset();  // every system call fails
    std::uint64_t dropped = 0;
    ASSERT_TRUE(send(transmitter, contents, &dropped)) << "it learns of it by this one, which stays in the ring";
    EXPECT_EQ(dropped, 0U);
    for (std::uint32_t i = 0; i < 3 * frame_count; ++i) {
        ASSERT_TRUE(send(transmitter, contents, &dropped));
    }
    EXPECT_EQ(dropped, 3 * frame_count);
    EXPECT_TRUE(transmitter.can_send());
    EXPECT_FALSE(transmitter.arm());
    EXPECT_FALSE(drain_eventfd(retry_fd_.get())) << "nobody need look again and again";
}

TEST_F(XdpTransmitterTest, WhoWaitsIsWokenWhenTheInterfaceGoes) {
    XdpTransmitter transmitter = make(true);
    std::uint64_t dropped = 0;
    while (send(transmitter, make_packet(random_, 100), &dropped)) {
    }
    ASSERT_TRUE(transmitter.arm());
    EXPECT_TRUE(transmitter.retry());
    EdgeWatch watch(transmitter.room_fd());
    socket_.far.reset();
    EXPECT_FALSE(transmitter.retry());
    EXPECT_TRUE(watch.signalled(0));
    EXPECT_TRUE(transmitter.can_send());
    EXPECT_TRUE(send(transmitter, make_packet(random_, 100), &dropped));
    EXPECT_EQ(dropped, 1U);
}

/// The retry thread, a kernel that stops in the middle, and a sender that sleeps when there is no room.
TEST_F(XdpTransmitterTest, NothingIsForgottenWithARacingKernel) {
    constexpr std::uint32_t packets = 5000;
    XdpTransmitter transmitter = make(false);
    transmit_.ask_for_wakeups(true);
    const auto retry = must(XdpRetry::start(retry_fd_.get(), {&transmitter}, "a test"));
    std::uint32_t wrong = 0;
    std::atomic<std::uint32_t> taken{0};
    std::thread kernel([&] {
        Random random(7);
        std::deque<std::uint64_t> under_way;
        Bytes found;
        const auto complete_one = [&] {
            complete(under_way.front());
            under_way.pop_front();
        };
        while (taken < packets) {
            // As the kernel does it: it takes some when it is told to, and no others.
            std::array<char, 1> byte{};
            if (::recv(socket_.far.get(), byte.data(), byte.size(), 0) < 0) {
                std::this_thread::yield();
            } else {
                for (std::uint64_t most = random() % 4; most != 0 && transmit_.waiting() != 0; --most) {
                    under_way.push_back(take(found));
                    std::uint32_t number = 0;
                    std::memcpy(&number, found.data() + 14, sizeof number);
                    wrong += number != taken ? 1U : 0U;
                    ++taken;
                }
            }
            for (std::uint64_t most = random() % 3; most != 0 && !under_way.empty(); --most) {
                complete_one();
            }
        }
    });
    EdgeWatch watch(transmitter.room_fd());
    Bytes contents(100);
    for (std::uint32_t sent = 0; sent < packets && !HasFailure();) {
        std::memcpy(contents.data() + 14, &sent, sizeof sent);
        if (send(transmitter, contents)) {
            ++sent;
        } else if (transmitter.arm()) {
            EXPECT_TRUE(watch.signalled()) << "slept on";
        }
    }
    EXPECT_TRUE(eventually([&] { return taken == packets; })) << "the last ones, too, after the last call";
    taken = packets;
    kernel.join();
    EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace sidecore::network::test
