// SPDX-License-Identifier: Apache-2.0
// Each way of breaking the rules: the session ends, says why, and first refuses if it was asked for an answer.
#include <functional>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using testing::eventfd;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::memory_file;
using testing::SessionScript;

struct Violation {
    const char* name;
    std::function<void(SessionScript&, std::uint32_t flags)> send;
    const char* message;  // part of the error
};

std::ostream& operator<<(std::ostream& out, const Violation& violation) {
    return out << violation.name;
}

class Violations : public SessionScript, public ::testing::WithParamInterface<Violation> {};

TEST_P(Violations, EndTheSession) {
    negotiate();
    GetParam().send(*this, 0);
    send(Request::get_queue_num);  // is not answered any more
    expect_violation(GetParam().message);
    EXPECT_THAT(replies(), IsEmpty());
}

TEST_P(Violations, AreRefusedFirst) {
    negotiate();
    GetParam().send(*this, need_reply);
    send(Request::get_queue_num);
    expect_violation(GetParam().message);
    EXPECT_THAT(reply_values(), ::testing::ElementsAre(1U));
}

/// A message of which only header and size matter.
auto bytes(Request request, std::size_t size) {
    return [=](SessionScript& script, std::uint32_t flags) {
        script.send_bytes(request, std::vector<std::byte>(size), {}, flags);
    };
}

auto u64(Request request, std::uint64_t value) {
    return [=](SessionScript& script, std::uint32_t flags) { script.send_u64(request, value, flags); };
}

auto state(Request request, std::uint32_t index, std::uint32_t num) {
    return [=](SessionScript& script, std::uint32_t flags) { script.send(request, VringState{index, num}, {}, flags); };
}

auto addr(VringAddr value) {
    return [=](SessionScript& script, std::uint32_t flags) { script.send(Request::set_vring_addr, value, {}, flags); };
}

auto with_event(Request request, std::uint64_t value) {
    return [=](SessionScript& script, std::uint32_t flags) {
        const Fd fd = eventfd();
        script.send(request, value, {fd.get()}, flags);
    };
}

auto with_file(Request request, std::uint64_t value) {
    return
        [=](SessionScript& script, std::uint32_t flags) { script.send(request, value, {script.memory.get()}, flags); };
}

constexpr std::uint64_t user = SessionScript::user_base;

