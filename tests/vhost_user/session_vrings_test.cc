// SPDX-License-Identifier: Apache-2.0
// Each request that concerns a vring, and what the handler then sees.
#include <fcntl.h>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::eventfd;
using ::testing::IsEmpty;
using testing::SessionScript;

class SessionVrings : public SessionScript {};

TEST_F(SessionVrings, StartsAVringWithAllThatIsKnown) {
    negotiate();
    send_memory();
    send_setup(2, 128, 77);
    send_fd(Request::set_vring_call, 2);
    send_fd(Request::set_vring_err, 2);
    send_fd(Request::set_vring_kick, 2);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_memory 1 regions",
                                            "start_vring 2 size 128 base 77 kick call error", "stop_vring 2"));
}

TEST_F(SessionVrings, StartsAVringWithoutDescriptors) {
    send_memory();
    send_setup(0);
    send_fd(Request::set_vring_call, 0);
    send_no_fd(Request::set_vring_call, 0);
    send_no_fd(Request::set_vring_err, 0);
    send_no_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0"));
}

TEST_F(SessionVrings, StartsAVringWithoutABase) {
    send_memory();
    send(Request::set_vring_num, VringState{0, 256});
    send(Request::set_vring_addr, addresses(0));
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick"));
}

TEST_F(SessionVrings, StartsAVringOfAnySize) {
    for (std::uint32_t index = 0; index < 3; ++index) {
        send(Request::set_vring_num, VringState{index, index == 0 ? 1U : index == 1 ? 2U : 32768U});
    }
    // The largest one: 512 KiB, 64 KiB and 256 KiB, in that order and misaligned as far as is allowed.
    send(Request::set_vring_addr,
         VringAddr{2, 0, user_base + 0x10, user_base + 0xa0004, user_base + 0x90002, ~std::uint64_t{0}});
    send_memory();
    send_fd(Request::set_vring_kick, 2);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 2 size 32768 base 0 kick"));
}

TEST_F(SessionVrings, WaitsWithTheStartUntilAllIsKnown) {
    send_fd(Request::set_vring_kick, 1);
    send(Request::set_vring_base, VringState{1, 5});
    send(Request::set_vring_num, VringState{1, 64});
    send(Request::set_vring_addr, addresses(1));
    EXPECT_THAT(handler.events, IsEmpty());
    send_memory();
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 1 size 64 base 5 kick", "stop_vring 1"));
}

TEST_F(SessionVrings, WaitsWithTheStartForTheRegionOfTheRing) {
    const std::uint64_t half = memory_size / 2;
    negotiate();
    send_fd(Request::set_vring_kick, 1);
    send_setup(1);
    send(Request::add_mem_reg, SingleMemoryRegion{0, {half, half, user_base + half, half}}, {memory.get()});
    send(Request::add_mem_reg, SingleMemoryRegion{0, {0, half, user_base, 0}}, {memory.get()});
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_memory 1 regions", "set_memory 2 regions",
                                            "start_vring 1 size 256 base 0 kick", "stop_vring 1"));
}

TEST_F(SessionVrings, DoesNotStartWithoutAKick) {
    send_memory();
    send_setup(0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions"));
}

TEST_F(SessionVrings, StopsAVringAndSaysWhereItWas) {
    handler.served_by_stop = 40;
    send_memory();
    send_setup(0, 256, 65530);
    send_fd(Request::set_vring_kick, 0);
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_vring_base, VringState{1, 0});
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 65530 kick",
                                            "stop_vring 0", "start_vring 0 size 256 base 34 kick", "stop_vring 0"));
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 3U);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(answers[i].header, (MessageHeader{11, 0x5, 8}));
        EXPECT_EQ(read_payload<VringState>(answers[i].payload).index, 0U);
        EXPECT_EQ(read_payload<VringState>(answers[i].payload).num, 34U);
    }
    EXPECT_EQ(read_payload<VringState>(answers[2].payload).index, 1U);
    EXPECT_EQ(read_payload<VringState>(answers[2].payload).num, 0U);
}

