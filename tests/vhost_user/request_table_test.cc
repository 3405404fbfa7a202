// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/request_table.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vhost_user/decode.hh"
#include "vhost_user/session.hh"
#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using testing::eventfd;
using ::testing::HasSubstr;

constexpr std::uint64_t all_offered =
    Session::offered_protocol_features | mask_of({ProtocolFeature::rarp, ProtocolFeature::mtu});

Message make_message(std::uint32_t request, std::size_t size, std::size_t fds = 0, std::uint32_t flags = 0) {
    Message message;
    message.header = {request, flags | header_flags::version, static_cast<std::uint32_t>(size)};
    message.payload.resize(size);
    for (std::size_t i = 0; i < fds; ++i) {
        message.fds.push_back(eventfd());
    }
    return message;
}

void expect_refused(const Message& message, const std::string& text, std::uint64_t negotiated = all_offered) {
    const auto rule = check_syntax(message, all_offered, negotiated);
    ASSERT_FALSE(rule) << text;
    EXPECT_EQ(rule.error().kind, ErrorKind::protocol_violation);
    EXPECT_THAT(rule.error().message, HasSubstr(text));
}

std::size_t fewest_descriptors(const RequestRule& rule) {
    return rule.descriptors == Descriptors::one ? 1 : 0;
}

std::size_t most_descriptors(const RequestRule& rule) {
    switch (rule.descriptors) {
        case Descriptors::none:
            return 0;
        case Descriptors::by_table:
            return limits::fds;
        default:
            return 1;
    }
}

/// Every request that there is.
class EachRequest : public ::testing::TestWithParam<std::uint32_t> {
protected:
    const RequestRule& rule = *find_rule(GetParam());
    const SizeRange sizes = payload_sizes(rule.payload);
};

TEST_P(EachRequest, IsFoundByItsNumber) {
    EXPECT_EQ(static_cast<std::uint32_t>(rule.request), GetParam());
}

TEST_P(EachRequest, IsTakenIfSupportedAndRefusedOtherwise) {
    const Message message = make_message(GetParam(), sizes.smallest, fewest_descriptors(rule));
    const auto checked = check_syntax(message, all_offered, all_offered);
    ASSERT_EQ(checked.has_value(), rule.supported) << describe_request(GetParam());
    if (!rule.supported) {
        EXPECT_THAT(
            checked.error().message,
            ::testing::AnyOf(HasSubstr("not supported"), HasSubstr("is not negotiated"), HasSubstr("is not offered")));
    }
}

TEST_P(EachRequest, HasPayloadSizesThatAreKept) {
    if (!rule.supported) {
        EXPECT_GE(sizes.largest, sizes.smallest);
        return;
    }
    if (sizes.smallest > 0) {
        expect_refused(make_message(GetParam(), sizes.smallest - 1, fewest_descriptors(rule)), "bytes, expected");
    }
    expect_refused(make_message(GetParam(), sizes.largest + 1, fewest_descriptors(rule)), "bytes, expected");
    EXPECT_TRUE(
        check_syntax(make_message(GetParam(), sizes.largest, fewest_descriptors(rule)), all_offered, all_offered));
}

TEST_P(EachRequest, HasANumberOfDescriptorsThatIsKept) {
    if (!rule.supported) {
        EXPECT_LE(most_descriptors(rule), 1U);
        return;
    }
    expect_refused(make_message(GetParam(), sizes.smallest, most_descriptors(rule) + 1), "file descriptors, expected");
    if (fewest_descriptors(rule) > 0) {
        expect_refused(make_message(GetParam(), sizes.smallest, 0), "0 file descriptors, expected 1");
    }
    EXPECT_TRUE(
        check_syntax(make_message(GetParam(), sizes.smallest, most_descriptors(rule)), all_offered, all_offered));
}

