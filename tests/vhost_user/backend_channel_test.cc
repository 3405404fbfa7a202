// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/backend_channel.hh"

#include <csignal>
#include <fcntl.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using testing::memory_file;
using testing::SessionScript;
using testing::socket_pair;

/// How many CONFIG_CHANGE_MSG wait there, each without need_reply and without a payload.
std::size_t announcements(int fd) {
    std::size_t count = 0;
    MessageHeader header;
    while (::read(fd, &header, sizeof(header)) == static_cast<ssize_t>(sizeof(header))) {
        EXPECT_EQ(header, (MessageHeader{2, 0x1, 0}));
        ++count;
    }
    return count;
}

class BackendChannelTest : public ::testing::Test {
protected:
    BackendChannelTest() {
        auto [here, there] = socket_pair();
        front_end = std::move(there);
        EXPECT_TRUE(set_nonblocking(front_end.get()));
        auto created = BackendChannel::create(std::move(here), true);
        EXPECT_TRUE(created);
        channel = *created;
    }

    void expect_failure(ErrorKind kind) {
        const auto announced = channel->announce_config_change();
        ASSERT_FALSE(announced);
        EXPECT_EQ(announced.error().kind, kind) << announced.error().message;
    }

    Fd front_end;
    std::shared_ptr<BackendChannel> channel;
};

TEST_F(BackendChannelTest, AnnouncesOnceAfterItWasSuspended) {
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_EQ(announcements(front_end.get()), 0U);
    EXPECT_TRUE(channel->set_suspended(false));
    EXPECT_EQ(announcements(front_end.get()), 1U);
    EXPECT_TRUE(channel->set_suspended(true));
    EXPECT_TRUE(channel->set_suspended(false));
    EXPECT_EQ(announcements(front_end.get()), 0U);
}

TEST_F(BackendChannelTest, AnnouncesAtOnceWhileRunning) {
    EXPECT_TRUE(channel->set_suspended(false));
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_EQ(announcements(front_end.get()), 2U);
}

TEST_F(BackendChannelTest, NeverWaitsForTheFrontEnd) {
    EXPECT_TRUE(channel->set_suspended(false));
    std::size_t sent = 0;
    while (channel->announce_config_change()) {
        ASSERT_LT(++sent, 1'000'000U);
    }
    expect_failure(ErrorKind::timed_out);
    EXPECT_EQ(announcements(front_end.get()), sent);
    EXPECT_TRUE(channel->announce_config_change());
}

TEST_F(BackendChannelTest, NoticesThatTheFrontEndIsGone) {
    EXPECT_TRUE(channel->set_suspended(false));
    front_end.reset();
    expect_failure(ErrorKind::closed);
    expect_failure(ErrorKind::closed);
}

TEST_F(BackendChannelTest, IsClosedByTheSession) {
    channel->close();
    expect_failure(ErrorKind::closed);
    EXPECT_TRUE(channel->set_suspended(false));
    EXPECT_EQ(announcements(front_end.get()), 0U);
}

TEST_F(BackendChannelTest, MayBeUsedFromSeveralThreads) {
    constexpr std::size_t per_thread = 100;
    const auto announce = [&] {
        for (std::size_t i = 0; i < per_thread; ++i) {
            EXPECT_TRUE(channel->announce_config_change());
        }
    };
    EXPECT_TRUE(channel->set_suspended(false));
    std::thread first(announce);
    std::thread second(announce);
    first.join();
    second.join();
    EXPECT_EQ(announcements(front_end.get()), 2 * per_thread);
}

TEST(BackendChannel, WorksOverAPipe) {
    std::array<int, 2> ends{-1, -1};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd front_end(ends[0]);
    ASSERT_TRUE(set_nonblocking(front_end.get()));
    auto channel = BackendChannel::create(Fd(ends[1]), true);
    ASSERT_TRUE(channel);
    EXPECT_TRUE((*channel)->set_suspended(false));
    std::size_t sent = 0;
    while ((*channel)->announce_config_change()) {
        ASSERT_LT(++sent, 1'000'000U);
    }
    EXPECT_GT(sent, 0U);
    EXPECT_EQ(announcements(front_end.get()), sent);
}

