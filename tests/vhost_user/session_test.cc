// SPDX-License-Identifier: Apache-2.0
// Each request as it should be, and what the handler then sees.
#include <fcntl.h>
#include <thread>

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

class SessionTest : public SessionScript {};

class SessionOfOneQueue : public SessionScript {
public:
    SessionOfOneQueue() : SessionScript(1) {}
};

TEST_F(SessionTest, OffersTheDevicesFeaturesAndItsOwn) {
    send(Request::get_features);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(handler.offered | (std::uint64_t{1} << 30U)));
}

TEST_F(SessionTest, PassesFeaturesOn) {
    send_u64(Request::set_features, 0x1'7000'0002);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000002"));
    EXPECT_THAT(replies(), IsEmpty());
}

TEST_F(SessionTest, PassesTheSameFeaturesOnOnce) {
    for (int i = 0; i < 3; ++i) {
        send_u64(Request::set_features, virtio_features | protocol_features_mask);
    }
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000"));
}

TEST_F(SessionTest, EnablesAllVringsWithoutProtocolFeatures) {
    send_u64(Request::set_features, virtio_features);
    send_u64(Request::set_features, virtio_features);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "enable_vring 0", "enable_vring 1",
                                            "enable_vring 2", "enable_vring 3"));
}

TEST_F(SessionTest, OffersItsProtocolFeatures) {
    send(Request::get_protocol_features);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0x1'a229U));  // bits 0, 3, 5, 9, 13, 15, 16
}

TEST_F(SessionTest, TakesProtocolFeaturesAgain) {
    send_u64(Request::set_protocol_features, 0x1);
    send_u64(Request::set_protocol_features, Session::offered_protocol_features);
    send(Request::get_status);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0U));
}

TEST_F(SessionTest, TakesOwnershipAndIgnoresItsReset) {
    send(Request::set_owner);
    negotiate();
    send_started();
    send(Request::set_vring_enable, VringState{0, 1});
    send(Request::reset_owner);
    send(Request::set_owner);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                            "enable_vring 0", "stop_vring 0"));  // the last one at the session's end
}

TEST_F(SessionTest, SaysHowManyQueuesThereAre) {
    send(Request::get_queue_num);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(4U));
}

TEST_F(SessionTest, TakesAMemoryTable) {
    const std::uint64_t page = 4096;
    send_bytes(Request::set_mem_table,
               table({{0, page, user_base, 0}, {0x100000, 2 * page, user_base + 0x200000, page}}),
               {memory.get(), memory.get()});
    ASSERT_TRUE(run());
    ASSERT_TRUE(handler.map);
    EXPECT_EQ(handler.map->region_count(), 2U);
    EXPECT_NE(handler.map->translate(memory::GuestAddress{0x101fff}, 1), nullptr);
    EXPECT_NE(handler.map->translate(memory::UserAddress{user_base + 0x201fff}, 1), nullptr);
    EXPECT_EQ(handler.map->translate(memory::UserAddress{user_base + 0x202000}, 1), nullptr);
}

TEST_F(SessionTest, AddsAndRemovesMemoryRegions) {
    const SingleMemoryRegion first{0, {0, 0x10000, user_base, 0}};
    const SingleMemoryRegion second{0, {0x10000, 0x10000, user_base + 0x10000, 0x10000}};
    negotiate();
    send(Request::get_max_mem_slots);
    send(Request::add_mem_reg, first, {memory.get()}, need_reply);
    send(Request::add_mem_reg, second, {memory.get()}, need_reply);
    send(Request::rem_mem_reg, first, {}, need_reply);
    send(Request::rem_mem_reg, second, {memory.get()}, need_reply);
    send(Request::add_mem_reg, first, {memory.get()}, need_reply);
    const std::size_t before = open_descriptors();
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_memory 1 regions", "set_memory 2 regions",
                                            "set_memory 1 regions", "set_memory 0 regions", "set_memory 1 regions"));
    EXPECT_LE(open_descriptors(), before + 1);  // a region may keep its file, a removed one may not
    EXPECT_THAT(reply_values(), ElementsAre(509U, 0U, 0U, 0U, 0U, 0U));
}

