// SPDX-License-Identifier: Apache-2.0
// What real front-ends send, as far as they differ from the specification or from each other. Written down from their
// sources; tests/interop has recorded conversations.
#include <csignal>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::eventfd;
using ::testing::Not;
using testing::SessionScript;
using testing::socket_pair;

class FrontEnds : public SessionScript {
protected:
    // As every program must that serves user-mode Linux: its call descriptors are sockets, which may be closed there.
    FrontEnds() { std::signal(SIGPIPE, SIG_IGN); }
};

TEST_F(FrontEnds, UserModeLinuxBindsADriverTwice) {
    constexpr std::uint64_t protocol_features =
        mask_of({ProtocolFeature::reply_ack, ProtocolFeature::backend_req, ProtocolFeature::config});
    auto [channel_here, channel_there] = socket_pair();
    // Probe. The very message that negotiates REPLY_ACK wants an acknowledgement.
    send(Request::set_owner);
    send(Request::get_features);
    send(Request::get_protocol_features);
    send_u64(Request::set_protocol_features, protocol_features, need_reply);
    send_bytes(Request::set_backend_req_fd, {}, {channel_there.get()}, need_reply);
    std::size_t acknowledgements = 2;
    for (int driver = 0; driver < 2; ++driver) {
        send_u64(Request::set_features, virtio_features | protocol_features_mask, need_reply);
        // Its addresses are guest addresses, and the table has room for one region more than it says.
        std::vector<std::byte> payload;
        append_payload(payload, MemoryTableHeader{1, 0});
        append_payload(payload, MemoryRegion{0x10000, 0x80000, 0x10000, 0});
        append_payload(payload, MemoryRegion{});
        send_bytes(Request::set_mem_table, payload, {memory.get()}, need_reply);
        auto [call_here, call_there] = socket_pair();  // what it has for a pipe
        send(Request::set_vring_call, std::uint64_t{0}, {call_there.get()}, need_reply);
        send(Request::set_vring_num, VringState{0, 256}, {}, need_reply);
        send(Request::set_vring_base, VringState{0, 0}, {}, need_reply);
        const std::uint64_t ring = driver == 0 ? 0x20000 : 0x40000;
        send(Request::set_vring_addr, VringAddr{0, 0, ring, ring + 0x2000, ring + 0x1000, ~std::uint64_t{0}}, {},
             need_reply);
        const Fd kick = eventfd();
        send(Request::set_vring_kick, std::uint64_t{0}, {kick.get()}, need_reply);
        send(Request::set_vring_enable, VringState{0, 1}, {}, need_reply);
        // The driver goes: disabled, but never stopped.
        send(Request::set_vring_enable, VringState{0, 0}, {}, need_reply);
        send(Request::get_features);
        acknowledgements += 9;
    }
    const auto result = run();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(handler.events, ElementsAre("set_backend_channel", "set_features 0x130000000", "set_memory 1 regions",
                                            "start_vring 0 size 256 base 0 kick call", "enable_vring 0",
                                            "disable_vring 0", "set_memory 1 regions", "replace_call 0", "stop_vring 0",
                                            "start_vring 0 size 256 base 0 kick call", "enable_vring 0",
                                            "disable_vring 0", "stop_vring 0"));
    std::size_t zeroes = 0;
    for (const std::uint64_t value : reply_values()) {
        zeroes += value == 0 ? 1 : 0;
    }
    EXPECT_EQ(zeroes, acknowledgements);
}

TEST_F(FrontEnds, UserModeLinuxChangesFeaturesWithTheDriver) {
    negotiate();
    send_started();
    send(Request::set_vring_enable, VringState{0, 1});
    send(Request::set_vring_enable, VringState{0, 0});
    send_u64(Request::set_features, 0x1'1000'0000 | protocol_features_mask);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                            "enable_vring 0", "disable_vring 0", "stop_vring 0", "set_features 0x110000000"));
}

TEST_F(FrontEnds, QemuStartsANetDeviceOnePairAfterTheOther) {
    for (int pair = 0; pair < 2; ++pair) {
        if (pair == 0) {
            send(Request::set_owner);
        }
        send(Request::get_features);
        send(Request::get_protocol_features);
        send_u64(Request::set_protocol_features, Session::offered_protocol_features);
        send(Request::get_queue_num);
        for (std::uint32_t index = 0; index < 2; ++index) {
            const std::uint32_t vring = static_cast<std::uint32_t>(pair) * 2 + index;
            send_fd(Request::set_vring_call, vring, need_reply);
            send_fd(Request::set_vring_err, vring, need_reply);
        }
    }
    for (std::uint32_t pair = 0; pair < 2; ++pair) {
        send_u64(Request::set_features, virtio_features | protocol_features_mask);
        send(Request::get_status);
        send_u64(Request::set_status, 0xb);
        if (pair == 0) {
            send(Request::add_mem_reg, SingleMemoryRegion{0, region()}, {memory.get()}, need_reply);
        }
        for (std::uint32_t vring = pair * 2; vring < pair * 2 + 2; ++vring) {
            send_setup(vring);
            send_fd(Request::set_vring_kick, vring, need_reply);
            send_fd(Request::set_vring_call, vring, need_reply);
            send(Request::set_vring_enable, VringState{vring, 1}, {}, need_reply);
        }
    }
    // The guest is paused: the vrings stop; the error descriptors are not sent again.
    for (std::uint32_t vring = 0; vring < 4; ++vring) {
        send(Request::set_vring_enable, VringState{vring, 0}, {}, need_reply);
        send(Request::get_vring_base, VringState{vring, 0});
    }
    send_u64(Request::set_status, 0);
    send_setup(3);
    send_fd(Request::set_vring_kick, 3, need_reply);
    const auto result = run();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick call error"));
    EXPECT_THAT(handler.events, Contains("start_vring 3 size 256 base 0 kick call error").Times(2));
    EXPECT_THAT(handler.events, Contains("set_features 0x130000000").Times(1));
}

