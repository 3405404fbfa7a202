// SPDX-License-Identifier: Apache-2.0
// Each request that concerns the device as a whole, and what the handler then sees.
#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::open_descriptors;
using testing::SessionScript;

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

// QEMU tells of a region once for every queue pair of a network device.
TEST_F(SessionTest, TakesARegionThatIsAddedAgainUntilItIsRemovedAsOften) {
    const SingleMemoryRegion region{0, {0, 0x10000, user_base, 0}};
    const SingleMemoryRegion elsewhere{0, {0, 0x10000, user_base, 0x10000}};
    const Fd other(::memfd_create("other", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(other.get(), 0x10000), 0);
    negotiate();
    for (int pair = 0; pair < 3; ++pair) {
        send(Request::add_mem_reg, region, {memory.get()}, need_reply);
    }
    send(Request::add_mem_reg, elsewhere, {memory.get()}, need_reply);  // another place in the file
    send(Request::add_mem_reg, region, {other.get()}, need_reply);      // another file
    for (int pair = 0; pair < 4; ++pair) {
        send(Request::rem_mem_reg, region, {}, need_reply);
    }
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "set_memory 0 regions"));
    EXPECT_THAT(reply_values(), ElementsAre(0U, 0U, 0U, 1U, 1U, 0U, 0U, 0U, 1U));
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

TEST_F(SessionOfOneQueue, HasOneQueue) {
    send(Request::get_queue_num);
    send_started(0);
    send_setup(1);
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("SET_VRING_NUM: vring index 1, expected less than 1"));
    EXPECT_THAT(reply_values(), ElementsAre(1U));
}

}  // namespace
}  // namespace sidecore::vhost_user
