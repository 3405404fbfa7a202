// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/session.hh"

#include <utility>

#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "vhost_user/decode.hh"

namespace sidecore::vhost_user {

Result<std::unique_ptr<Session>> Session::create(Connection connection, Handler& handler, std::string name) {
    if ((handler.offered_features() & protocol_features_mask) != 0) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: a device cannot offer feature bit {}, it is vhost-user's own", name,
                                   protocol_features_bit));
    }
    if (handler.max_queues() < 1 || handler.max_queues() > limits::vrings) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: a device with {} queues, 1 to {} are possible",
                                                                name, handler.max_queues(), limits::vrings));
    }
    return std::unique_ptr<Session>(new Session(std::move(connection), handler, std::move(name)));
}

Session::Session(Connection connection, Handler& handler, std::string name)
    : connection_(std::move(connection)), name_(std::move(name)), handler_(handler), vrings_(handler.max_queues()) {}

Result<void> Session::run() {
    Result<void> result = serve();
    finish();
    if (!result && (stopping_.load() || front_end_gone_)) {
        return {};
    }
    return result;
}

void Session::stop() noexcept {
    stopping_.store(true);
    connection_.interrupt();
}

Result<void> Session::serve() {
    for (;;) {
        Result<Message> message = connection_.receive();
        if (!message) {
            front_end_gone_ = message.error().kind == ErrorKind::closed;
            return tl::unexpected(std::move(message).error());
        }
        // What was queued before shutdown(2) can still be read after it.
        if (stopping_.load()) {
            return {};
        }
        SIDECORE_TRY(process(*message));
    }
}

void Session::finish() {
    if (channel_) {
        channel_->close();
    }
    if (auto stopped = stop_all_vrings(); !stopped) {
        spdlog::error("{}: stopping the vrings at the end of the session: {}", name_, stopped.error().message);
    }
}

Result<void> Session::process(Message& message) {
    const RequestRule* rule = find_rule(message.header.request);
    const bool own_reply = rule != nullptr && rule->reply == ReplyKind::own;
    // Before or after: user-mode Linux already asks for an acknowledgement of the SET_PROTOCOL_FEATURES that
    // negotiates REPLY_ACK, and takes the lack of one for a hang.
    const bool wanted_before = wants_acknowledgement(message);
    Result<Answer> answer = obey(message);
    if (!own_reply && (wanted_before || wants_acknowledgement(message))) {
        const bool success = answer && *answer == Answer::done;
        Result<Answer> sent = reply_u64(message, success ? 0 : 1);
        if (answer && !sent) {
            return tl::unexpected(std::move(sent).error());
        }
    }
    if (!answer) {
        return tl::unexpected(std::move(answer).error().within(describe_request(message.header.request)));
    }
    return {};
}

Result<Session::Answer> Session::obey(Message& message) {
    const MessageHeader& header = message.header;
    spdlog::debug("{}: {} ({} bytes, {} descriptors{})", name_, describe_request(header.request), header.size,
                  message.fds.size(), header.need_reply() ? ", acknowledgement wanted" : "");
    SIDECORE_TRY_ASSIGN(const RequestRule* rule, check_syntax(message, offer(), protocol_features_));
    if (rule->queues == QueueState::any) {
        return dispatch(message);
    }
    const std::uint64_t start_ns = monotonic_ns();
    if (rule->queues == QueueState::stopped) {
        SIDECORE_TRY(prepare_vring(*rule, message));
    }
    Result<Answer> answer = dispatch(message);
    spdlog::debug("{}: {} done in {} us, with queues {}", name_, name_of(rule->request),
                  (monotonic_ns() - start_ns) / 1000, rule->queues == QueueState::stopped ? "stopped" : "quiesced");
    return answer;
}

Result<Session::Answer> Session::dispatch(Message& message) {
    switch (static_cast<Request>(message.header.request)) {
        case Request::get_features:
            return reply_u64(message, handler_.offered_features() | protocol_features_mask);
        case Request::set_features:
            return set_features(message);
        case Request::get_protocol_features:
            return reply_u64(message, offer());
        case Request::set_protocol_features:
            return set_protocol_features(message);
        // Nothing depends on it: one connection has one front-end. QEMU sends it once for each queue pair of
        // a net device.
        case Request::set_owner:
        // Deprecated; "back-ends either ignore this message, or use it to disable all rings". A front-end
        // without protocol features could not enable them again, so it is ignored.
        case Request::reset_owner:
            return Answer::done;
        case Request::get_queue_num:
            return reply_u64(message, vrings_.size());
        case Request::set_backend_req_fd:
            return set_backend_req_fd(message);
        case Request::get_config:
            return get_config(message);
        case Request::set_config:
            return set_config(message);
        case Request::set_status:
            return set_status(message);
        case Request::get_status:
            return reply_u64(message, handler_.status());
        case Request::send_rarp:
            return send_rarp(message);
        case Request::net_set_mtu:
            return net_set_mtu(message);
        case Request::reset_device:
            return reset_device();
        case Request::get_max_mem_slots:
            return reply_u64(message, memory::MemoryMap::max_regions);
        case Request::set_mem_table:
            return set_mem_table(message);
        case Request::add_mem_reg:
            return add_mem_reg(message);
        case Request::rem_mem_reg:
            return rem_mem_reg(message);
        default:
            return dispatch_vring(message);
    }
}

Result<Session::Answer> Session::dispatch_vring(Message& message) {
    switch (static_cast<Request>(message.header.request)) {
        case Request::set_vring_num:
            return set_vring_num(message);
        case Request::set_vring_addr:
            return set_vring_addr(message);
        case Request::set_vring_base:
            return set_vring_base(message);
        case Request::get_vring_base:
            return get_vring_base(message);
        case Request::set_vring_kick:
            return set_vring_kick(message);
        case Request::set_vring_call:
            return set_vring_call(message);
        case Request::set_vring_err:
            return set_vring_err(message);
        case Request::set_vring_enable:
            return set_vring_enable(message);
        default:
            return failure(ErrorKind::unsupported, "not supported by this back-end");
    }
}

Result<Session::Answer> Session::reply(const Message& request, std::span<const std::byte> payload) {
    // Exactly these flags: QEMU compares the whole word.
    const MessageHeader header{request.header.request, header_flags::version | header_flags::reply,
                               static_cast<std::uint32_t>(payload.size())};
    if (auto sent = connection_.send(header, payload); !sent) {
        front_end_gone_ = sent.error().kind == ErrorKind::closed;
        return tl::unexpected(std::move(sent).error());
    }
    return Answer::done;
}

Result<Session::Answer> Session::reply_u64(const Message& request, std::uint64_t value) {
    return reply(request, payload_bytes(value));
}

Result<Session::Answer> Session::refuse(const Message& request, Error error) {
    if (!wants_acknowledgement(request)) {
        return tl::unexpected(std::move(error));
    }
    spdlog::warn("{}: {} refused: {}", name_, describe_request(request.header.request), error.message);
    return Answer::refused;
}

bool Session::wants_acknowledgement(const Message& request) const noexcept {
    return request.header.need_reply() && negotiated(ProtocolFeature::reply_ack);
}

}  // namespace sidecore::vhost_user