TEST_F(FrontEnds, QemuGrowsARegionThatHoldsARing) {
    negotiate();
    const SingleMemoryRegion half{0, {0, memory_size / 2, user_base, 0}};
    send(Request::add_mem_reg, half, {memory.get()}, need_reply);
    send_setup(0);
    send_fd(Request::set_vring_kick, 0);
    // Old versions pass the file again; for a moment the ring lies nowhere.
    send(Request::rem_mem_reg, half, {memory.get()}, need_reply);
    send(Request::add_mem_reg, SingleMemoryRegion{0, region()}, {memory.get()}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                            "set_memory 0 regions", "set_memory 1 regions", "stop_vring 0"));
    EXPECT_THAT(reply_values(), Each(0U));
}

TEST_F(FrontEnds, DpdkVirtioUserSendsItsMemoryAgainAndAgain) {
    constexpr std::uint64_t page = 0x20000;
    send(Request::set_owner);
    send(Request::get_features);
    send(Request::get_protocol_features);
    send_u64(Request::set_protocol_features,
             mask_of({ProtocolFeature::mq, ProtocolFeature::reply_ack, ProtocolFeature::status}));
    send_fd(Request::set_vring_call, 0);
    send_u64(Request::set_features, virtio_features | protocol_features_mask);
    // One region for each huge page, in guest addresses that are its own user addresses.
    for (std::size_t pages = 1; pages <= 8; ++pages) {
        std::vector<MemoryRegion> regions;
        for (std::size_t i = 0; i < pages; ++i) {
            regions.push_back({user_base + i * page, page, user_base + i * page, i * page});
        }
        send_bytes(Request::set_mem_table, table(regions), std::vector<int>(pages, memory.get()), need_reply);
    }
    send_u64(Request::set_status, 0xb, need_reply);
    send_setup(0);
    send_fd(Request::set_vring_kick, 0);
    send(Request::set_vring_enable, VringState{0, 1});
    send(Request::get_status);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("set_memory 8 regions"));
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 0 kick call"));
    EXPECT_EQ(reply_values().back(), 0xbU);
}

TEST_F(FrontEnds, CloudHypervisorNegotiatesFromMemoryAndAsksForReplies) {
    // After a migration it knows the protocol features and does not ask for them; NEED_REPLY is in every message.
    send(Request::set_owner);
    send(Request::get_features);
    send_u64(Request::set_protocol_features, Session::offered_protocol_features);
    send(Request::get_queue_num, need_reply);
    std::vector<std::byte> config;
    append_payload(config, ConfigHeader{0, 60, 1});  // "writable" is 1 for it
    config.resize(sizeof(ConfigHeader) + 60);
    send_bytes(Request::get_config, config, {}, need_reply);
    send_u64(Request::set_features, virtio_features | protocol_features_mask, need_reply);
    // More regions than the 8 of the specification.
    std::vector<MemoryRegion> regions;
    for (std::uint64_t i = 0; i < 16; ++i) {
        regions.push_back({i * 0x10000, 0x10000, user_base + i * 0x10000, i * 0x10000});
    }
    send_bytes(Request::set_mem_table, table(regions), std::vector<int>(16, memory.get()), need_reply);
    send(Request::set_vring_num, VringState{0, 128}, {}, need_reply);
    send(Request::set_vring_addr, addresses(0), {}, need_reply);
    send(Request::set_vring_base, VringState{0, 0}, {}, need_reply);
    send_fd(Request::set_vring_call, 0, need_reply);
    send_fd(Request::set_vring_kick, 0, need_reply);
    send(Request::set_vring_enable, VringState{0, 1}, {}, need_reply);
    const auto result = run();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(handler.events, Contains("set_memory 16 regions"));
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 128 base 0 kick call"));
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 11U);
    for (const Message& answer : answers) {
        EXPECT_EQ(answer.header.flags, 0x5U) << describe_request(answer.header.request);
    }
}

TEST_F(FrontEnds, LibblkioHasNoTableAndTellsTheCallLast) {
    send(Request::set_owner);
    send(Request::get_features);
    send_u64(Request::set_features, virtio_features | protocol_features_mask);
    send(Request::get_protocol_features);
    send_u64(Request::set_protocol_features, Session::offered_protocol_features);
    send(Request::get_max_mem_slots, need_reply);
    send(Request::add_mem_reg, SingleMemoryRegion{0, region()}, {memory.get()}, need_reply);
    send_setup(0);
    send_fd(Request::set_vring_kick, 0, need_reply);
    send_fd(Request::set_vring_call, 0, need_reply);
    send(Request::set_vring_enable, VringState{0, 1}, {}, need_reply);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events,
                ElementsAre("set_features 0x130000000", "set_memory 1 regions", "start_vring 0 size 256 base 0 kick",
                            "replace_call 0", "enable_vring 0", "stop_vring 0"));
}

}  // namespace
}  // namespace sidecore::vhost_user
