// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.hh"
#include "vhost_user/messages.hh"

// The syntax of the front-end's requests, as a table: what a message must look like, before anybody asks what
// it means. Meaning is session.hh's. Nothing here has a state; any thread may use it.

namespace sidecore::vhost_user {

/// What a request carries; the size rule follows from it (payload_sizes()).
enum class Payload : std::uint8_t {
    empty,
    u64,
    vring_state,
    vring_addr,
    vring_fd,      ///< a u64: vring index and the "no fd" flag
    memory_table,  ///< as long as its regions or longer: user-mode Linux always sends room for two
    memory_region,
    config,  ///< a header and as many bytes as it says
    log,     ///< a u64, or a LogDescription with LOG_SHMFD
    iotlb,
    inflight,  ///< with or without the padding at the C struct's end
    shared_object,
    device_state,
    any,
};

/// How many descriptors come with a request.
enum class Descriptors : std::uint8_t {
    none,
    one,
    at_most_one,
    by_vring_fd,  ///< one, or none with the "no fd" flag
    by_table,     ///< one per region
};

/// What must be known of the request's protocol feature.
enum class FeatureState : std::uint8_t {
    negotiated,  ///< acknowledged with SET_PROTOCOL_FEATURES
    offered,     ///< the specification only asks that the back-end has shown it
};

enum class ReplyKind : std::uint8_t {
    acknowledgement,  ///< none; with REPLY_ACK and need_reply a u64, 0 for success
    own,              ///< always, in the request's own form
};

/// How a request goes together with queues that run.
enum class QueueState : std::uint8_t {
    any,       ///< applied while they run, or does not concern them
    stopped,   ///< changes one vring: it is stopped first, and started by the next SET_VRING_KICK
    quiesced,  ///< concerns all vrings: the handler lets them finish what they accepted before it applies
};

struct RequestRule {
    Request request;
    Payload payload = Payload::empty;
    Descriptors descriptors = Descriptors::none;
    std::optional<ProtocolFeature> feature;
    FeatureState feature_state = FeatureState::negotiated;
    ReplyKind reply = ReplyKind::acknowledgement;
    QueueState queues = QueueState::any;
    bool supported = false;  ///< false: known by name only, and refused
};

struct SizeRange {
    std::uint32_t smallest;
    std::uint32_t largest;
};

SizeRange payload_sizes(Payload payload) noexcept;

/// The rule of a request, or nullptr if there is no such request.
const RequestRule* find_rule(std::uint32_t request) noexcept;

/// Checks everything about `message` that can be told without knowing what it means: that the request exists
/// and is supported, that its protocol feature is there, that it is no reply, the size of its payload, and
/// the number of its descriptors. Errors (protocol_violation) say what was found and what was expected; the
/// caller adds the request.
Result<const RequestRule*> check_syntax(const Message& message, std::uint64_t offered_protocol_features,
                                        std::uint64_t negotiated_protocol_features);

}  // namespace sidecore::vhost_user
