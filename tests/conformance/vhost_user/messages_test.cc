// SPDX-License-Identifier: Apache-2.0
// vhost-user, "Front-end message types": what the other files do not have.
#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::eventfd;
using ::testing::IsEmpty;
using testing::SessionScript;

class SetOwner : public SessionScript {};

// "Issued when a new connection is established … can be used as a session start flag": it need not be.
TEST_F(SetOwner, MayComeLateAgainOrNever) {
    send(Request::get_features);
    send(Request::set_owner);
    send(Request::set_owner);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, IsEmpty());
    EXPECT_EQ(replies().size(), 1U);
}

class ResetOwner : public SessionScript {};

// "some back-ends interpreted it to also discard connection state (this interpretation would lead to bugs). It is
// recommended that back-ends either ignore this message, or use it to disable all rings"
TEST_F(ResetOwner, DiscardsNothing) {
    negotiate();
    send_started();
    send(Request::reset_owner, need_reply);
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_memory 1 regions",
                                            "start_vring 0 size 256 base 0 kick", "replace_kick 0", "stop_vring 0"));
}

class SetVringNum : public SessionScript {};

// "Set the size of the queue", which VIRTIO 2.7 wants to be a power of two of at most 32768.
TEST_F(SetVringNum, IsAPowerOfTwo) {
    send(Request::set_vring_num, VringState{0, 32768});
    send(Request::set_vring_num, VringState{0, 1});
    send(Request::set_vring_num, VringState{0, 3});
    expect_violation("SET_VRING_NUM: vring 0: size 3, expected a power of two up to 32768");
}

class SetVringAddr : public SessionScript {};

// VIRTIO 2.7: the descriptor table is aligned to 16, the available ring to 2, the used ring to 4 bytes.
TEST_F(SetVringAddr, IsAlignedAsVirtioWantsIt) {
    send(Request::set_vring_addr, VringAddr{0, 0, user_base + 16, user_base + 4, user_base + 2, 0});
    send(Request::set_vring_addr, VringAddr{0, 0, user_base + 4, user_base + 4, user_base + 2, 0});
    expect_violation("SET_VRING_ADDR: descriptor address 0x7f0000000004, expected a multiple of 16");
}

class SetVringBase : public SessionScript {};

// "For a split virtqueue, sets only the next descriptor index to process in the Available Ring"
TEST_F(SetVringBase, IsTheNextAvailableIndex) {
    send_memory();
    send_setup(0, 256, 65535);
    send_fd(Request::set_vring_kick, 0);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 0 size 256 base 65535 kick"));
}

// "Bits 16–31: Reserved (set to zero)"
TEST_F(SetVringBase, Bits16To31AreZero) {
    send(Request::set_vring_base, VringState{0, 0x8000'0001});
    expect_violation("SET_VRING_BASE: vring 0: index 0x80000001, expected 16 bits");
}

class GetVringBase : public SessionScript {};

// "Stops the vring and returns the current descriptor index". "By default, the back-end must complete all inflight I/O
// requests for the specified vring before stopping it": the reply comes after the handler has done so.
TEST_F(GetVringBase, StopsAndReturnsTheIndex) {
    handler.served_by_stop = 300;
    send_memory();
    send_setup(2, 256, 65500);
    send_fd(Request::set_vring_kick, 2);
    send(Request::get_vring_base, VringState{2, 0});
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("stop_vring 2").Times(1));
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(read_payload<VringState>(answers[0].payload).index, 2U);
    EXPECT_EQ(read_payload<VringState>(answers[0].payload).num, 264U);  // modulo 2^16, not modulo the size
}

class SetVringKick : public SessionScript {};

// "Bits (0-7) of the payload contain the vring index. Bit 8 is the invalid FD flag. This flag is set when there is no
// file descriptor in the ancillary data. This signals that polling should be used instead of waiting for the kick"
TEST_F(SetVringKick, Bit8SaysThatPollingShouldBeUsed) {
    send_memory();
    send_setup(3);
    send_u64(Request::set_vring_kick, 0x103);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 3 size 256 base 0"));
}

TEST_F(SetVringKick, Bit8AndADescriptorExcludeEachOther) {
    const Fd kick = eventfd();
    send(Request::set_vring_kick, std::uint64_t{0x100}, {kick.get()});
    expect_violation("SET_VRING_KICK: 1 file descriptors, expected 0 as the \"no fd\" flag is set");
}

class SetVringCall : public SessionScript {};

// "This signals that polling will be used instead of waiting for the call"
TEST_F(SetVringCall, Bit8SaysThatPollingWillBeUsed) {
    send_started();
    send_fd(Request::set_vring_call, 0);
    send_u64(Request::set_vring_call, 0x100);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("replace_call 0 none"));
}

