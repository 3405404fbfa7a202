// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/request_table.hh"

#include <array>
#include <string>
#include <utility>

#include "base/format.hh"

namespace sidecore::vhost_user {

namespace {

constexpr auto negotiated = FeatureState::negotiated;
constexpr auto offered = FeatureState::offered;
constexpr auto ack = ReplyKind::acknowledgement;
constexpr auto own = ReplyKind::own;
constexpr std::nullopt_t no_feature = std::nullopt;
constexpr bool yes = true;
constexpr bool later = false;

using D = Descriptors;
using F = ProtocolFeature;
using P = Payload;
using Q = QueueState;
using R = Request;

// In order of the ids, so that a rule is found by its place.
//
// FeatureState::offered stands where the specification says "present in GET_PROTOCOL_FEATURES" or "set by the
// back-end" and not "negotiated". SET_VRING_ENABLE has no feature although it "should be sent only when
// VHOST_USER_F_PROTOCOL_FEATURES has been negotiated": taking it from a front-end that forgot to acknowledge
// bit 30 harms nobody.
constexpr std::array<RequestRule, request_count> rules = {{
    {R::get_features, P::empty, D::none, no_feature, negotiated, own, Q::any, yes},
    {R::set_features, P::u64, D::none, no_feature, negotiated, ack, Q::any, yes},
    {R::set_owner, P::empty, D::none, no_feature, negotiated, ack, Q::any, yes},
    {R::reset_owner, P::empty, D::none, no_feature, negotiated, ack, Q::any, yes},
    {R::set_mem_table, P::memory_table, D::by_table, no_feature, negotiated, ack, Q::quiesced, yes},
    {R::set_log_base, P::log, D::at_most_one, F::log_shmfd, negotiated, own, Q::any, later},
    {R::set_log_fd, P::empty, D::one, no_feature, negotiated, ack, Q::any, later},
    {R::set_vring_num, P::vring_state, D::none, no_feature, negotiated, ack, Q::stopped, yes},
    {R::set_vring_addr, P::vring_addr, D::none, no_feature, negotiated, ack, Q::stopped, yes},
    {R::set_vring_base, P::vring_state, D::none, no_feature, negotiated, ack, Q::stopped, yes},
    {R::get_vring_base, P::vring_state, D::none, no_feature, negotiated, own, Q::stopped, yes},
    {R::set_vring_kick, P::vring_fd, D::by_vring_fd, no_feature, negotiated, ack, Q::any, yes},
    {R::set_vring_call, P::vring_fd, D::by_vring_fd, no_feature, negotiated, ack, Q::any, yes},
    {R::set_vring_err, P::vring_fd, D::by_vring_fd, no_feature, negotiated, ack, Q::any, yes},
    {R::get_protocol_features, P::empty, D::none, no_feature, negotiated, own, Q::any, yes},
    {R::set_protocol_features, P::u64, D::none, no_feature, negotiated, ack, Q::any, yes},
    {R::get_queue_num, P::empty, D::none, F::mq, offered, own, Q::any, yes},
    {R::set_vring_enable, P::vring_state, D::none, no_feature, negotiated, ack, Q::any, yes},
    {R::send_rarp, P::u64, D::none, F::rarp, offered, ack, Q::any, yes},
    {R::net_set_mtu, P::u64, D::none, F::mtu, offered, ack, Q::any, yes},
    {R::set_backend_req_fd, P::empty, D::one, F::backend_req, offered, ack, Q::any, yes},
    {R::iotlb_msg, P::iotlb, D::none, no_feature, negotiated, own, Q::any, later},
    {R::set_vring_endian, P::vring_state, D::none, F::cross_endian, negotiated, ack, Q::stopped, later},
    {R::get_config, P::config, D::none, F::config, negotiated, own, Q::any, yes},
    {R::set_config, P::config, D::none, F::config, negotiated, ack, Q::any, yes},
    {R::create_crypto_session, P::any, D::none, F::crypto_session, negotiated, own, Q::any, later},
    {R::close_crypto_session, P::u64, D::none, F::crypto_session, negotiated, ack, Q::any, later},
    {R::postcopy_advise, P::empty, D::none, F::pagefault, negotiated, own, Q::any, later},
    {R::postcopy_listen, P::empty, D::none, F::pagefault, negotiated, ack, Q::any, later},
    {R::postcopy_end, P::empty, D::none, F::pagefault, negotiated, own, Q::any, later},
    {R::get_inflight_fd, P::inflight, D::none, F::inflight_shmfd, negotiated, own, Q::any, later},
    {R::set_inflight_fd, P::inflight, D::one, F::inflight_shmfd, negotiated, ack, Q::any, later},
    {R::gpu_set_socket, P::empty, D::one, no_feature, negotiated, ack, Q::any, later},
    {R::reset_device, P::empty, D::none, F::reset_device, offered, ack, Q::quiesced, yes},
    {R::vring_kick, P::vring_state, D::none, F::inband_notifications, negotiated, ack, Q::any, later},
    {R::get_max_mem_slots, P::empty, D::none, F::configure_mem_slots, negotiated, own, Q::any, yes},
    {R::add_mem_reg, P::memory_region, D::one, F::configure_mem_slots, negotiated, ack, Q::quiesced, yes},
    // "For compatibility with existing incorrect implementations" (QEMU before 5.2) with a descriptor.
    {R::rem_mem_reg, P::memory_region, D::at_most_one, F::configure_mem_slots, negotiated, ack, Q::quiesced, yes},
    {R::set_status, P::u64, D::none, F::status, negotiated, ack, Q::any, yes},
    {R::get_status, P::empty, D::none, F::status, negotiated, own, Q::any, yes},
    {R::get_shared_object, P::shared_object, D::none, F::shared_object, negotiated, own, Q::any, later},
    {R::set_device_state_fd, P::device_state, D::one, F::device_state, negotiated, own, Q::any, later},
    {R::check_device_state, P::empty, D::none, F::device_state, negotiated, own, Q::any, later},
    {R::get_shmem_config, P::empty, D::none, F::shmem, negotiated, own, Q::any, later},
    {R::get_vring_base_skip_drain, P::vring_state, D::none, F::get_vring_base_skip_drain, negotiated, own, Q::stopped,
     later},
}};

constexpr bool rules_are_in_place() {
    for (std::uint32_t i = 0; i < rules.size(); ++i) {
        if (static_cast<std::uint32_t>(rules[i].request) != i + 1) {
            return false;
        }
    }
    return true;
}
static_assert(rules_are_in_place());

constexpr SizeRange exactly(std::size_t size) {
    return {static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(size)};
}

constexpr SizeRange between(std::size_t smallest, std::size_t largest) {
    return {static_cast<std::uint32_t>(smallest), static_cast<std::uint32_t>(largest)};
}

tl::unexpected<Error> violation(std::string text) {
    return failure(ErrorKind::protocol_violation, std::move(text));
}

Result<void> check_feature(const RequestRule& rule, std::uint64_t offered_features, std::uint64_t negotiated_features) {
    if (!rule.feature) {
        return {};
    }
    const bool need_negotiated = rule.feature_state == FeatureState::negotiated;
    if (((need_negotiated ? negotiated_features : offered_features) & mask_of(*rule.feature)) == 0) {
        return violation(fmt::format("protocol feature {} is not {}", name_of(*rule.feature),
                                     need_negotiated ? "negotiated" : "offered"));
    }
    return {};
}

Result<void> check_size(const RequestRule& rule, std::uint32_t size) {
    const SizeRange range = payload_sizes(rule.payload);
    if (size >= range.smallest && size <= range.largest) {
        return {};
    }
    const auto expected = range.smallest == range.largest ? fmt::format("{}", range.smallest)
                                                          : fmt::format("{} to {}", range.smallest, range.largest);
    return violation(fmt::format("a payload of {} bytes, expected {}", size, expected));
}

/// The numbers that depend on the payload's content are checked where it is decoded (decode.hh).
Result<void> check_descriptors(const RequestRule& rule, std::size_t count) {
    std::size_t fewest = 0;
    std::size_t most = 0;
    switch (rule.descriptors) {
        case Descriptors::none:
            break;
        case Descriptors::one:
            fewest = 1;
            most = 1;
            break;
        case Descriptors::at_most_one:
        case Descriptors::by_vring_fd:
            most = 1;
            break;
        case Descriptors::by_table:
            most = limits::fds;
            break;
    }
    if (count >= fewest && count <= most) {
        return {};
    }
    const auto expected = fewest == most ? fmt::format("{}", most) : fmt::format("at most {}", most);
    return violation(fmt::format("{} file descriptors, expected {}", count, expected));
}

}  // namespace

SizeRange payload_sizes(Payload payload) noexcept {
    switch (payload) {
        case Payload::empty:
            return exactly(0);
        case Payload::u64:
        case Payload::vring_fd:
            return exactly(sizeof(std::uint64_t));
        case Payload::vring_state:
            return exactly(sizeof(VringState));
        case Payload::vring_addr:
            return exactly(sizeof(VringAddr));
        case Payload::memory_table:
            return between(sizeof(MemoryTableHeader), limits::payload_size);
        case Payload::memory_region:
            return exactly(sizeof(SingleMemoryRegion));
        case Payload::config:
            return between(sizeof(ConfigHeader), limits::payload_size);
        case Payload::log:
            return between(sizeof(std::uint64_t), sizeof(LogDescription));
        case Payload::iotlb:
            return exactly(sizeof(IotlbMessage));
        case Payload::inflight:
            return between(offsetof(InflightDescription, padding), sizeof(InflightDescription));
        case Payload::shared_object:
            return exactly(sizeof(SharedObject));
        case Payload::device_state:
            return exactly(sizeof(DeviceStateTransfer));
        case Payload::any:
            break;
    }
    return between(0, limits::payload_size);
}

const RequestRule* find_rule(std::uint32_t request) noexcept {
    return request >= 1 && request <= rules.size() ? &rules[request - 1] : nullptr;
}

Result<const RequestRule*> check_syntax(const Message& message, std::uint64_t offered_protocol_features,
                                        std::uint64_t negotiated_protocol_features) {
    const MessageHeader& header = message.header;
    const RequestRule* rule = find_rule(header.request);
    if (rule == nullptr) {
        return violation(fmt::format("unknown, expected 1 to {}", request_count));
    }
    if (header.is_reply()) {
        return violation(fmt::format("flags {:#x} say that it is a reply", header.flags));
    }
    SIDECORE_TRY(check_feature(*rule, offered_protocol_features, negotiated_protocol_features));
    if (!rule->supported) {
        return violation("not supported by this back-end");
    }
    SIDECORE_TRY(check_size(*rule, header.size));
    SIDECORE_TRY(check_descriptors(*rule, message.fds.size()));
    return rule;
}

}  // namespace sidecore::vhost_user
