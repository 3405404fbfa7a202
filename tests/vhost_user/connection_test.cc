// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/connection.hh"

#include <fcntl.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using testing::eventfd;
using ::testing::HasSubstr;
using testing::open_descriptors;
using testing::socket_pair;

class ConnectionTest : public ::testing::Test {
protected:
    ConnectionTest() {
        auto [here, there] = socket_pair();
        connection.emplace(std::move(here));
        peer = std::move(there);
    }

    void write(std::span<const std::byte> bytes) {
        ASSERT_EQ(::write(peer.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    }

    /// `bytes` with descriptors, which go with the first of them.
    void write_with_fds(std::span<const std::byte> bytes, const std::vector<int>& fds) {
        std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
        iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
        ASSERT_EQ(::sendmsg(peer.get(), &message, 0), static_cast<ssize_t>(bytes.size()));
    }

    void expect_error(ErrorKind kind, const std::string& text) {
        const auto message = connection->receive();
        ASSERT_FALSE(message);
        EXPECT_EQ(message.error().kind, kind);
        EXPECT_THAT(message.error().message, HasSubstr(text));
    }

    std::optional<Connection> connection;
    Fd peer;
};

TEST_F(ConnectionTest, ReceivesDescriptorsCloseOnExec) {
    const Fd first = eventfd();
    const Fd second = eventfd();
    write_with_fds(payload_bytes(make_header(Request::set_mem_table, 0)), {first.get(), second.get()});
    const auto message = connection->receive();
    ASSERT_TRUE(message);
    ASSERT_EQ(message->fds.size(), 2U);
    for (const Fd& fd : message->fds) {
        EXPECT_EQ(::fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
        signal_eventfd(fd.get());
    }
    EXPECT_TRUE(drain_eventfd(first.get()));
    EXPECT_TRUE(drain_eventfd(second.get()));
}

TEST_F(ConnectionTest, SendsDescriptorsWithTheFirstByte) {
    const Fd event = eventfd();
    const std::uint64_t index = 1;
    const std::array<int, 1> fds{event.get()};
    ASSERT_TRUE(connection->send(make_header(Request::set_vring_kick, sizeof(index)), payload_bytes(index), fds));
    Connection other(std::move(peer));
    const auto message = other.receive();
    ASSERT_TRUE(message);
    ASSERT_EQ(message->fds.size(), 1U);
    signal_eventfd(message->fds[0].get());
    EXPECT_TRUE(drain_eventfd(event.get()));
}

TEST_F(ConnectionTest, RefusesToSendTooManyDescriptors) {
    const std::vector<int> fds(limits::fds + 1, peer.get());
    const auto sent = connection->send(make_header(Request::set_mem_table, 0), {}, fds);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, ErrorKind::invalid_argument);
}

TEST_F(ConnectionTest, TakesAsManyDescriptorsAsAllowed) {
    const Fd event = eventfd();
    const std::size_t before = open_descriptors();
    write_with_fds(payload_bytes(make_header(Request::set_mem_table, 0)), std::vector<int>(limits::fds, event.get()));
    {
        const auto message = connection->receive();
        ASSERT_TRUE(message);
        EXPECT_EQ(message->fds.size(), limits::fds);
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ConnectionTest, ClosesTooManyDescriptors) {
    const Fd event = eventfd();
    const std::size_t before = open_descriptors();
    for (const std::size_t count : {limits::fds + 1, std::size_t{200}}) {
        write_with_fds(payload_bytes(make_header(Request::set_mem_table, 0)), std::vector<int>(count, event.get()));
        expect_error(ErrorKind::protocol_violation, "descriptors of a message were lost: more than 32");
        EXPECT_EQ(open_descriptors(), before);
    }
}

TEST_F(ConnectionTest, CollectsDescriptorsOverTheWholeHeader) {
    // A header in two pieces, each with a descriptor: more than 32 can come in sum.
    const auto header = make_header(Request::set_mem_table, 0);
    const auto bytes = payload_bytes(header);
    const Fd event = eventfd();
    const std::size_t before = open_descriptors();
    write_with_fds(bytes.first(4), std::vector<int>(20, event.get()));
    write_with_fds(bytes.subspan(4), std::vector<int>(20, event.get()));
    expect_error(ErrorKind::protocol_violation, "SET_MEM_TABLE: 40 descriptors, expected at most 32");
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ConnectionTest, RefusesDescriptorsWithThePayload) {
    const Fd event = eventfd();
    const std::size_t before = open_descriptors();
    const std::uint64_t index = 0;
    write(payload_bytes(make_header(Request::set_vring_kick, sizeof(index))));
    write_with_fds(payload_bytes(index), {event.get()});
    expect_error(ErrorKind::protocol_violation, "SET_VRING_KICK: descriptors came with the payload");
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ConnectionTest, PutsPiecesTogether) {
    std::vector<std::byte> bytes;
    append_payload(bytes, make_header(Request::set_vring_num, sizeof(VringState)));
    append_payload(bytes, VringState{1, 64});
    std::thread slow([&] {
        for (const std::byte& byte : bytes) {
            write(std::span(&byte, 1));
            std::this_thread::yield();
        }
    });
    const auto message = connection->receive();
    slow.join();
    ASSERT_TRUE(message);
    EXPECT_EQ(read_payload<VringState>(message->payload).num, 64U);
}

TEST_F(ConnectionTest, KeepsMessagesApart) {
    std::vector<std::byte> bytes;
    for (std::uint32_t i = 0; i < 3; ++i) {
        append_payload(bytes, make_header(Request::set_vring_num, sizeof(VringState)));
        append_payload(bytes, VringState{i, 64});
    }
    write(bytes);
    for (std::uint32_t i = 0; i < 3; ++i) {
        const auto message = connection->receive();
        ASSERT_TRUE(message);
        EXPECT_EQ(read_payload<VringState>(message->payload).index, i);
    }
}

TEST_F(ConnectionTest, WorksOnANonBlockingSocket) {
    ASSERT_TRUE(set_nonblocking(connection->fd()));
    std::thread late([&] { write(payload_bytes(make_header(Request::get_features, 0))); });
    const auto message = connection->receive();
    late.join();
    ASSERT_TRUE(message) << message.error().message;
    EXPECT_EQ(message->header.request, 1U);
}

TEST_F(ConnectionTest, SendsMoreThanTheSocketHolds) {
    ASSERT_TRUE(set_nonblocking(connection->fd()));
    const std::vector<std::byte> payload(limits::payload_size);
    constexpr int count = 200;
    std::thread sender([&] {
        for (int i = 0; i < count; ++i) {
            ASSERT_TRUE(connection->send(make_header(Request::set_config, payload.size()), payload));
        }
    });
    Connection other(std::move(peer));
    for (int i = 0; i < count; ++i) {
        const auto message = other.receive();
        ASSERT_TRUE(message);
        ASSERT_EQ(message->payload.size(), payload.size());
    }
    sender.join();
}

TEST_F(ConnectionTest, EndsWithThePeer) {
    peer.reset();
    expect_error(ErrorKind::closed, "the peer closed the connection");
    const auto sent = connection->send(make_header(Request::get_features, 0));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, ErrorKind::closed);
}

TEST_F(ConnectionTest, TakesAResetForTheEnd) {
    // A UNIX socket is reset when it is closed with something unread.
    ASSERT_TRUE(connection->send(make_header(Request::get_features, 0)));
    peer.reset();
    expect_error(ErrorKind::closed, "the peer closed the connection");
}

TEST_F(ConnectionTest, NoticesAnEndWithinTheHeader) {
    const auto header = make_header(Request::get_features, 0);
    write(payload_bytes(header).first(7));
    peer.reset();
    expect_error(ErrorKind::protocol_violation, "the stream ended after 7 of the 12 bytes of a header");
}

TEST_F(ConnectionTest, NoticesAnEndWithinThePayload) {
    write(payload_bytes(make_header(Request::set_vring_num, sizeof(VringState))));
    write(payload_bytes(std::uint32_t{1}));
    peer.reset();
    expect_error(ErrorKind::protocol_violation, "SET_VRING_NUM: the stream ended after 4 of the 8 bytes");
}

TEST_F(ConnectionTest, RefusesAnotherVersion) {
    write(payload_bytes(MessageHeader{1, 0x2, 0}));
    expect_error(ErrorKind::protocol_violation, "GET_FEATURES: flags 0x2 name version 2, expected 1");
}

TEST_F(ConnectionTest, RefusesAHugePayload) {
    write(payload_bytes(MessageHeader{5, 0x1, limits::payload_size + 1}));
    expect_error(ErrorKind::protocol_violation, "SET_MEM_TABLE: a payload of 4097 bytes, expected at most 4096");
}

TEST_F(ConnectionTest, IsInterruptedWhileItWaits) {
    std::thread waiter([&] { expect_error(ErrorKind::closed, "closed"); });
    connection->interrupt();
    waiter.join();
}

TEST_F(ConnectionTest, IsInterruptedInTheMiddleOfAMessage) {
    // A peer that stalls holds up only the thread that waits for the rest.
    write(payload_bytes(make_header(Request::set_vring_num, sizeof(VringState))));
    std::thread waiter([&] { expect_error(ErrorKind::protocol_violation, "the stream ended after 0 of the 8"); });
    connection->interrupt();
    waiter.join();
}

}  // namespace
}  // namespace sidecore::vhost_user
