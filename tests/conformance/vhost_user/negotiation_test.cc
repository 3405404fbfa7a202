// SPDX-License-Identifier: Apache-2.0
// vhost-user, features and protocol features, "Multiple queue support", "In-band notifications".
#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::SessionScript;

class Features : public SessionScript {};

// "Feature bit VHOST_USER_F_PROTOCOL_FEATURES signals back-end support for GET_PROTOCOL_FEATURES and
// SET_PROTOCOL_FEATURES"
TEST_F(Features, Bit30SignalsSupportForProtocolFeatures) {
    send(Request::get_features);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(handler.offered | 0x4000'0000U));
}

// "Enable features in the underlying vhost implementation using a bitmask"
TEST_F(Features, AreEnabledUsingABitmask) {
    send_u64(Request::set_features, handler.offered | protocol_features_mask);
    ASSERT_TRUE(run());
    EXPECT_EQ(handler.features, handler.offered);
}

TEST_F(Features, AreASubsetOfThoseOffered) {
    send_u64(Request::set_features, handler.offered | 0x8000U);
    expect_violation("SET_FEATURES: features 0x130008006, of which 0x8000 were not offered");
}

class ProtocolFeatures : public SessionScript {};

// "Back-ends that report VHOST_USER_F_PROTOCOL_FEATURES must support this message even before SET_FEATURES was called",
// for both messages. "It does not need to be acknowledged by VHOST_USER_SET_FEATURES."
TEST_F(ProtocolFeatures, AreNegotiatedBeforeSetFeatures) {
    send(Request::get_protocol_features);
    send_u64(Request::set_protocol_features, Session::offered_protocol_features);
    send(Request::get_max_mem_slots);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(Session::offered_protocol_features, 509U));
    EXPECT_THAT(handler.events, IsEmpty());
}

TEST_F(ProtocolFeatures, AreNegotiatedAfterSetFeaturesWithoutBit30) {
    send_u64(Request::set_features, virtio_features);
    send_u64(Request::set_protocol_features, Session::offered_protocol_features);
    send(Request::get_max_mem_slots);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(509U));
}

TEST_F(ProtocolFeatures, AreASubsetOfThoseOffered) {
    send_u64(Request::set_protocol_features, mask_of({ProtocolFeature::mq, ProtocolFeature::xen_mmap}));
    expect_violation("of which these were not offered: XEN_MMAP");
}

// "the back-end should close the connection as a response to a SET_PROTOCOL_FEATURES message that sets the in-band
// notifications feature flag without the other two"
TEST_F(ProtocolFeatures, InbandNotificationsWithoutTheOtherTwoCloseTheConnection) {
    send_u64(Request::set_protocol_features, mask_of(ProtocolFeature::inband_notifications));
    expect_violation("SET_PROTOCOL_FEATURES");
}

class MultipleQueueSupport : public SessionScript {};

// "Back-ends should always implement the VHOST_USER_PROTOCOL_F_MQ protocol feature"
TEST_F(MultipleQueueSupport, IsAlwaysImplemented) {
    EXPECT_NE(Session::offered_protocol_features & 1U, 0U);
    send(Request::get_queue_num);  // "when MQ is set in queried protocol features": not necessarily negotiated
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(4U));
}

// "the front-end uses a unique index for each queue in the sent message to identify a specified queue"
TEST_F(MultipleQueueSupport, IdentifiesQueuesByTheirIndex) {
    send_memory();
    for (const std::uint32_t index : {3U, 1U}) {
        send_setup(index, 64U << index);
        send_fd(Request::set_vring_kick, index);
    }
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, ElementsAre("set_memory 1 regions", "start_vring 3 size 512 base 0 kick",
                                            "start_vring 1 size 128 base 0 kick", "stop_vring 1", "stop_vring 3"));
}

}  // namespace
}  // namespace sidecore::vhost_user
