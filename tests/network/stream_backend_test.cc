// SPDX-License-Identifier: Apache-2.0
#include "network/stream_backend.hh"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/wait.hh"
#include "network/packet_tools.hh"
#include "network/stream_peer.hh"

namespace sidecore::network::test {
namespace {

using testing::HasSubstr;

class StreamBackendTest : public testing::Test {
protected:
    void start(bool listen) {
        StreamOptions options;
        options.path = path_;
        options.listen = listen;
        options.reconnect_ms = 5;
        backend_ = must(StreamBackend::create(options));
        sender_ = must(backend_->open_sender(0));
        receiver_ = must(backend_->open_receiver(0));
        watch_.emplace(receiver_->packet_fd());
    }

    /// Sends a packet; whether it was not dropped.
    bool send(const Bytes& contents) {
        const PacketBuffer buffer(contents);
        const Packet packet = buffer.packet();
        const std::uint64_t before = sender_->dropped();
        return sender_->send({&packet, 1}) == 1 && sender_->dropped() == before;
    }

    Bytes receive() {
        const Room room;
        for (;;) {
            PacketInfo info;
            const std::uint32_t bytes = receiver_->receive(info, room.pieces());
            if (bytes != 0) {
                return room.first(bytes);
            }
            if (receiver_->arm() && !watch_->signalled()) {
                return {};
            }
        }
    }

    /// Both ways, however long the back-end takes to see that there is a peer.
    void expect_works(StreamPeer& peer) {
        const Bytes out = make_packet(random_, 1000);
        const Bytes in = make_packet(random_, 1100);
        ASSERT_TRUE(eventually([&] { return send(out); }));
        ASSERT_EQ(peer.take(), out);
        peer.put(in);
        ASSERT_EQ(receive(), in);
    }

