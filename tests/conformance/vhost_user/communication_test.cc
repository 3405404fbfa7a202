// SPDX-License-Identifier: Apache-2.0
// vhost-user, "Message Specification", "Communication", "VHOST_USER_PROTOCOL_F_REPLY_ACK", "Back-end communication".
// Each test is named after a clause and begins with its words.
#include <thread>
#include <unistd.h>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::eventfd;
using ::testing::IsEmpty;
using testing::SessionScript;
using testing::socket_pair;

class Header : public SessionScript {};

// "Lower 2 bits are the version (currently 0x01)"
TEST_F(Header, Lower2BitsAreTheVersion) {
    ASSERT_TRUE(front_end().send(MessageHeader{1, 0x3, 0}));
    expect_violation("GET_FEATURES: flags 0x3 name version 3, expected 1");
}

// "Bit 2 is the reply flag - needs to be sent on each reply from the back-end"
TEST_F(Header, Bit2IsSentOnEachReply) {
    send(Request::get_features);
    send(Request::get_protocol_features);
    negotiate();
    send(Request::get_queue_num);
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_config, ConfigHeader{0, 8, 0});
    send(Request::get_max_mem_slots);
    send(Request::get_status);
    send(Request::set_owner, need_reply);
    ASSERT_TRUE(run());
    std::vector<std::uint32_t> flags;
    for (const Message& reply : replies()) {
        flags.push_back(reply.header.flags);
    }
    EXPECT_EQ(flags.size(), 8U);
    EXPECT_THAT(flags, Each(0x5U));
}

class Communication : public SessionScript {};

// "Most of the requests don't require replies, except for the following requests"
TEST_F(Communication, MostOfTheRequestsDontRequireReplies) {
    negotiate();
    send(Request::set_owner);
    send(Request::reset_owner);
    send_started();
    send_fd(Request::set_vring_call, 0);
    send_fd(Request::set_vring_err, 0);
    send(Request::set_vring_enable, VringState{0, 1});
    send_u64(Request::set_status, 1);
    send(Request::reset_device);
    ASSERT_TRUE(run());
    EXPECT_THAT(replies(), IsEmpty());
}

// "back-end can therefore expect that file descriptors will only be received in the first recvmsg operation for a
// message header"
TEST_F(Communication, FileDescriptorsComeWithTheFirstBytes) {
    const auto header = make_header(Request::set_vring_call, 8);
    ASSERT_EQ(::write(front_end().fd(), &header, sizeof(header)), static_cast<ssize_t>(sizeof(header)));
    // The payload, which happens to look like a header, with a descriptor.
    const Fd fd = eventfd();
    const std::array<int, 1> fds{fd.get()};
    ASSERT_TRUE(front_end().send(MessageHeader{0, 0, 0}, {}, fds));
    expect_violation("SET_VRING_CALL: descriptors came with the payload, expected with the header");
}

// "If back-end detects some error such as incompatible features, it may also close the connection"
TEST_F(Communication, BackendClosesTheConnectionOnAnError) {
    send_u64(Request::set_features, 1);
    send(Request::get_features);
    expect_violation("were not offered");
    EXPECT_THAT(replies(), IsEmpty());
}

// "An optional reconnection mechanism can be implemented": the next connection starts anew.
TEST_F(Communication, TheNextConnectionStartsAnew) {
    send_started();
    send_bytes(static_cast<Request>(99), {});
    expect_violation("request 99: unknown");
    auto [here, there] = socket_pair();
    auto second = Session::create(Connection(std::move(there)), handler, "second");
    ASSERT_TRUE(second);
    Connection front_end_again(std::move(here));
    const std::uint64_t kick_index = 0 | vring_fd::no_fd;
    ASSERT_TRUE(front_end_again.send(make_header(Request::set_vring_kick, 8), payload_bytes(kick_index)));
    ASSERT_TRUE(front_end_again.send(make_header(Request::get_features, 0)));
    ::shutdown(front_end_again.fd(), SHUT_WR);
    handler.events.clear();
    EXPECT_TRUE((*second)->run());
    EXPECT_THAT(handler.events, IsEmpty());  // nothing is known of the vring: it does not start
    EXPECT_TRUE(front_end_again.receive());
}

class ReplyAck : public SessionScript {};

