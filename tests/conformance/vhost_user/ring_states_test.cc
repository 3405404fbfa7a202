// SPDX-License-Identifier: Apache-2.0
// vhost-user, "Ring states" and "Suspended device state".
#include <thread>
#include <unistd.h>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::eventfd;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SessionScript;
using testing::socket_pair;
using ::testing::StartsWith;

class RingStates : public SessionScript {};

// "Each ring is initialized in a stopped and disabled state"
TEST_F(RingStates, InitializedStoppedAndDisabled) {
    negotiate();
    send_memory();
    send_setup(0);
    send_fd(Request::set_vring_call, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Not(Contains(StartsWith("start_vring"))));
    EXPECT_THAT(handler.events, Not(Contains(StartsWith("enable_vring"))));
}

// "Rings are started with VHOST_USER_SET_VRING_KICK"
TEST_F(RingStates, StartedWithSetVringKick) {
    send_started();
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick"));
}

// "Back-ends SHOULD NOT rely on receiving a kick after VHOST_USER_SET_VRING_KICK"
TEST_F(RingStates, StartedWithoutAnyKick) {
    const Fd kick = eventfd();
    send_memory();
    send_setup(0);
    send(Request::set_vring_kick, std::uint64_t{0}, {kick.get()});
    ASSERT_TRUE(run());
    EXPECT_FALSE(handler.queues[0].kick_seen);
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick"));
}

// "and stopped with VHOST_USER_GET_VRING_BASE"
TEST_F(RingStates, StoppedWithGetVringBase) {
    send_started();
    send(Request::get_vring_base, VringState{0, 0});
    send_fd(Request::set_vring_call, 0);  // not started any more: nothing is replaced
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick", "stop_vring 0"));
}

// "A stopped ring enters the started state again with VHOST_USER_SET_VRING_KICK"
TEST_F(RingStates, StartedAgainWithSetVringKick) {
    handler.served_by_stop = 5;
    send_started();
    send(Request::get_vring_base, VringState{0, 0});
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 5 kick"));
}

// "The enabled/disabled state should still be tracked, though, so it can come into effect once the ring is started"
TEST_F(RingStates, EnabledStateIsTrackedWhileStopped) {
    negotiate();
    send(Request::set_vring_enable, VringState{0, 1});
    send_started();
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::set_vring_enable, VringState{0, 0});
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "enable_vring 0", "set_memory 1 regions",
                                            "start_vring 0 size 256 base 0 kick", "stop_vring 0", "disable_vring 0",
                                            "start_vring 0 size 256 base 0 kick", "stop_vring 0"));
}

// "Rings can be enabled or disabled by VHOST_USER_SET_VRING_ENABLE"
TEST_F(RingStates, EnabledAndDisabledBySetVringEnable) {
    negotiate();
    send_started();
    send(Request::set_vring_enable, VringState{0, 1});
    send(Request::set_vring_enable, VringState{0, 0});
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                            "enable_vring 0", "disable_vring 0", "stop_vring 0"));
}

// "upon receiving a VHOST_USER_SET_FEATURES message from the front-end without VHOST_USER_F_PROTOCOL_FEATURES set, the
// back-end must enable all rings immediately"
TEST_F(RingStates, AllEnabledBySetFeaturesWithoutBit30) {
    send_started();
    send_u64(Request::set_features, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                                            "stop_vring 0", "set_features 0x0", "enable_vring 0", "enable_vring 1",
                                            "enable_vring 2", "enable_vring 3"));
}

// "While processing the rings, the back-end must support changing some configuration aspects on the fly"
TEST_F(RingStates, ConfigurationChangesOnTheFly) {
    send_started();
    send_fd(Request::set_vring_call, 0);
    send_fd(Request::set_vring_err, 0);
    send_fd(Request::set_vring_kick, 0);
    send_memory();
    send(Request::set_vring_addr, addresses(0));
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick", "replace_call 0",
                            "replace_error 0", "replace_kick 0", "set_memory 1 regions", "stop_vring 0"));
}

class SuspendedDeviceState : public SessionScript {
protected:
    void run_in_background() {
        runner_ = std::thread([this] { EXPECT_TRUE(session->run()); });
    }
    void finish() {
        session->stop();
        runner_.join();
    }
    std::thread runner_;
};

// "While all vrings are stopped, the device is suspended. … the device must: not send any messages to the front-end"
TEST_F(SuspendedDeviceState, SendsNoMessagesToTheFrontEnd) {
    auto [here, there] = socket_pair();
    ASSERT_TRUE(set_nonblocking(here.get()));
    negotiate();
    send_started();
    send_bytes(Request::set_backend_req_fd, {}, {there.get()});
    send(Request::get_vring_base, VringState{0, 0});
    run_in_background();
    ASSERT_TRUE(front_end().receive());
    EXPECT_TRUE(handler.channel->announce_config_change());
    char byte = 0;
    EXPECT_EQ(::read(here.get(), &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
    finish();
}

// "still process and reply to messages from the front-end"
TEST_F(SuspendedDeviceState, StillRepliesToTheFrontEnd) {
    negotiate();
    send_started();
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_status);
    send(Request::get_config, ConfigHeader{0, 8, 0});
    ASSERT_TRUE(run());
    EXPECT_EQ(replies().size(), 4U);
}

}  // namespace
}  // namespace sidecore::vhost_user
