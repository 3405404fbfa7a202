// SPDX-License-Identifier: Apache-2.0
// What every network back-end promises, asked of all of them.
#include "network/network_backend_test.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/coverage.hh"
#include "network/rarp.hh"

namespace sidecore::network::test {
namespace {

TEST_P(NetworkBackendTest, SaysWhatItIs) {
    EXPECT_THAT(GetParam().name, testing::StartsWith(std::string(link_.backend->kind())));
    EXPECT_THAT(link_.backend->description(), testing::StartsWith(std::string(link_.backend->kind())));
    EXPECT_GE(link_.backend->max_pairs(), 1);
    EXPECT_TRUE(consistent(link_.backend->takes()));
    EXPECT_TRUE(consistent(link_.backend->gives()));
    EXPECT_EQ(sender_->dropped(), 0U);
    EXPECT_EQ(receiver_->dropped(), 0U);
}

TEST_P(NetworkBackendTest, WhatIsSentReachesTheFarEnd) {
    for (const std::size_t bytes : lengths()) {
        for (const std::size_t pieces :
             {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{300}, std::size_t{1500}}) {
            const Bytes contents = make_packet(random_, bytes);
            ASSERT_TRUE(send(contents, pieces)) << bytes;
            ASSERT_EQ(link_.far->take(), contents) << bytes << " bytes in " << pieces;
        }
    }
    EXPECT_EQ(sender_->dropped(), 0U);
}

TEST_P(NetworkBackendTest, WhatTheFarEndSendsIsReceived) {
    EdgeWatch watch(receiver_->packet_fd());
    for (const std::size_t bytes : lengths()) {
        for (const std::size_t pieces : {std::size_t{1}, std::size_t{3}, std::size_t{60}, std::size_t{1500}}) {
            const Bytes contents = make_packet(random_, bytes);
            link_.far->put(contents);
            ASSERT_EQ(wait_and_receive(watch, pieces), contents) << bytes << " bytes in " << pieces;
            ASSERT_EQ(info_, PacketInfo{});
        }
    }
}

TEST_P(NetworkBackendTest, BatchesArriveInOrder) {
    for (int round = 0; round < 30; ++round) {
        std::vector<Bytes> contents(1 + random_() % 100);
        std::vector<PacketBuffer> buffers;
        std::vector<Packet> batch;
        for (Bytes& one : contents) {
            one = make_packet(random_, length(round % 3 == 0 ? 8000 : 200));
            buffers.emplace_back(one, 1 + random_() % 20);
        }
        for (const PacketBuffer& buffer : buffers) {
            batch.push_back(buffer.packet());
        }
        std::size_t taken = 0;
        for (std::span<const Packet> left = batch; !left.empty();) {
            const std::size_t done = sender_->send(left);
            left = left.subspan(done);
            if (!left.empty()) {
                ASSERT_EQ(link_.far->take(), contents[taken++]);
            }
        }
        for (; taken < contents.size(); ++taken) {
            ASSERT_EQ(link_.far->take(), contents[taken]);
        }
    }
    EXPECT_EQ(sender_->send({}), 0U);
}

TEST_P(NetworkBackendTest, WhatCannotBeSentIsDroppedAndCounted) {
    PacketInfo nonsense;
    nonsense.flags = PacketInfo::flag_needs_checksum;
    nonsense.gso_type = 0x7f;
    nonsense.segment_bytes = 1000;
    EXPECT_TRUE(send(make_packet(random_, 2000), 1, nonsense));
    EXPECT_EQ(sender_->dropped(), 1U);
    EXPECT_TRUE(send(Bytes(13)));
    EXPECT_TRUE(send(Bytes(max_packet_bytes + 1)));
    EXPECT_EQ(sender_->dropped(), 3U);
    // In the middle of a batch, too.
    const Bytes first = make_packet(random_, 100);
    const Bytes last = make_packet(random_, 200);
    const PacketBuffer buffers[] = {PacketBuffer(first), PacketBuffer(Bytes(5)), PacketBuffer(last)};
    const Packet batch[] = {buffers[0].packet(), buffers[1].packet(), buffers[2].packet()};
    EXPECT_EQ(sender_->send(batch), 3U);
    EXPECT_EQ(sender_->dropped(), 4U);
    EXPECT_EQ(link_.far->take(), first);
    EXPECT_EQ(link_.far->take(), last);
}

TEST_P(NetworkBackendTest, FindsRoomAgain) {
    if (!GetParam().fills_up) {
        // Then there is always room.
        EXPECT_FALSE(sender_->arm());
        EXPECT_TRUE(sender_->can_send());
        return;
    }
    EdgeWatch watch(sender_->room_fd());
    std::size_t number = 0;
    std::size_t taken = 0;
    std::vector<Bytes> contents;
    for (int i = 0; i < 50; ++i) {
        contents.push_back(make_packet(random_, length(9000)));
    }
    for (int round = 0; round < 5; ++round) {
        while (send(contents[number % contents.size()], 1 + number % 4)) {
            ++number;
        }
        ASSERT_GT(number, taken);
        ASSERT_TRUE(sender_->arm());
        ASSERT_FALSE(sender_->can_send());
        watch.signalled(0);
        ASSERT_TRUE(sender_->arm());
        ASSERT_FALSE(watch.signalled(0)) << "there is no room";
        for (; taken < number; ++taken) {
            ASSERT_EQ(link_.far->take(), contents[taken % contents.size()]) << taken;
        }
        ASSERT_TRUE(watch.signalled());
        ASSERT_TRUE(sender_->can_send());
        ASSERT_FALSE(sender_->arm());
    }
    EXPECT_EQ(sender_->dropped(), 0U) << "no room is no reason to drop anything";
}

TEST_P(NetworkBackendTest, ArrivalsWakeASleeper) {
    EdgeWatch watch(receiver_->packet_fd());
    for (int round = 0; round < 200; ++round) {
        while (receiver_->has_packet()) {
            ASSERT_TRUE(receive().empty()) << "nobody has sent anything";
        }
        ASSERT_TRUE(receiver_->arm());
        watch.signalled(0);
        const Bytes contents = make_packet(random_, length(1500));
        link_.far->put(contents);
        ASSERT_TRUE(watch.signalled());
        ASSERT_TRUE(receiver_->has_packet());
        ASSERT_FALSE(receiver_->arm()) << "there is one";
        ASSERT_EQ(receive(), contents);
        if (round % 3 == 0) {
            receiver_->disarm();
        }
    }
}

TEST_P(NetworkBackendTest, HalvesMoveToOtherThreads) {
    EdgeWatch watch(receiver_->packet_fd());
    for (int round = 0; round < 30; ++round) {
        const Bytes out = make_packet(random_, length(3000));
        const Bytes in = make_packet(random_, length(3000));
        std::thread([&] { EXPECT_TRUE(send(out)); }).join();
        ASSERT_EQ(link_.far->take(), out);
        bool armed = false;
        std::thread([&] { armed = receiver_->arm(); }).join();
        link_.far->put(in);
        Bytes found;
        std::thread([&] { found = wait_and_receive(watch); }).join();
        ASSERT_EQ(found, in) << armed;
    }
}

TEST_P(NetworkBackendTest, HalvesAreOpenedAgain) {
    for (int round = 0; round < 3; ++round) {
        const Bytes out = make_packet(random_, 1000);
        const Bytes in = make_packet(random_, 1000);
        ASSERT_TRUE(send(out));
        ASSERT_EQ(link_.far->take(), out);
        link_.far->put(in);
        sender_.reset();
        receiver_.reset();
        SetUp();
        EdgeWatch watch(receiver_->packet_fd());
        ASSERT_EQ(wait_and_receive(watch), in) << "what came in between is kept";
    }
}

TEST_P(NetworkBackendTest, InfoIsKept) {
    if (!GetParam().keeps_info) {
        // Then a plain one comes out.
        link_.far->put(make_packet(random_, 100));
        EdgeWatch watch(receiver_->packet_fd());
        info_.flags = 0xff;
        ASSERT_EQ(wait_and_receive(watch).size(), 100U);
        EXPECT_EQ(info_, PacketInfo{});
        return;
    }
    ASSERT_TRUE(link_.backend->accept(link_.backend->gives()));
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum | PacketInfo::flag_data_valid;
    info.gso_type = PacketInfo::gso_tcp4 | PacketInfo::gso_ecn;
    info.header_bytes = 54;
    info.segment_bytes = 1448;
    info.checksum_start = 34;
    info.checksum_offset = 16;
    ASSERT_TRUE(send(make_packet(random_, 60'000), 3, info));
    EXPECT_EQ(receive(17).size(), 60'000U);
    EXPECT_EQ(info_, info);
}

TEST_P(NetworkBackendTest, AcceptsWhatItGivesAndNothingElse) {
    const Offloads gives = link_.backend->gives();
    EXPECT_TRUE(link_.backend->accept({}));
    EXPECT_TRUE(link_.backend->accept(gives));
    const Offloads all{true, true, true, true, true, true};
    EXPECT_EQ(link_.backend->accept(all).has_value(), gives == all);
    Offloads without_checksum;
    without_checksum.tso4 = true;
    EXPECT_FALSE(link_.backend->accept(without_checksum));
    EXPECT_TRUE(link_.backend->accept({}));
    const Bytes contents = make_packet(random_, 100);
    ASSERT_TRUE(send(contents));
    EXPECT_EQ(link_.far->take(), contents) << "plain packets are always taken";
}

TEST_P(NetworkBackendTest, PairsThatAreNotThereAreRefused) {
    const std::uint16_t pairs = link_.backend->max_pairs();
    EXPECT_EQ(link_.backend->open_sender(pairs).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(link_.backend->open_receiver(pairs).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(link_.backend->set_pairs(0).error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(link_.backend->set_pairs(static_cast<std::uint16_t>(pairs + 1)).error().kind, ErrorKind::out_of_range);
}

TEST_P(NetworkBackendTest, TheFirstPairsAreInUse) {
    // Whatever number of pairs is in use: what the far end sends comes to one of those, what they send arrives.
    const std::uint16_t pairs = link_.backend->max_pairs();
    std::vector<std::unique_ptr<PacketSender>> senders;
    std::vector<std::unique_ptr<PacketReceiver>> receivers;
    for (std::uint16_t pair = 0; pair < pairs; ++pair) {
        senders.push_back(must(link_.backend->open_sender(pair)));
        receivers.push_back(must(link_.backend->open_receiver(pair)));
    }
    const Room room;
    for (const std::uint16_t used : {std::uint16_t{1}, pairs, std::uint16_t{1}, pairs}) {
        ASSERT_TRUE(link_.backend->set_pairs(used));
        for (std::uint16_t pair = 0; pair < used; ++pair) {
            const PacketBuffer buffer(make_packet(random_, 100 + pair));
            const Packet packet = buffer.packet();
            ASSERT_EQ(senders[pair]->send({&packet, 1}), 1U);
            ASSERT_EQ(senders[pair]->dropped(), 0U);
            if (GetParam().name != "loopback") {
                ASSERT_EQ(link_.far->take().size(), 100U + pair);
            } else {
                ASSERT_EQ(receivers[pair]->receive(info_, room.pieces()), 100U + pair);
            }
        }
        link_.far->put(make_packet(random_, 500));
        std::vector<std::uint16_t> found;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (found.empty() && std::chrono::steady_clock::now() < deadline) {
            for (std::uint16_t pair = 0; pair < pairs; ++pair) {
                if (receivers[pair]->receive(info_, room.pieces()) == 500) {
                    found.push_back(pair);
                }
            }
        }
        ASSERT_EQ(found.size(), 1U);
        EXPECT_LT(found.front(), used);
    }
}

TEST_P(NetworkBackendTest, AnnouncesAMacAddress) {
    constexpr std::array<std::uint8_t, 6> mac{0x52, 0x54, 0, 0x12, 0x34, 0x56};
    ASSERT_TRUE(link_.backend->announce(mac));
    if (!GetParam().has_network) {
        EXPECT_TRUE(receive().empty());
        return;
    }
    // By RFC 903 and RFC 826, byte for byte.
    const std::array<std::uint8_t, 42> request{
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x80, 0x35, 0,    1,    8,    0, 6, 4, 0,
        3,    0x52, 0x54, 0,    0x12, 0x34, 0x56, 0,    0, 0,    0,    0x52, 0x54, 0,    0x12, 0x34, 0x56, 0, 0, 0, 0};
    Bytes expected(rarp_bytes);
    std::memcpy(expected.data(), request.data(), request.size());
    EXPECT_EQ(link_.far->take(20'000, true), expected);
}

INSTANTIATE_TEST_SUITE_P(Kinds, NetworkBackendTest, testing::ValuesIn(all_kinds()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace sidecore::network::test
