// SPDX-License-Identifier: Apache-2.0
// A tap's queue, played by a socket that keeps packets apart as well: what the kernel never does can be done to it here.
#include "network/tap_queue.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "network/packet_tools.hh"

namespace sidecore::network::test {
namespace {

class TapQueueTest : public testing::Test {
protected:
    TapQueueTest() {
        std::array<int, 2> pair{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
        near_ = Fd(pair[0]);
        kernel_ = Fd(pair[1]);
        sender_ = must(TapSender::create(near_.get()));
        receiver_ = std::make_unique<TapReceiver>(near_.get(), accepted_);
    }

    bool send(const Bytes& contents, const PacketInfo& info = {}, std::size_t pieces = 1) {
        const PacketBuffer buffer(contents, pieces, info);
        const Packet packet = buffer.packet();
        return sender_->send({&packet, 1}) == 1;
    }

    /// What has been written to the queue, header and all.
    Bytes taken() {
        Bytes out(max_packet_bytes + tap_header_bytes);
        const ssize_t bytes = ::read(kernel_.get(), out.data(), out.size());
        out.resize(bytes < 0 ? 0 : static_cast<std::size_t>(bytes));
        return out;
    }

    void give(const std::array<std::uint8_t, tap_header_bytes>& header, const Bytes& contents) {
        Bytes all(header.size() + contents.size());
        std::memcpy(all.data(), header.data(), header.size());
        std::copy(contents.begin(), contents.end(), all.begin() + tap_header_bytes);
        ASSERT_EQ(::write(kernel_.get(), all.data(), all.size()), static_cast<ssize_t>(all.size()));
    }

    std::uint32_t receive(std::size_t pieces = 1) {
        const Room room(pieces);
        const std::uint32_t bytes = receiver_->receive(info_, room.pieces());
        contents_ = room.first(bytes);
        return bytes;
    }

    Fd near_;
    Fd kernel_;
    Coverage accepted_;
    Random random_{1};
    std::unique_ptr<TapSender> sender_;
    std::unique_ptr<TapReceiver> receiver_;
    PacketInfo info_;
    Bytes contents_;
};

constexpr std::array<std::uint8_t, tap_header_bytes> plain{};

PacketInfo segmented_info() {
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.gso_type = PacketInfo::gso_tcp6;
    info.header_bytes = 0x0102;
    info.segment_bytes = 0x0304;
    info.checksum_start = 0x0506;
    info.checksum_offset = 0x0708;
    return info;
}

TEST_F(TapQueueTest, TheHeaderIsLittleEndian) {
    const Bytes contents = make_packet(random_, 5000);
    ASSERT_TRUE(send(contents, segmented_info(), 3));
    const Bytes found = taken();
    const std::array<std::uint8_t, tap_header_bytes> expected{1, 4, 2, 1, 4, 3, 6, 5, 8, 7};
    ASSERT_EQ(found.size(), contents.size() + expected.size());
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), expected.size()), 0);
    EXPECT_EQ(Bytes(found.begin() + tap_header_bytes, found.end()), contents);

    accepted_.set({true, true, true, true, true, true});
    give(expected, contents);
    ASSERT_EQ(receive(4), contents.size());
    EXPECT_EQ(contents_, contents);
    EXPECT_EQ(info_, segmented_info());
}

TEST_F(TapQueueTest, AHintIsNotLongerThanThePacket) {
    PacketInfo info;
    info.header_bytes = 0xffff;
    ASSERT_TRUE(send(make_packet(random_, 100), info));
    const Bytes found = taken();
    EXPECT_EQ(found.at(2), std::byte{100});
    EXPECT_EQ(found.at(3), std::byte{0});
}

TEST_F(TapQueueTest, WaitsWhenTheQueueIsFull) {
    const Bytes contents = make_packet(random_, 9000);
    EdgeWatch watch(sender_->room_fd());
    for (int round = 0; round < 3; ++round) {
        std::size_t sent = 0;
        while (send(contents)) {
            ++sent;
        }
        ASSERT_GT(sent, 0U);
        ASSERT_TRUE(sender_->arm());
        ASSERT_FALSE(watch.signalled(0));
        for (; sent != 0; --sent) {
            ASSERT_EQ(taken().size(), contents.size() + tap_header_bytes);
        }
        ASSERT_TRUE(watch.signalled(0));
        ASSERT_TRUE(sender_->can_send());
        ASSERT_FALSE(sender_->arm());
        watch.signalled(0);
    }
    EXPECT_EQ(sender_->dropped(), 0U);
}

TEST_F(TapQueueTest, OnceThereIsRoomNobodyIsWokenAnyMore) {
    const Bytes contents = make_packet(random_, 9000);
    EdgeWatch watch(sender_->room_fd());
    while (send(contents)) {
    }
    ASSERT_TRUE(sender_->arm());
    while (!taken().empty()) {
    }
    ASSERT_TRUE(watch.signalled(0));
    ASSERT_TRUE(send(contents));
    taken();
    EXPECT_FALSE(watch.signalled(0));
}

TEST_F(TapQueueTest, WhatIsNotAcceptedIsNotHandedOut) {
    const Bytes contents = make_packet(random_, 200);
    give({1, 0, 0, 0, 0, 0, 34, 0, 16, 0}, contents);  // needs a checksum
    give({1, 1, 54, 0, 200, 5, 34, 0, 16, 0}, contents);
    give({0, 0x55, 0, 0, 0, 0, 0, 0, 0, 0}, contents);  // no kind of segmentation
    give({2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, contents);     // verified: that can be left out
    ASSERT_EQ(receive(), contents.size());
    EXPECT_EQ(info_, PacketInfo{});
    EXPECT_EQ(receiver_->dropped(), 3U);
    EXPECT_FALSE(receiver_->has_packet());
    EXPECT_EQ(receive(), 0U);
}

TEST_F(TapQueueTest, UnknownFlagsAreLeftOut) {
    accepted_.set({.checksum = true});
    give({0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make_packet(random_, 60));
    ASSERT_EQ(receive(), 60U);
    EXPECT_EQ(info_.flags, PacketInfo::flag_data_valid);
}

TEST_F(TapQueueTest, PacketsThatAreTooShortAreDropped) {
    give(plain, Bytes(13));
    give(plain, {});
    give(plain, make_packet(random_, 14));
    EXPECT_EQ(receive(), 14U);
    EXPECT_EQ(receiver_->dropped(), 2U);
}

TEST_F(TapQueueTest, NothingButBadPacketsKeepsNobodyForever) {
    for (int i = 0; i < 100; ++i) {
        give(plain, Bytes(1));
    }
    give(plain, make_packet(random_, 100));
    EXPECT_EQ(receive(), 0U);
    EXPECT_FALSE(receiver_->arm()) << "there is more";
    EXPECT_EQ(receive(), 100U);
}

}  // namespace
}  // namespace sidecore::network::test
