// SPDX-License-Identifier: Apache-2.0
// The wire format, pinned byte by byte: both sides of every other test share the structs, so only this can tell when
// they are wrong. The bytes are written down from the specification.
#include "vhost_user/messages.hh"

#include <bit>
#include <string_view>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vhost_user/connection.hh"
#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::ElementsAreArray;
using testing::eventfd;
using testing::socket_pair;

static_assert(std::endian::native == std::endian::little, "the golden bytes are those of a little-endian machine");

std::vector<std::byte> from_hex(std::string_view text) {
    std::vector<std::byte> bytes;
    unsigned value = 0;
    bool half = false;
    for (const char c : text) {
        if (c == ' ') {
            continue;
        }
        value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
        if (half) {
            bytes.push_back(static_cast<std::byte>(value));
            value = 0;
        }
        half = !half;
    }
    return bytes;
}

template <WirePayload T>
std::vector<std::byte> payload_of(const T& payload) {
    std::vector<std::byte> bytes;
    append_payload(bytes, payload);
    return bytes;
}

struct Golden {
    const char* name;
    MessageHeader header;
    std::vector<std::byte> payload;
    const char* bytes;
};

std::ostream& operator<<(std::ostream& out, const Golden& golden) {
    return out << golden.name;
}

class GoldenBytes : public ::testing::TestWithParam<Golden> {};

TEST_P(GoldenBytes, AreSent) {
    auto [here, there] = socket_pair();
    Connection connection(std::move(here));
    ASSERT_TRUE(connection.send(GetParam().header, GetParam().payload));
    const auto expected = from_hex(GetParam().bytes);
    std::vector<std::byte> received(expected.size() + 1);
    ASSERT_EQ(::read(there.get(), received.data(), received.size()), static_cast<ssize_t>(expected.size()));
    received.resize(expected.size());
    EXPECT_EQ(received, expected);
}