    TemporaryDirectory directory_;
    const std::string path_ = directory_ / "socket";
    Random random_{1};
    std::unique_ptr<StreamBackend> backend_;
    std::unique_ptr<PacketSender> sender_;
    std::unique_ptr<PacketReceiver> receiver_;
    std::optional<EdgeWatch> watch_;
};

TEST_F(StreamBackendTest, WithoutAPeerPacketsAreDropped) {
    start(false);
    EXPECT_FALSE(send(Bytes(100)));
    EXPECT_EQ(sender_->dropped(), 1U);
    EXPECT_TRUE(sender_->can_send());
    EXPECT_FALSE(sender_->arm());
    EXPECT_FALSE(receiver_->has_packet());
    EXPECT_TRUE(receiver_->arm());
    constexpr std::array<std::uint8_t, 6> mac{2, 0, 0, 0, 0, 1};
    EXPECT_EQ(backend_->announce(mac).error().kind, ErrorKind::closed);
    EXPECT_THAT(backend_->description(), HasSubstr(path_));
}

TEST_F(StreamBackendTest, ConnectsOnceThereIsAPeer) {
    start(false);
    const Fd listener = listen_on(path_);
    StreamPeer peer = StreamPeer::accept(listener.get());
    expect_works(peer);
}

TEST_F(StreamBackendTest, ConnectsAgain) {
    const Fd listener = listen_on(path_);
    start(false);
    for (int round = 0; round < 5; ++round) {
        StreamPeer peer = StreamPeer::accept(listener.get());
        expect_works(peer);
    }
}

TEST_F(StreamBackendTest, ConnectsAgainWithNobodyCalling) {
    const Fd listener = listen_on(path_);
    start(false);
    for (int round = 0; round < 5; ++round) {
        StreamPeer::accept(listener.get());
    }
}

TEST_F(StreamBackendTest, TakesOnePeerAfterTheOther) {
    start(true);
    std::optional<StreamPeer> first = StreamPeer::connect(path_);
    expect_works(*first);
    StreamPeer second = StreamPeer::connect(path_);
    second.put(make_packet(random_, 60));
    EXPECT_FALSE(receiver_->has_packet()) << "it is not its turn";
    expect_works(*first);
    first.reset();
    EXPECT_EQ(receive().size(), 60U);
    expect_works(second);
}

TEST_F(StreamBackendTest, WhatCameBeforeThePeerWentIsReceived) {
    start(true);
    std::vector<Bytes> contents;
    {
        StreamPeer peer = StreamPeer::connect(path_);
        for (int i = 0; i < 20; ++i) {
            contents.push_back(make_packet(random_, 2000));
            peer.put(contents.back());
        }
    }
    StreamPeer next = StreamPeer::connect(path_);
    next.put(make_packet(random_, 77));
    for (const Bytes& one : contents) {
        ASSERT_EQ(receive(), one);
    }
    EXPECT_EQ(receive().size(), 77U);
}

TEST_F(StreamBackendTest, ALengthThatCannotBeEndsTheConnection) {
    start(true);
    for (const std::uint32_t length : {0U, max_packet_bytes + 1, 0x7fffffffU, 0xffffffffU}) {
        StreamPeer peer = StreamPeer::connect(path_);
        expect_works(peer);
        Bytes bytes = StreamPeer::frame(make_packet(random_, 64));
        for (const unsigned shift : {24U, 16U, 8U, 0U}) {
            bytes.push_back(static_cast<std::byte>(length >> shift));
        }
        bytes.resize(bytes.size() + 1000);
        peer.write(bytes);
        ASSERT_EQ(receive().size(), 64U) << "what came before is good";
        EXPECT_TRUE(eventually([&] { return !receiver_->has_packet() && !send(Bytes(100)); }));
        EXPECT_TRUE(peer.ends());
    }
}

TEST_F(StreamBackendTest, FramesMayComeInAnyPieces) {
    start(true);
    StreamPeer peer = StreamPeer::connect(path_);
    Bytes bytes;
    std::vector<Bytes> contents;
    for (const std::size_t length : std::initializer_list<std::size_t>{14, 15, 300, 4, 9000, 1, 65'000}) {
        contents.push_back(make_packet(random_, std::max<std::size_t>(length, 14)));
        contents.back().resize(length);
        const Bytes frame = StreamPeer::frame(contents.back());
        bytes.insert(bytes.end(), frame.begin(), frame.end());
    }
    std::thread writing([&] {
        std::span<const std::byte> left = bytes;
        for (std::size_t step = 1; !left.empty(); step = step % 1500 + 7) {
            const std::size_t now = std::min(step, left.size());
            peer.write(left.first(now));
            left = left.subspan(now);
        }
    });
    for (const Bytes& one : contents) {
        if (one.size() >= min_packet_bytes) {
            EXPECT_EQ(receive(), one);
        }
    }
    writing.join();
    EXPECT_EQ(receiver_->dropped(), 2U) << "frames shorter than Ethernet's header";
}

TEST_F(StreamBackendTest, AFrameSentInPartIsFinishedWithNobodyCalling) {
    start(true);
    StreamPeer peer = StreamPeer::connect(path_);
    expect_works(peer);
    // Lengths at whose ends the kernel does not happen to cut what it takes of a batch.
    for (const std::size_t bytes : {std::size_t{9001}, std::size_t{5003}, std::size_t{12'347}, std::size_t{33'333}}) {
        const Bytes contents = make_packet(random_, bytes);
        const PacketBuffer buffer(contents);
        const std::vector<Packet> batch(64, buffer.packet());
        std::size_t sent = 0;
        for (std::size_t done = batch.size(); done == batch.size();) {
            done = sender_->send(batch);
            sent += done;
        }
        // The last of them lies in the socket in part only, and nobody calls the sender any more.
        for (; sent != 0; --sent) {
            ASSERT_EQ(peer.take(), contents) << bytes;
        }
    }
}

TEST_F(StreamBackendTest, APeerThatGoesWhileThereIsNoRoomWakesTheSender) {
    start(true);
    std::optional<StreamPeer> peer = StreamPeer::connect(path_);
    expect_works(*peer);
    const Bytes contents = make_packet(random_, 9000);
    const std::uint64_t before = sender_->dropped();
    while (send(contents)) {
    }
    ASSERT_EQ(sender_->dropped(), before);
    EdgeWatch room(sender_->room_fd());
    ASSERT_TRUE(sender_->arm());
    peer.reset();
    EXPECT_TRUE(room.signalled());
    EXPECT_TRUE(eventually([&] { return sender_->can_send(); }));
    EXPECT_FALSE(send(contents)) << "dropped";
}

TEST_F(StreamBackendTest, SegmentsAndChecksumsAreNotPartOfTheProtocol) {
    start(true);
    StreamPeer peer = StreamPeer::connect(path_);
    expect_works(peer);
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.checksum_start = 34;
    const PacketBuffer buffer(make_packet(random_, 100), 1, info);
    const Packet packet = buffer.packet();
    const std::uint64_t before = sender_->dropped();
    EXPECT_EQ(sender_->send({&packet, 1}), 1U);
    EXPECT_EQ(sender_->dropped(), before + 1);
    expect_works(peer);
}

TEST_F(StreamBackendTest, ASocketThatIsLeftBehindIsReplaced) {
    listen_on(path_).reset();  // closed, but the file stays
    ASSERT_TRUE(std::filesystem::exists(path_));
    start(true);
    StreamPeer peer = StreamPeer::connect(path_);
    expect_works(peer);
    sender_.reset();
    receiver_.reset();
    backend_.reset();
    EXPECT_FALSE(std::filesystem::exists(path_)) << "it leaves none behind itself";
}

TEST(StreamOptionsTest, WhatCannotBeIsRefused) {
    const TemporaryDirectory directory;
    EXPECT_EQ(StreamBackend::create({}).error().kind, ErrorKind::invalid_argument);
    EXPECT_THAT(StreamBackend::create({.path = std::string(200, 'x')}).error().message, HasSubstr("107"));
    EXPECT_EQ(StreamBackend::create({.path = directory / "a", .listen = true, .reconnect_ms = 0}).error().kind,
              ErrorKind::out_of_range);
    EXPECT_THAT(StreamBackend::create({.path = directory / "no/such", .listen = true}).error().message,
                HasSubstr("No such file"));
    const Fd other = listen_on(directory / "taken");
    EXPECT_EQ(StreamBackend::create({.path = directory / "taken", .listen = true}).error().kind,
              ErrorKind::already_exists);
    std::ofstream(directory / "file") << "precious";
    EXPECT_THAT(StreamBackend::create({.path = directory / "file", .listen = true}).error().message,
                HasSubstr("no socket"));
    EXPECT_EQ(std::filesystem::file_size(directory / "file"), 8U);
}

}  // namespace
}  // namespace sidecore::network::test