TEST_F(SessionTest, StartsAVringWithAllThatIsKnown) {
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

TEST_F(SessionTest, StartsAVringWithoutDescriptors) {
    send_memory();
    send_setup(0);
    send_fd(Request::set_vring_call, 0);
    send_no_fd(Request::set_vring_call, 0);
    send_no_fd(Request::set_vring_err, 0);
    send_no_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0"));
}

TEST_F(SessionTest, StartsAVringWithoutABase) {
    send_memory();
    send(Request::set_vring_num, VringState{0, 256});
    send(Request::set_vring_addr, addresses(0));
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick"));
}

TEST_F(SessionTest, StartsAVringOfAnySize) {
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

TEST_F(SessionTest, WaitsWithTheStartUntilAllIsKnown) {
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

TEST_F(SessionTest, DoesNotStartWithoutAKick) {
    send_memory();
    send_setup(0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions"));
}

TEST_F(SessionTest, StopsAVringAndSaysWhereItWas) {
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

TEST_F(SessionTest, ForgetsAKickThatWaitsWhenTheVringIsStopped) {
    send_fd(Request::set_vring_kick, 0);
    send(Request::get_vring_base, VringState{0, 0});
    send_memory();
    send_setup(0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions"));
}

TEST_F(SessionTest, ReplacesDescriptorsOfAStartedVring) {
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

TEST_F(SessionTest, KeepsCallAndErrorOverAStop) {
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

TEST_F(SessionTest, GivesTheHandlerDescriptorsThatWork) {
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

TEST_F(SessionTest, LeavesABlockingDescriptorBlocking) {
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

TEST_F(SessionTest, EnablesAndDisables) {
    negotiate();
    send(Request::set_vring_enable, VringState{1, 1});
    send(Request::set_vring_enable, VringState{1, 1});
    send(Request::set_vring_enable, VringState{1, 0});
    send(Request::set_vring_enable, VringState{0, 0});
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "enable_vring 1", "disable_vring 1"));
}

TEST_F(SessionTest, ChangesMemoryWhileRunning) {
    send_started();
    send_memory();
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                                            "set_memory 1 regions", "stop_vring 0"));
}

TEST_F(SessionTest, AcceptsWhatAStartedVringAlreadyHas) {
    send_started();
    send(Request::set_vring_num, VringState{0, 256});
    send(Request::set_vring_addr, addresses(0));
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_memory 1 regions", "start_vring 0 size 256 base 0 kick", "stop_vring 0"));
}

TEST_F(SessionTest, StopsAStartedVringThatIsChanged) {
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

TEST_F(SessionTest, ReadsTheConfigurationFilledUpWithZeroes) {
    for (std::size_t i = 0; i < handler.config.size(); ++i) {
        handler.config[i] = static_cast<std::byte>(i + 1);
    }
    negotiate();
    std::vector<std::byte> request;
    append_payload(request, ConfigHeader{0, 256, 0});
    request.resize(sizeof(ConfigHeader) + 256, std::byte{0xee});
    send_bytes(Request::get_config, request);
    send(Request::get_config, ConfigHeader{8, 4, 1});
    ASSERT_TRUE(run());
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[0].header, (MessageHeader{24, 0x5, sizeof(ConfigHeader) + 256}));
    EXPECT_EQ(read_payload<ConfigHeader>(answers[0].payload).size, 256U);
    EXPECT_EQ(answers[0].payload[sizeof(ConfigHeader)], std::byte{1});
    EXPECT_EQ(answers[0].payload[sizeof(ConfigHeader) + 59], std::byte{60});
    EXPECT_EQ(answers[0].payload[sizeof(ConfigHeader) + 60], std::byte{0});
    EXPECT_EQ(answers[0].payload.back(), std::byte{0});
    ASSERT_EQ(answers[1].payload.size(), sizeof(ConfigHeader) + 4);
    EXPECT_EQ(read_payload<ConfigHeader>(answers[1].payload).offset, 8U);
    EXPECT_EQ(answers[1].payload[sizeof(ConfigHeader)], std::byte{9});
}

TEST_F(SessionTest, AnswersAnImpossibleReadOfTheConfigurationWithNothing) {
    negotiate();
    send(Request::get_config, ConfigHeader{0, 257, 0});
    send(Request::get_config, ConfigHeader{257, 0, 0});
    send(Request::get_config, ConfigHeader{0xffffffff, 2, 0});
    send(Request::get_config, ConfigHeader{200, 56, 0});
    ASSERT_TRUE(run());
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 4U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(answers[i].header, (MessageHeader{24, 0x5, 0}));
    }
    EXPECT_EQ(answers[3].payload.size(), sizeof(ConfigHeader) + 56);
}

class ConfigWrite : public SessionTest {
protected:
    void send_config(ConfigHeader header, std::uint32_t flags) {
        std::vector<std::byte> payload;
        append_payload(payload, header);
        payload.resize(sizeof(ConfigHeader) + header.size, std::byte{0x5a});
        send_bytes(Request::set_config, payload, {}, flags);
    }
};

TEST_F(ConfigWrite, ReachesTheDevice) {
    negotiate();
    send_config({32, 1, 0}, need_reply);
    send_config({8, 4, 1}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "write_config 32+1", "write_config 8+4 migration"));
    EXPECT_EQ(handler.config[32], std::byte{0x5a});
    EXPECT_THAT(reply_values(), ElementsAre(0U, 0U));
}

TEST_F(ConfigWrite, ThatIsRefusedDoesNotEndTheSession) {
    negotiate();
    send_config({60, 1, 0}, 0);           // by the device; nobody wants to know
    send_config({60, 1, 0}, need_reply);  // by the device
    send_config({256, 1, 0}, need_reply);
    send_config({0xffffffff, 1, 0}, need_reply);
    send_config({0, 1, 2}, need_reply);
    send_config({0, 1, 0}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "write_config 60+1", "write_config 60+1", "write_config 0+1"));
    EXPECT_THAT(reply_values(), ElementsAre(1U, 1U, 1U, 1U, 0U));
}

TEST_F(SessionTest, CarriesTheStatus) {
    negotiate();
    send_u64(Request::set_status, 0xb);
    send(Request::get_status);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("set_status 0xb"));
    EXPECT_THAT(reply_values(), ElementsAre(0xbU));
}

TEST_F(SessionTest, StopsVringsWhenTheDriverResets) {
    negotiate();
    send_started(0);
    send_setup(1);
    send_fd(Request::set_vring_kick, 1);
    send_u64(Request::set_status, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                            "start_vring 1 size 256 base 0 kick", "stop_vring 0", "stop_vring 1", "set_status 0x0"));
}

TEST_F(SessionTest, PassesTheFeaturesOnAgainAfterTheDriversReset) {
    negotiate();
    send_u64(Request::set_status, 0xf);
    send_u64(Request::set_features, virtio_features | protocol_features_mask);
    send_u64(Request::set_status, 0);
    send_u64(Request::set_features, virtio_features | protocol_features_mask);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_status 0xf", "set_status 0x0",
                                            "set_features 0x130000000"));
}