class SetVringErr : public SessionScript {};

// "Set the event file descriptor to signal when error occurs … Bit 8 is the invalid FD flag"
TEST_F(SetVringErr, SetsOrTakesAwayTheDescriptor) {
    send_started();
    send_fd(Request::set_vring_err, 0);
    send_u64(Request::set_vring_err, 0x100);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("replace_error 0"));
    EXPECT_THAT(handler.events, Contains("replace_error 0 none"));
}

class GetConfig : public SessionScript {
protected:
    void ask(std::uint32_t offset, std::uint32_t size) {
        std::vector<std::byte> payload;
        append_payload(payload, ConfigHeader{offset, size, 0});
        payload.resize(sizeof(ConfigHeader) + size);
        send_bytes(Request::get_config, payload);
    }
};

// "vhost-user back-end's payload size MUST match the front-end's request"
TEST_F(GetConfig, PayloadSizeMatchesTheRequest) {
    negotiate();
    const std::vector<std::uint32_t> sizes = {0, 1, 60, 256};
    for (const std::uint32_t size : sizes) {
        ask(0, size);
    }
    ASSERT_TRUE(run());
    const auto answers = replies();
    ASSERT_EQ(answers.size(), sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        EXPECT_EQ(answers[i].payload.size(), sizeof(ConfigHeader) + sizes[i]);
    }
}

// "vhost-user back-end uses zero length of payload to indicate an error to the vhost-user front-end"
TEST_F(GetConfig, ZeroLengthIndicatesAnError) {
    negotiate();
    ask(1, 256);
    ASSERT_TRUE(run());
    const auto answers = replies();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_THAT(answers[0].payload, IsEmpty());
}

// "When VHOST_USER_PROTOCOL_F_CONFIG is negotiated"
TEST_F(GetConfig, NeedsItsFeature) {
    ask(0, 8);
    expect_violation("GET_CONFIG: protocol feature CONFIG is not negotiated");
}

class SetConfig : public SessionScript {
protected:
    void write(std::uint32_t offset, std::uint32_t flags) {
        std::vector<std::byte> payload;
        append_payload(payload, ConfigHeader{offset, 1, flags});
        payload.push_back(std::byte{1});
        send_bytes(Request::set_config, payload, {}, need_reply);
    }
};

// "flags: 0: Vhost front-end messages used for writable fields; 1: Vhost front-end messages used for live migration".
// "back-ends MUST NOT accept SET_CONFIG for read-only configuration space fields unless the live migration bit is set"
TEST_F(SetConfig, FlagsSayWhetherItIsAMigration) {
    negotiate();
    write(32, 0);
    write(0, 1);
    write(200, 0);  // refused by the device
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "write_config 32+1",
                                            "write_config 0+1 migration", "write_config 200+1"));
    EXPECT_THAT(reply_values(), ElementsAre(0U, 0U, 1U));
}

class ResetDevice : public SessionScript {};

// "Ask the vhost user back-end to disable all rings and reset all internal device state to the initial state, ready to be
// reinitialized. The back-end retains ownership of the device throughout the reset operation"
TEST_F(ResetDevice, DisablesAllRingsAndForgets) {
    negotiate();
    send_started();
    send(Request::set_vring_enable, VringState{0, 1});
    send(Request::reset_device);
    send(Request::get_vring_base, VringState{0, 0});
    send(Request::get_max_mem_slots);  // the protocol features are the connection's
    send(Request::set_vring_enable, VringState{0, 1});
    send_setup(0);
    send_fd(Request::set_vring_kick, 0);  // the memory is still there
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_features 0x130000000", "set_memory 1 regions",
                                            "start_vring 0 size 256 base 0 kick", "enable_vring 0", "reset",
                                            "enable_vring 0", "start_vring 0 size 256 base 0 kick", "stop_vring 0"));
}

// "Only valid if the RESET_DEVICE protocol feature is set by the back-end": negotiated or not.
TEST_F(ResetDevice, NeedsOnlyTheOffer) {
    send(Request::reset_device);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("reset"));
}

class Status : public SessionScript {};

// "this message is submitted by the front-end to notify the back-end with updated device status", and "to query the
// back-end for its device status"
TEST_F(Status, IsNotifiedAndQueried) {
    negotiate();
    send_u64(Request::set_status, 0x0f);
    send(Request::get_status);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0x0fU));
}

TEST_F(Status, NeedsItsFeature) {
    negotiate(mask_of(ProtocolFeature::mq));
    send(Request::get_status);
    expect_violation("GET_STATUS: protocol feature STATUS is not negotiated");
}

}  // namespace
}  // namespace sidecore::vhost_user