TEST_P(EachRequest, NeedsItsProtocolFeature) {
    const Message message = make_message(GetParam(), sizes.smallest, fewest_descriptors(rule));
    if (!rule.feature) {
        EXPECT_EQ(check_syntax(message, 0, 0).has_value(), rule.supported);
        return;
    }
    const auto not_negotiated = check_syntax(message, all_offered, 0);
    const bool offer_is_enough = rule.supported && rule.feature_state == FeatureState::offered;
    EXPECT_EQ(not_negotiated.has_value(), offer_is_enough) << describe_request(GetParam());
    const auto not_offered = check_syntax(message, 0, 0);
    ASSERT_FALSE(not_offered);
    EXPECT_THAT(not_offered.error().message, HasSubstr(std::string(name_of(*rule.feature))));
}

TEST_P(EachRequest, IsNoReply) {
    expect_refused(make_message(GetParam(), sizes.smallest, fewest_descriptors(rule), header_flags::reply),
                   "say that it is a reply");
}

INSTANTIATE_TEST_SUITE_P(All, EachRequest, ::testing::Range(std::uint32_t{1}, request_count + 1),
                         [](const auto& test) { return describe_request(test.param); });

TEST(RequestTable, KnowsNoOtherRequests) {
    for (const std::uint32_t id : {std::uint32_t{0}, request_count + 1, std::uint32_t{0xffffffff}}) {
        EXPECT_EQ(find_rule(id), nullptr);
        expect_refused(make_message(id, 0), "unknown, expected 1 to 45");
    }
}

TEST(RequestTable, SaysWhichRequestsHaveTheirOwnReply) {
    // "Communication", and the reply payloads of the newer messages.
    for (const Request request :
         {Request::get_features, Request::get_protocol_features, Request::get_vring_base, Request::get_queue_num,
          Request::get_config, Request::get_max_mem_slots, Request::get_status}) {
        EXPECT_EQ(find_rule(static_cast<std::uint32_t>(request))->reply, ReplyKind::own) << name_of(request);
    }
    for (const Request request : {Request::set_features, Request::set_mem_table, Request::set_vring_kick,
                                  Request::set_config, Request::add_mem_reg, Request::rem_mem_reg}) {
        EXPECT_EQ(find_rule(static_cast<std::uint32_t>(request))->reply, ReplyKind::acknowledgement)
            << name_of(request);
    }
}

// Lengths inside of payloads.

Message table_message(std::uint32_t regions, std::size_t room_for, std::size_t fds) {
    Message message = make_message(static_cast<std::uint32_t>(Request::set_mem_table), 0, fds);
    append_payload(message.payload, MemoryTableHeader{regions, 0});
    for (std::size_t i = 0; i < room_for; ++i) {
        append_payload(message.payload, MemoryRegion{0x1000 * i, 0x1000, 0x10000 + 0x1000 * i, i});
    }
    message.header.size = static_cast<std::uint32_t>(message.payload.size());
    return message;
}

TEST(DecodeMemoryTable, TakesRegionsWithTheirFiles) {
    Message message = table_message(2, 2, 2);
    const int second = message.fds[1].get();
    const auto table = decode_memory_table(message);
    ASSERT_TRUE(table);
    ASSERT_EQ(table->size(), 2U);
    EXPECT_EQ((*table)[1].description.guest_address.value, 0x1000U);
    EXPECT_EQ((*table)[1].description.user_address.value, 0x11000U);
    EXPECT_EQ((*table)[1].description.size, 0x1000U);
    EXPECT_EQ((*table)[1].description.mmap_offset, 1U);
    EXPECT_EQ((*table)[1].file.get(), second);
    EXPECT_TRUE(message.fds.empty());
}

TEST(DecodeMemoryTable, IgnoresRoomThatIsNotUsed) {
    Message message = table_message(1, 2, 1);  // user-mode Linux
    const auto table = decode_memory_table(message);
    ASSERT_TRUE(table);
    EXPECT_EQ(table->size(), 1U);
}

TEST(DecodeMemoryTable, TakesUpTo32Regions) {
    Message most = table_message(32, 32, 32);
    EXPECT_TRUE(decode_memory_table(most));
    Message more = table_message(33, 33, 32);
    const auto refused = decode_memory_table(more);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("33 regions, expected 1 to 32"));
}