TEST(BackendChannel, SaysWhenThereIsNothingToAnnounce) {
    auto [here, there] = socket_pair();
    auto channel = BackendChannel::create(std::move(here), false);
    ASSERT_TRUE(channel);
    EXPECT_TRUE((*channel)->set_suspended(false));
    const auto announced = (*channel)->announce_config_change();
    ASSERT_FALSE(announced);
    EXPECT_EQ(announced.error().kind, ErrorKind::unsupported);
}

TEST(BackendChannel, RefusesAFile) {
    const auto channel = BackendChannel::create(memory_file(4096), true);
    ASSERT_FALSE(channel);
    EXPECT_EQ(channel.error().kind, ErrorKind::protocol_violation);
}

class SessionsChannel : public SessionScript {
protected:
    SessionsChannel() {
        auto [here, there] = socket_pair();
        here_ = std::move(here);
        there_ = std::move(there);
        EXPECT_TRUE(set_nonblocking(here_.get()));
    }
    Fd here_;
    Fd there_;
};

TEST_F(SessionsChannel, AnnouncesWhenTheFirstVringStarts) {
    negotiate();
    send_bytes(Request::set_backend_req_fd, {}, {there_.get()}, need_reply);
    send(Request::get_queue_num);
    std::thread runner([&] { EXPECT_TRUE(session->run()); });
    ASSERT_TRUE(front_end().receive());
    ASSERT_TRUE(front_end().receive());
    const auto channel = handler.channel;
    ASSERT_TRUE(channel);
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_EQ(announcements(here_.get()), 0U);
    send_started();
    send_setup(1);
    send_fd(Request::set_vring_kick, 1);
    send(Request::get_queue_num);
    ASSERT_TRUE(front_end().receive());
    EXPECT_EQ(announcements(here_.get()), 1U);
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_EQ(announcements(here_.get()), 1U);
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_vring_base, VringState{1, 0});
    ASSERT_TRUE(front_end().receive());
    ASSERT_TRUE(front_end().receive());
    EXPECT_TRUE(channel->announce_config_change());
    EXPECT_EQ(announcements(here_.get()), 0U);
    session->stop();
    runner.join();
    const auto announced = channel->announce_config_change();
    ASSERT_FALSE(announced);
    EXPECT_EQ(announced.error().kind, ErrorKind::closed);
}

TEST_F(SessionsChannel, RunsAtOnceIfAVringRuns) {
    negotiate();
    send_started();
    send_bytes(Request::set_backend_req_fd, {}, {there_.get()});
    send(Request::get_queue_num);
    std::thread runner([&] { EXPECT_TRUE(session->run()); });
    ASSERT_TRUE(front_end().receive());
    EXPECT_TRUE(handler.channel->announce_config_change());
    EXPECT_EQ(announcements(here_.get()), 1U);
    session->stop();
    runner.join();
}

TEST_F(SessionsChannel, IsReplacedByANewOne) {
    auto [second_here, second_there] = socket_pair();
    ASSERT_TRUE(set_nonblocking(second_here.get()));
    negotiate();
    send_started();
    send_bytes(Request::set_backend_req_fd, {}, {there_.get()});
    send_bytes(Request::set_backend_req_fd, {}, {second_there.get()});
    send(Request::get_queue_num);
    std::thread runner([&] { EXPECT_TRUE(session->run()); });
    ASSERT_TRUE(front_end().receive());
    EXPECT_TRUE(handler.channel->announce_config_change());
    EXPECT_EQ(announcements(here_.get()), 0U);
    EXPECT_EQ(announcements(second_here.get()), 1U);
    session->stop();
    runner.join();
}

}  // namespace
}  // namespace sidecore::vhost_user