/// A vring with `parts` is set up and kicked.
auto start_at(VringAddr parts, std::uint32_t size) {
    return [=](SessionScript& script, std::uint32_t flags) {
        script.send_memory();
        script.send(Request::set_vring_num, VringState{parts.index, size});
        script.send(Request::set_vring_addr, parts);
        const Fd fd = eventfd();
        script.send(Request::set_vring_kick, std::uint64_t{parts.index}, {fd.get()}, flags);
    };
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, Violations,
    ::testing::Values(
        Violation{"UnknownRequest", bytes(static_cast<Request>(46), 0), "request 46: unknown, expected 1 to 45"},
        Violation{"RequestZero", bytes(static_cast<Request>(0), 0), "request 0: unknown"},
        Violation{"UnsupportedRequest", bytes(Request::gpu_set_socket, 0), "GPU_SET_SOCKET: not supported"},
        Violation{"FeatureNotOffered", bytes(Request::set_inflight_fd, 24),
                  "SET_INFLIGHT_FD: protocol feature INFLIGHT_SHMFD is not negotiated"},
        Violation{"PayloadTooShort", bytes(Request::set_vring_num, 7),
                  "SET_VRING_NUM: a payload of 7 bytes, expected 8"},
        Violation{"PayloadTooLong", bytes(Request::set_owner, 1), "SET_OWNER: a payload of 1 bytes, expected 0"},
        Violation{"DescriptorMissing", bytes(Request::add_mem_reg, 40), "ADD_MEM_REG: 0 file descriptors, expected 1"},
        Violation{"DescriptorSurplus", with_event(Request::set_features, 0),
                  "SET_FEATURES: 1 file descriptors, expected 0"},
        Violation{"NeitherDescriptorNorFlag", u64(Request::set_vring_call, 0),
                  "SET_VRING_CALL: 0 file descriptors, expected 1"},
        Violation{"DescriptorAndFlag", with_event(Request::set_vring_err, vring_fd::no_fd),
                  "SET_VRING_ERR: 1 file descriptors, expected 0"},
        Violation{"ReservedBitsOfAVringDescriptor", with_event(Request::set_vring_kick, 0x10000),
                  "SET_VRING_KICK: payload 0x10000"},
        Violation{"TableWithoutRegions", bytes(Request::set_mem_table, 8),
                  "SET_MEM_TABLE: 0 regions, expected 1 to 32"},
        Violation{"TableWithoutFiles",
                  [](SessionScript& script, std::uint32_t flags) {
                      script.send_bytes(Request::set_mem_table, script.table({script.region()}), {}, flags);
                  },
                  "SET_MEM_TABLE: 0 file descriptors, expected 1, one for each region"},
        Violation{"ConfigSizeDisagrees",
                  [](SessionScript& script, std::uint32_t flags) {
                      script.send(Request::set_config, ConfigHeader{0, 4, 0}, {}, flags);
                  },
                  "SET_CONFIG: 0 bytes of configuration, expected 4"}),
    [](const auto& test) { return std::string(test.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Features, Violations,
    ::testing::Values(
        Violation{"NotOffered", u64(Request::set_features, 0x1'4000'0008),
                  "SET_FEATURES: features 0x140000008, of which 0x8 were not offered"},
        Violation{"DirtyLogging", u64(Request::set_features, log_all_mask), "of which 0x4000000 were not offered"},
        Violation{"ProtocolFeaturesNotOffered", u64(Request::set_protocol_features, 0x100'0000'0003),
                  "SET_PROTOCOL_FEATURES: protocol features 0x10000000003, of which these were not offered: "
                  "LOG_SHMFD, bit 40"},
        Violation{"ChangeWhileRunning",
                  [](SessionScript& script, std::uint32_t flags) {
                      script.send_started(1);
                      script.send(Request::set_vring_enable, VringState{1, 1});
                      script.send_u64(Request::set_features, protocol_features_mask, flags);
                  },
                  "SET_FEATURES: features change from 0x130000000 to 0x0 while vring 1 is started and enabled"},
        Violation{"StatusTooLarge", u64(Request::set_status, 0x100), "SET_STATUS: status 0x100, expected 8 bits"}),
    [](const auto& test) { return std::string(test.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Vrings, Violations,
    ::testing::Values(
        Violation{"IndexInNum", state(Request::set_vring_num, 4, 256),
                  "SET_VRING_NUM: vring index 4, expected less than 4"},
        Violation{"IndexInAddr", addr({4, 0, user, user, user, 0}), "SET_VRING_ADDR: vring index 4"},
        Violation{"IndexInBase", state(Request::set_vring_base, 0xffffffff, 0),
                  "SET_VRING_BASE: vring index 4294967295"},
        Violation{"IndexInEnable", state(Request::set_vring_enable, 4, 1), "SET_VRING_ENABLE: vring index 4"},
        Violation{"IndexInKick", with_event(Request::set_vring_kick, 4), "SET_VRING_KICK: vring index 4"},
        Violation{"IndexInCall", with_event(Request::set_vring_call, 4), "SET_VRING_CALL: vring index 4"},
        Violation{"IndexInErr", u64(Request::set_vring_err, 4 | vring_fd::no_fd), "SET_VRING_ERR: vring index 4"},
        Violation{"SizeZero", state(Request::set_vring_num, 3, 0),
                  "SET_VRING_NUM: vring 3: size 0, expected a power of two up to 32768"},
        Violation{"SizeNotAPowerOfTwo", state(Request::set_vring_num, 0, 100), "vring 0: size 100"},
        Violation{"SizeTooLarge", state(Request::set_vring_num, 0, 65536), "vring 0: size 65536"},
        Violation{"BaseTooLarge", state(Request::set_vring_base, 1, 0x10000),
                  "SET_VRING_BASE: vring 1: index 0x10000, expected 16 bits"},
        Violation{"EnableTwo", state(Request::set_vring_enable, 1, 2), "vring 1: num 2, expected 0 or 1"},
        Violation{"LoggingOfTheUsedRing", addr({0, vring_flag_log, user, user, user, 0}),
                  "vring 0: flags 0x1, expected 0: dirty logging was not offered"},
        Violation{"MisalignedDescriptors", addr({0, 0, user + 8, user, user, 0}),
                  "SET_VRING_ADDR: descriptor address 0x7f0000000008, expected a multiple of 16"},
        Violation{"MisalignedAvailable", addr({0, 0, user, user, user + 1, 0}), "available address 0x7f0000000001"},
        Violation{"MisalignedUsed", addr({0, 0, user, user + 2, user, 0}), "used address 0x7f0000000002"},
        Violation{"KickIsAFile", with_file(Request::set_vring_kick, 0),
                  "SET_VRING_KICK: the descriptor is neither an eventfd nor a pipe or socket"},
        Violation{"CallIsAFile", with_file(Request::set_vring_call, 0), "SET_VRING_CALL: the descriptor is neither"},
        Violation{"ErrIsAFile", with_file(Request::set_vring_err, 0), "SET_VRING_ERR: the descriptor is neither"},
        Violation{"DescriptorsOutsideOfMemory", start_at({0, 0, user - 16, user + 0x8000, user + 0x4000, 0}, 256),
                  "SET_VRING_KICK: vring 0: descriptor address 0x7efffffffff0: its 4096 bytes are not in one piece"},
        Violation{"AvailableOutsideOfMemory",
                  start_at({1, 0, user, user + 0x8000, user + SessionScript::memory_size - 516, 0}, 256),
                  "vring 1: available address 0x7f00000ffdfc: its 518 bytes"},
        Violation{"UsedOutsideOfMemory",
                  start_at({0, 0, user, user + SessionScript::memory_size - 2052, user + 0x4000, 0}, 256),
                  "vring 0: used address 0x7f00000ff7fc: its 2054 bytes"},
        Violation{"AddressesThatWrap", start_at({0, 0, ~std::uint64_t{15}, user + 0x8000, user + 0x4000, 0}, 32768),
                  "descriptor address 0xfffffffffffffff0"}),
    [](const auto& test) { return std::string(test.param.name); });

INSTANTIATE_TEST_SUITE_P(Others, Violations,
                         ::testing::Values(Violation{
                             "BackEndChannelIsAFile",
                             [](SessionScript& script, std::uint32_t flags) {
                                 script.send_bytes(Request::set_backend_req_fd, {}, {script.memory.get()}, flags);
                             },
                             "SET_BACKEND_REQ_FD: the descriptor is neither a socket nor a pipe"}),
                         [](const auto& test) { return std::string(test.param.name); });

// Without an acknowledgement to ask for.

class SessionViolation : public SessionScript {};

TEST_F(SessionViolation, RequestsThatAreReplies) {
    send(Request::get_features, header_flags::reply);
    expect_violation("GET_FEATURES: flags 0x5 say that it is a reply");
}

TEST_F(SessionViolation, FeaturesThatAreNotNegotiated) {
    send_u64(Request::set_protocol_features, mask_of(ProtocolFeature::mq));
    send(Request::get_config, ConfigHeader{0, 0, 0});
    expect_violation("GET_CONFIG: protocol feature CONFIG is not negotiated");
}

TEST_F(SessionViolation, MessagesThatEndEarly) {
    const auto header = make_header(Request::set_vring_num, sizeof(VringState));
    ASSERT_EQ(::write(front_end().fd(), &header, sizeof(header)), static_cast<ssize_t>(sizeof(header)));
    expect_violation("SET_VRING_NUM: the stream ended after 0 of the 8 bytes of its payload");
}

TEST_F(SessionViolation, OfMemoryWithoutAnAcknowledgement) {
    negotiate();
    send_started();
    send_bytes(Request::set_mem_table, table({{0, 0x2000, user_base, 0}, {0x1000, 0x2000, user_base + 0x10000, 0}}),
               {memory.get(), memory.get()});
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("SET_MEM_TABLE: memory regions overlap"));
    EXPECT_FALSE(handler.any_started());
}

}  // namespace
}  // namespace sidecore::vhost_user