TEST(DecodeMemoryTable, RefusesCountsThatDoNotFit) {
    const auto expect = [](Message message, const std::string& text) {
        const auto table = decode_memory_table(message);
        ASSERT_FALSE(table) << text;
        EXPECT_THAT(table.error().message, HasSubstr(text));
    };
    expect(table_message(0, 1, 0), "0 regions, expected 1 to 32");
    expect(table_message(0xffffffff, 1, 1), "4294967295 regions");
    expect(table_message(2, 1, 2), "a payload of 40 bytes, expected at least 72 for 2 regions");
    expect(table_message(2, 2, 1), "1 file descriptors, expected 2, one for each region");
    expect(table_message(1, 1, 2), "2 file descriptors, expected 1, one for each region");
}

Message vring_message(std::uint64_t value, std::size_t fds) {
    Message message = make_message(static_cast<std::uint32_t>(Request::set_vring_kick), 0, fds);
    append_payload(message.payload, value);
    return message;
}

TEST(DecodeVringDescriptor, TakesADescriptorOrTheFlag) {
    Message with = vring_message(7, 1);
    const auto descriptor = decode_vring_descriptor(with);
    ASSERT_TRUE(descriptor);
    EXPECT_EQ(descriptor->index, 7U);
    EXPECT_TRUE(descriptor->fd.valid());
    Message without = vring_message(255 | vring_fd::no_fd, 0);
    const auto none = decode_vring_descriptor(without);
    ASSERT_TRUE(none);
    EXPECT_EQ(none->index, 255U);
    EXPECT_FALSE(none->fd.valid());
}

TEST(DecodeVringDescriptor, RefusesADisagreement) {
    Message missing = vring_message(0, 0);
    EXPECT_THAT(decode_vring_descriptor(missing).error().message, HasSubstr("0 file descriptors, expected 1"));
    Message surplus = vring_message(vring_fd::no_fd, 1);
    EXPECT_THAT(decode_vring_descriptor(surplus).error().message, HasSubstr("1 file descriptors, expected 0"));
    Message reserved = vring_message(0x200, 1);
    EXPECT_THAT(decode_vring_descriptor(reserved).error().message, HasSubstr("payload 0x200"));
}

Message config_message(Request request, std::uint32_t size, std::size_t bytes) {
    Message message = make_message(static_cast<std::uint32_t>(request), 0);
    append_payload(message.payload, ConfigHeader{0, size, 0});
    message.payload.resize(sizeof(ConfigHeader) + bytes);
    return message;
}

TEST(DecodeConfig, NeedsAsManyBytesAsItSays) {
    EXPECT_EQ(decode_config(config_message(Request::set_config, 4, 4))->data.size(), 4U);
    EXPECT_TRUE(decode_config(config_message(Request::get_config, 256, 256)));
    EXPECT_TRUE(decode_config(config_message(Request::get_config, 60, 0)));
    EXPECT_THAT(decode_config(config_message(Request::set_config, 60, 0)).error().message,
                HasSubstr("0 bytes of configuration, expected 60"));
    EXPECT_FALSE(decode_config(config_message(Request::get_config, 60, 59)));
    EXPECT_FALSE(decode_config(config_message(Request::set_config, 0xffffffff, 4)));
}

TEST(Decode, NeverReadsBeyondThePayload) {
    Message empty = make_message(1, 0);
    EXPECT_FALSE(decode_u64(empty));
    EXPECT_FALSE(decode_vring_state(empty));
    EXPECT_FALSE(decode_vring_addr(empty));
    EXPECT_FALSE(decode_vring_descriptor(empty));
    EXPECT_FALSE(decode_memory_table(empty));
    EXPECT_FALSE(decode_memory_region(empty));
    EXPECT_FALSE(decode_config(empty));
}

}  // namespace
}  // namespace sidecore::vhost_user