TEST_F(SessionTest, ResetsTheDevice) {
    negotiate();
    send_fd(Request::set_vring_call, 0);
    send_started();
    send(Request::set_vring_enable, VringState{0, 1});
    send(Request::reset_device, need_reply);
    send_fd(Request::set_vring_kick, 0);  // too early: nothing is known of the vring any more
    send_u64(Request::set_features, virtio_features | protocol_features_mask);
    send(Request::set_vring_enable, VringState{0, 1});
    send_setup(0, 64, 7);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_memory 1 regions",
                                            "start_vring 0 size 256 base 0 kick call", "enable_vring 0", "reset",
                                            "set_features 0x130000000", "enable_vring 0",
                                            "start_vring 0 size 64 base 7 kick call", "stop_vring 0"));
    EXPECT_THAT(reply_values(), ElementsAre(0U));
}

TEST_F(SessionTest, AcknowledgesOnlyWhenAskedAndNegotiated) {
    send(Request::set_owner, need_reply);  // REPLY_ACK is not negotiated yet
    negotiate();
    send(Request::set_owner);
    send(Request::set_owner, need_reply);
    send_memory(need_reply);
    send(Request::get_queue_num, need_reply);  // has a reply anyway
    ASSERT_TRUE(run());
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 3U);
    EXPECT_EQ(answers[0].header, (MessageHeader{3, 0x5, 8}));
    EXPECT_EQ(answers[1].header, (MessageHeader{5, 0x5, 8}));
    EXPECT_EQ(answers[2].header, (MessageHeader{17, 0x5, 8}));
    EXPECT_EQ(read_payload<std::uint64_t>(answers[2].payload), 4U);
}

TEST_F(SessionTest, RefusesMemoryThatCannotBeMappedAndGoesOn) {
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

TEST_F(SessionTest, EndsWhenAFailureCannotBeTold) {
    negotiate();
    send(Request::rem_mem_reg, SingleMemoryRegion{0, {0, 0x10000, user_base, 0}});
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("REM_MEM_REG: there is no memory region yet"));
}

TEST_F(SessionTest, EndsWhenTheHandlerFails) {
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

TEST_F(SessionTest, StopsTheOtherVringsWhenOneFailsToStop) {
    send_memory();
    for (std::uint32_t index = 0; index < 3; ++index) {
        send_setup(index);
        send_fd(Request::set_vring_kick, index);
    }
    handler.failing = "stop_vring";
    ASSERT_TRUE(run());
    EXPECT_FALSE(handler.any_started());
}

TEST_F(SessionTest, LeavesNoDescriptorBehind) {
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

TEST_F(SessionTest, LeavesNoDescriptorBehindAfterAViolation) {
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

TEST_F(SessionOfOneQueue, HasOneQueue) {
    send(Request::get_queue_num);
    send_started(0);
    send_setup(1);
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("SET_VRING_NUM: vring index 1, expected less than 1"));
    EXPECT_THAT(reply_values(), ElementsAre(1U));
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

TEST_F(SessionTest, StopsBeforeItRuns) {
    session->stop();
    EXPECT_TRUE(session->run());
}

TEST_F(SessionTest, StopsWhileItWaits) {
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

TEST_F(SessionTest, StopsInTheMiddleOfAMessage) {
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

TEST_F(SessionTest, TakesAFrontEndThatGoesBeforeItsReplyForAnOrderlyEnd) {
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
