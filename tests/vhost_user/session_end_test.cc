// SPDX-License-Identifier: Apache-2.0
// What ends a session and what does not, and what is left of it.
#include <thread>
#include <unistd.h>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::eventfd;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::open_descriptors;
using testing::SessionScript;
using testing::socket_pair;

class SessionEnd : public SessionScript {};

TEST_F(SessionEnd, RefusesMemoryThatCannotBeMappedAndGoesOn) {
    const SingleMemoryRegion region{0, {0, 0x10000, user_base, 0}};
    const SingleMemoryRegion overlapping{0, {0x8000, 0x10000, user_base + 0x10000, 0}};
    const SingleMemoryRegion unknown{0, {0, 0x20000, user_base, 0}};
    negotiate();
    send(Request::rem_mem_reg, region, {}, need_reply);  // there is none at all yet
    send(Request::add_mem_reg, region, {memory.get()}, need_reply);
    send(Request::add_mem_reg, overlapping, {memory.get()}, need_reply);
    send(Request::rem_mem_reg, unknown, {}, need_reply);
    send_bytes(Request::set_mem_table, table({{0, 0, user_base, 0}}), {memory.get()}, need_reply);
    send(Request::rem_mem_reg, region, {}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "set_memory 0 regions"));
    EXPECT_THAT(reply_values(), ElementsAre(1U, 0U, 1U, 1U, 1U, 0U));
}

TEST_F(SessionEnd, EndsWhenAFailureCannotBeTold) {
    negotiate();
    send(Request::rem_mem_reg, SingleMemoryRegion{0, {0, 0x10000, user_base, 0}});
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("REM_MEM_REG: there is no memory region yet"));
}

TEST_F(SessionEnd, EndsWhenTheHandlerFails) {
    negotiate();
    handler.failing = "set_memory";
    send_memory(need_reply);
    send(Request::get_features);
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::system);
    EXPECT_THAT(result.error().message, HasSubstr("SET_MEM_TABLE: the fake fails"));
    EXPECT_THAT(reply_values(), ElementsAre(1U));  // and nothing after it
}

TEST_F(SessionEnd, StopsTheOtherVringsWhenOneFailsToStop) {
    send_memory();
    for (std::uint32_t index = 0; index < 3; ++index) {
        send_setup(index);
        send_fd(Request::set_vring_kick, index);
    }
    handler.failing = "stop_vring";
    ASSERT_TRUE(run());
    EXPECT_FALSE(handler.any_started());
}

TEST_F(SessionEnd, LeavesNoDescriptorBehind) {
    const std::size_t before = open_descriptors();
    negotiate();
    for (int i = 0; i < 5; ++i) {
        send_memory();
        send_setup(0);
        send_fd(Request::set_vring_call, 0);
        send_fd(Request::set_vring_err, 0);
        send_fd(Request::set_vring_kick, 0);
        send_fd(Request::set_vring_kick, 0);
        auto [front_end, back_end] = socket_pair();
        send_bytes(Request::set_backend_req_fd, {}, {back_end.get()});
        send(Request::get_vring_base, VringState{0, 0});
        send_fd(Request::set_vring_kick, 1);
    }
    ASSERT_TRUE(run());
    session.reset();
    handler.map.reset();
    handler.channel.reset();
    EXPECT_EQ(open_descriptors(), before - 1);  // the session's own socket
}

TEST_F(SessionEnd, LeavesNoDescriptorBehindAfterAViolation) {
    const std::size_t before = open_descriptors();
    negotiate();
    send_started();
    const Fd surplus = eventfd();
    send_bytes(Request::set_owner, {}, {surplus.get(), surplus.get()});
    ASSERT_FALSE(run());
    session.reset();
    handler.map.reset();
    EXPECT_EQ(open_descriptors(), before);  // less the session's socket, and `surplus` more
}

TEST(SessionCreate, RefusesAHandlerThatCannotBe) {
    const auto create = [](std::uint64_t features, std::uint16_t queues) {
        testing::FakeHandler handler(queues);
        handler.offered = features;
        auto [front_end, back_end] = socket_pair();
        return Session::create(Connection(std::move(back_end)), handler, "disk0").has_value();
    };
    EXPECT_TRUE(create(0, 1));
    EXPECT_TRUE(create(0, 256));
    EXPECT_FALSE(create(0, 0));
    EXPECT_FALSE(create(0, 257));
    EXPECT_FALSE(create(protocol_features_mask, 1));
}

// With a second thread.

TEST_F(SessionEnd, StopsBeforeItRuns) {
    send_memory();  // is not looked at any more
    session->stop();
    EXPECT_TRUE(session->run());
    EXPECT_THAT(handler.events, IsEmpty());
}

TEST_F(SessionEnd, StopsWhileItWaits) {
    send_started();
    send(Request::get_queue_num);
    Result<void> result;
    std::thread runner([&] { result = session->run(); });
    ASSERT_TRUE(front_end().receive());  // it has read all and waits
    session->stop();
    runner.join();
    EXPECT_TRUE(result);
    EXPECT_FALSE(handler.any_started());
    EXPECT_THAT(handler.events, Contains("stop_vring 0"));
}

TEST_F(SessionEnd, StopsInTheMiddleOfAMessage) {
    const auto header = make_header(Request::set_vring_num, sizeof(VringState));
    send(Request::get_queue_num);
    ASSERT_EQ(::write(front_end().fd(), &header, sizeof(header)), static_cast<ssize_t>(sizeof(header)));
    Result<void> result = failure(ErrorKind::timed_out, "not yet");
    std::thread runner([&] { result = session->run(); });
    ASSERT_TRUE(front_end().receive());
    session->stop();
    runner.join();
    EXPECT_TRUE(result);
}

TEST_F(SessionEnd, TakesAFrontEndThatGoesBeforeItsReplyForAnOrderlyEnd) {
    send_started();
    for (int i = 0; i < 10; ++i) {
        send(Request::get_features);
    }
    ::shutdown(front_end().fd(), SHUT_RDWR);
    EXPECT_TRUE(session->run());
    EXPECT_FALSE(handler.any_started());
}

}  // namespace
}  // namespace sidecore::vhost_user