TEST_F(SessionVrings, ForgetsAKickThatWaitsWhenTheVringIsStopped) {
    send_fd(Request::set_vring_kick, 0);
    send(Request::get_vring_base, VringState{0, 0});
    send_memory();
    send_setup(0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions"));
}

TEST_F(SessionVrings, ReplacesDescriptorsOfAStartedVring) {
    send_started();
    send_fd(Request::set_vring_kick, 0);
    send_fd(Request::set_vring_call, 0);
    send_fd(Request::set_vring_err, 0);
    send_no_fd(Request::set_vring_kick, 0);
    send_no_fd(Request::set_vring_call, 0);
    send_no_fd(Request::set_vring_err, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick", "replace_kick 0",
                            "replace_call 0", "replace_error 0", "replace_kick 0 none", "replace_call 0 none",
                            "replace_error 0 none", "stop_vring 0"));
}

TEST_F(SessionVrings, KeepsCallAndErrorOverAStop) {
    send_memory();
    send_setup(0);
    send_fd(Request::set_vring_err, 0);
    send_fd(Request::set_vring_kick, 0);
    send_fd(Request::set_vring_call, 0);  // while it runs
    send(Request::get_vring_base, VringState{0, 0});
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick call error"));
}

TEST_F(SessionVrings, GivesTheHandlerDescriptorsThatWork) {
    const Fd kick = eventfd();
    const Fd call = eventfd();
    const Fd error = eventfd();
    send_memory();
    send_setup(0);
    send(Request::set_vring_call, std::uint64_t{0}, {call.get()});
    send(Request::set_vring_err, std::uint64_t{0}, {error.get()});
    send(Request::set_vring_kick, std::uint64_t{0}, {kick.get()});
    signal_eventfd(kick.get());
    ASSERT_TRUE(run());
    EXPECT_TRUE(handler.queues[0].kick_seen);
    EXPECT_TRUE(drain_eventfd(call.get()));
    EXPECT_TRUE(drain_eventfd(error.get()));
}

TEST_F(SessionVrings, LeavesABlockingDescriptorBlocking) {
    const Fd call = eventfd();  // libblkio's users read it in blocking mode
    ASSERT_EQ(::fcntl(call.get(), F_SETFL, 0), 0);
    send_memory();
    send_setup(0);
    send(Request::set_vring_call, std::uint64_t{0}, {call.get()});
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick call"));
    EXPECT_EQ(::fcntl(call.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(SessionVrings, EnablesAndDisables) {
    negotiate();
    send(Request::set_vring_enable, VringState{1, 1});
    send(Request::set_vring_enable, VringState{1, 1});
    send(Request::set_vring_enable, VringState{1, 0});
    send(Request::set_vring_enable, VringState{0, 0});
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "enable_vring 1", "disable_vring 1"));
}

TEST_F(SessionVrings, ChangesMemoryWhileRunning) {
    send_started();
    send_memory();
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                                            "set_memory 1 regions", "stop_vring 0"));
}

TEST_F(SessionVrings, AcceptsWhatAStartedVringAlreadyHas) {
    send_started();
    send(Request::set_vring_num, VringState{0, 256});
    send(Request::set_vring_addr, addresses(0));
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick", "stop_vring 0"));
}

TEST_F(SessionVrings, StopsAStartedVringThatIsChanged) {
    handler.served_by_stop = 3;
    send_started();
    send(Request::set_vring_num, VringState{0, 128});
    send_fd(Request::set_vring_kick, 0);
    send(Request::set_vring_addr,
         VringAddr{0, 0, addresses(1).descriptor, addresses(1).used, addresses(1).available, 0});
    send_fd(Request::set_vring_kick, 0);
    send(Request::set_vring_base, VringState{0, 9});
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick", "stop_vring 0",
                            "start_vring 0 size 128 base 3 kick", "stop_vring 0", "start_vring 0 size 128 base 6 kick",
                            "stop_vring 0", "start_vring 0 size 128 base 9 kick", "stop_vring 0"));
}

}  // namespace
}  // namespace sidecore::vhost_user