// "With this protocol extension negotiated, the sender can set the need_reply [Bit 3] flag to any command"
TEST_F(ReplyAck, BackendMustRespondToAnyCommand) {
    negotiate();
    send_u64(Request::set_protocol_features, Session::offered_protocol_features, need_reply);
    send_u64(Request::set_features, virtio_features | protocol_features_mask, need_reply);
    send(Request::set_owner, need_reply);
    send(Request::reset_owner, need_reply);
    send_memory(need_reply);
    send(Request::set_vring_num, VringState{0, 256}, {}, need_reply);
    send(Request::set_vring_base, VringState{0, 0}, {}, need_reply);
    send(Request::set_vring_addr, addresses(0), {}, need_reply);
    send_fd(Request::set_vring_call, 0, need_reply);
    send_fd(Request::set_vring_err, 0, need_reply);
    send_fd(Request::set_vring_kick, 0, need_reply);
    send(Request::set_vring_enable, VringState{0, 1}, {}, need_reply);
    send_u64(Request::set_status, 0xf, need_reply);
    send(Request::reset_device, need_reply);
    ASSERT_TRUE(run());
    const auto values = reply_values();
    EXPECT_EQ(values.size(), 14U);
    EXPECT_THAT(values, Each(0U));
}

// "The payload should be set to zero on success or non-zero on failure"
TEST_F(ReplyAck, PayloadIsNonZeroOnFailure) {
    negotiate();
    send(Request::rem_mem_reg, SingleMemoryRegion{0, region()}, {}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(1U));
}

// "For the message types that already solicit a reply from the back-end, the presence of REPLY_ACK or need_reply bit
// being set brings no behavioural change"
TEST_F(ReplyAck, NoChangeForMessagesThatAlreadySolicitAReply) {
    negotiate();
    send(Request::get_queue_num, need_reply);
    send(Request::get_queue_num);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(4U, 4U));
}

TEST_F(ReplyAck, IsOnlyThereWhenNegotiated) {
    negotiate(Session::offered_protocol_features & ~mask_of(ProtocolFeature::reply_ack));
    send(Request::set_owner, need_reply);
    send_memory(need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(replies(), IsEmpty());
}

class BackendCommunication : public SessionScript {
protected:
    BackendCommunication() {
        auto [here, there] = socket_pair();
        here_.emplace(std::move(here));
        there_ = std::move(there);
    }
    std::optional<Connection> here_;
    Fd there_;
};

// "If VHOST_USER_PROTOCOL_F_REPLY_ACK is negotiated, the back-end must respond with zero for success, non-zero otherwise"
TEST_F(BackendCommunication, SetBackendReqFdIsAcknowledged) {
    negotiate();
    send_bytes(Request::set_backend_req_fd, {}, {there_.get()}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("set_backend_channel"));
    EXPECT_THAT(reply_values(), ElementsAre(0U));
}

// "When VHOST_USER_PROTOCOL_F_CONFIG is negotiated, vhost-user back-end sends such messages to notify that the virtio
// device's configuration space has changed"
TEST_F(BackendCommunication, ConfigChangeMsgIsSent) {
    negotiate();
    send_started();
    send_bytes(Request::set_backend_req_fd, {}, {there_.get()});
    send(Request::get_queue_num);
    std::thread runner([&] { EXPECT_TRUE(session->run()); });
    ASSERT_TRUE(front_end().receive());
    EXPECT_TRUE(handler.channel->announce_config_change());
    const auto message = here_->receive();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->header, (MessageHeader{2, 0x1, 0}));
    EXPECT_THAT(message->fds, IsEmpty());
    session->stop();
    runner.join();
}

TEST_F(BackendCommunication, ConfigChangeMsgNeedsConfig) {
    negotiate(mask_of(ProtocolFeature::backend_req));
    send_started();
    send_bytes(Request::set_backend_req_fd, {}, {there_.get()});
    send(Request::get_features);
    std::thread runner([&] { EXPECT_TRUE(session->run()); });
    ASSERT_TRUE(front_end().receive());
    EXPECT_FALSE(handler.channel->announce_config_change());
    session->stop();
    runner.join();
    there_.reset();
    EXPECT_FALSE(here_->receive());  // nothing was ever sent
}

}  // namespace
}  // namespace sidecore::vhost_user