TEST_P(GoldenBytes, AreReceived) {
    auto [here, there] = socket_pair();
    const auto bytes = from_hex(GetParam().bytes);
    ASSERT_EQ(::write(there.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    Connection connection(std::move(here));
    const auto message = connection.receive();
    ASSERT_TRUE(message) << message.error().message;
    EXPECT_EQ(message->header, GetParam().header);
    EXPECT_EQ(message->payload, GetParam().payload);
    EXPECT_TRUE(message->fds.empty());
}

std::vector<std::byte> two_regions() {
    std::vector<std::byte> payload = payload_of(MemoryTableHeader{2, 0});
    append_payload(payload, MemoryRegion{0x0, 0xa0000, 0x7f1122334000, 0x0});
    append_payload(payload, MemoryRegion{0x100000000, 0x40000000, 0x7f2233445000, 0xc0000000});
    return payload;
}

std::vector<std::byte> config_of_four() {
    std::vector<std::byte> payload = payload_of(ConfigHeader{32, 4, 1});
    const auto data = from_hex("de ad be ef");
    payload.insert(payload.end(), data.begin(), data.end());
    return payload;
}

INSTANTIATE_TEST_SUITE_P(
    Messages, GoldenBytes,
    ::testing::Values(
        Golden{"GetFeatures", make_header(Request::get_features, 0), {}, "01000000 01000000 00000000"},
        Golden{"GetFeaturesReply",
               {1, 0x5, 8},
               payload_of(std::uint64_t{0x140000044}),
               "01000000 05000000 08000000 4400004001000000"},
        Golden{"SetOwnerNeedReply",
               make_header(Request::set_owner, 0, header_flags::need_reply),
               {},
               "03000000 09000000 00000000"},
        Golden{"SetMemTable", make_header(Request::set_mem_table, 72), two_regions(),
               "05000000 01000000 48000000"
               "02000000 00000000"
               "0000000000000000 00000a0000000000 00403322117f0000 0000000000000000"
               "0000000001000000 0000004000000000 00504433227f0000 000000c000000000"},
        Golden{"SetVringNum", make_header(Request::set_vring_num, 8), payload_of(VringState{3, 256}),
               "08000000 01000000 08000000 03000000 00010000"},
        Golden{"SetVringAddr", make_header(Request::set_vring_addr, 40),
               payload_of(VringAddr{1, 1, 0x7f0000001000, 0x7f0000003000, 0x7f0000002000, 0x12345}),
               "09000000 01000000 28000000 01000000 01000000"
               "00100000007f0000 00300000007f0000 00200000007f0000 4523010000000000"},
        Golden{"SetVringKickNoFd", make_header(Request::set_vring_kick, 8),
               payload_of(std::uint64_t{2 | vring_fd::no_fd}), "0c000000 01000000 08000000 0201000000000000"},
        Golden{"SetConfig", make_header(Request::set_config, 16), config_of_four(),
               "19000000 01000000 10000000 20000000 04000000 01000000 deadbeef"},
        Golden{"AddMemReg", make_header(Request::add_mem_reg, 40),
               payload_of(SingleMemoryRegion{0, {0x1000, 0x2000, 0x3000, 0x4000}}),
               "25000000 01000000 28000000 0000000000000000"
               "0010000000000000 0020000000000000 0030000000000000 0040000000000000"},
        Golden{"SetLogBase", make_header(Request::set_log_base, 16), payload_of(LogDescription{0x8000, 0x10}),
               "06000000 01000000 10000000 0080000000000000 1000000000000000"},
        Golden{"IotlbMsg", make_header(Request::iotlb_msg, 32),
               payload_of(IotlbMessage{0x1000, 0x2000, 0x3000, 3, 2, {}}),
               "16000000 01000000 20000000 0010000000000000 0020000000000000 0030000000000000 03 02 000000000000"},
        Golden{"GetInflightFd", make_header(Request::get_inflight_fd, 24),
               payload_of(InflightDescription{0x1000, 0x20, 4, 256, 0}),
               "1f000000 01000000 18000000 0010000000000000 2000000000000000 0400 0001 00000000"},
        Golden{"SetDeviceStateFd", make_header(Request::set_device_state_fd, 8), payload_of(DeviceStateTransfer{1, 0}),
               "2a000000 01000000 08000000 01000000 00000000"},
        Golden{"ConfigChangeMsg", make_header(BackendRequest::config_change_msg, 0), {}, "02000000 01000000 00000000"},
        Golden{"VringHostNotifierMsg", make_header(BackendRequest::vring_host_notifier_msg, 24),
               payload_of(VringArea{1, 0x1000, 0x2000}),
               "03000000 01000000 18000000 0100000000000000 0010000000000000 0020000000000000"},
        Golden{"ShmemMap", make_header(BackendRequest::shmem_map, 40),
               payload_of(SharedMemoryMap{1, {}, 0x1000, 0x2000, 0x3000, 1}),
               "09000000 01000000 28000000 01 00000000000000 0010000000000000 0020000000000000"
               "0030000000000000 0100000000000000"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Names, OfRequests) {
    EXPECT_EQ(name_of(Request::get_features), "GET_FEATURES");
    EXPECT_EQ(name_of(Request::set_vring_err), "SET_VRING_ERR");
    EXPECT_EQ(name_of(Request::set_backend_req_fd), "SET_BACKEND_REQ_FD");
    EXPECT_EQ(name_of(Request::get_status), "GET_STATUS");
    EXPECT_EQ(name_of(Request::get_vring_base_skip_drain), "GET_VRING_BASE_SKIP_DRAIN");
    EXPECT_EQ(name_of(BackendRequest::shmem_unmap), "SHMEM_UNMAP");
    for (std::uint32_t id = 1; id <= request_count; ++id) {
        EXPECT_FALSE(name_of(static_cast<Request>(id)).empty()) << id;
    }
}

TEST(Names, OfUnknownRequests) {
    EXPECT_TRUE(name_of(static_cast<Request>(0)).empty());
    EXPECT_TRUE(name_of(static_cast<Request>(request_count + 1)).empty());
    EXPECT_EQ(describe_request(77), "request 77");
    EXPECT_EQ(describe_request(5), "SET_MEM_TABLE");
}

TEST(Names, OfProtocolFeatures) {
    EXPECT_EQ(name_of(ProtocolFeature::get_vring_base_skip_drain), "GET_VRING_BASE_SKIP_DRAIN");
    EXPECT_EQ(name_of(ProtocolFeature::status), "STATUS");
    EXPECT_EQ(describe_protocol_features(0), "none");
    EXPECT_EQ(describe_protocol_features(mask_of({ProtocolFeature::mq, ProtocolFeature::reply_ack}) |
                                         (std::uint64_t{1} << 40U)),
              "MQ, REPLY_ACK, bit 40");
}

}  // namespace
}  // namespace sidecore::vhost_user
