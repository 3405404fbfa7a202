// SPDX-License-Identifier: Apache-2.0
// The part of Session that concerns the device as a whole: features, configuration space, status, back-end
// channel.
#include <array>
#include <cstring>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "vhost_user/decode.hh"
#include "vhost_user/session.hh"

namespace sidecore::vhost_user {

Result<Session::Answer> Session::set_features(const Message& message) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t value, decode_u64(message));
    const std::uint64_t features = value & ~protocol_features_mask;
    const std::uint64_t offered = handler_.offered_features();
    if ((features & ~offered) != 0) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("features {:#x}, of which {:#x} were not offered", value, features & ~offered));
    }
    if (!features_ || *features_ != features) {
        for (std::uint16_t index = 0; index < vring_count(); ++index) {
            if (!vrings_[index].started) {
                continue;
            }
            if (vrings_[index].enabled) {
                return failure(ErrorKind::protocol_violation,
                               fmt::format("features change from {:#x} to {:#x} while vring {} is started and enabled",
                                           features_.value_or(0), features, index));
            }
            // User-mode Linux disables the vrings of a driver that goes, but does not stop them; the next
            // driver may choose other features.
            SIDECORE_TRY(stop_vring(index));
        }
        SIDECORE_TRY(handler_.set_features(features));
        features_ = features;
    }
    // "Upon receiving a SET_FEATURES message without VHOST_USER_F_PROTOCOL_FEATURES set, the back-end must
    // enable all rings immediately" (Ring states).
    if ((value & protocol_features_mask) == 0) {
        for (std::uint16_t index = 0; index < vring_count(); ++index) {
            SIDECORE_TRY(enable_vring(index, true));
        }
    }
    return Answer::done;
}

Result<Session::Answer> Session::set_protocol_features(const Message& message) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t features, decode_u64(message));
    if ((features & ~offer()) != 0) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("protocol features {:#x}, of which these were not offered: {}", features,
                                   describe_protocol_features(features & ~offer())));
    }
    // QEMU sends it once for each queue pair of a net device, also while the first pair runs.
    protocol_features_ = features;
    return Answer::done;
}

Result<Session::Answer> Session::get_config(const Message& message) {
    SIDECORE_TRY_ASSIGN(const ConfigAccess access, decode_config(message));
    const ConfigHeader& header = access.header;
    if (header.offset > limits::config_size || header.size > limits::config_size - header.offset) {
        spdlog::warn("{}: GET_CONFIG of {} bytes at {}, there are {}", name_, header.size, header.offset,
                     limits::config_size);
        // "uses zero length of payload to indicate an error".
        return reply(message, {});
    }
    // "Payload size MUST match the front-end's request", however short the device's configuration is: QEMU
    // and SPDK ask for as much as they have room for.
    std::vector<std::byte> payload;
    append_payload(payload, header);
    payload.resize(sizeof(ConfigHeader) + header.size);
    handler_.read_config(header.offset, std::span(payload).subspan(sizeof(ConfigHeader)));
    return reply(message, payload);
}

Result<Session::Answer> Session::set_config(const Message& message) {
    SIDECORE_TRY_ASSIGN(const ConfigAccess access, decode_config(message));
    const ConfigHeader& header = access.header;
    Result<void> written;
    if (header.offset > limits::config_size || header.size > limits::config_size - header.offset) {
        written = failure(ErrorKind::out_of_range,
                          fmt::format("{} bytes at {}, there are {}", header.size, header.offset, limits::config_size));
    } else if (header.flags != config_flags::writable && header.flags != config_flags::migration) {
        written = failure(ErrorKind::invalid_argument, fmt::format("flags {:#x}, expected 0 or 1", header.flags));
    } else {
        written = handler_.write_config(header.offset, access.data, header.flags == config_flags::migration);
    }
    if (!written) {
        spdlog::warn("{}: SET_CONFIG refused: {}", name_, written.error().message);
        return Answer::refused;
    }
    return Answer::done;
}

Result<Session::Answer> Session::set_backend_req_fd(Message& message) {
    SIDECORE_TRY_ASSIGN(auto channel,
                        BackendChannel::create(std::move(message.fds.front()), negotiated(ProtocolFeature::config)));
    SIDECORE_TRY(channel->set_suspended(started_vrings_ == 0));
    if (channel_) {
        channel_->close();
    }
    channel_ = std::move(channel);
    handler_.set_backend_channel(channel_);
    return Answer::done;
}

Result<Session::Answer> Session::set_status(const Message& message) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t status, decode_u64(message));
    if (status > 0xff) {
        return failure(ErrorKind::protocol_violation, fmt::format("status {:#x}, expected 8 bits", status));
    }
    // A driver that reset its device takes its rings back at once (VIRTIO 2.4).
    if (status == 0) {
        SIDECORE_TRY(stop_all_vrings());
    }
    SIDECORE_TRY(handler_.set_status(static_cast<std::uint8_t>(status)));
    if (status == 0) {
        // The handler has forgotten the driver's choice; QEMU sends the same one again when the driver comes back.
        features_.reset();
    }
    return Answer::done;
}

/// The address lies in the first six bytes of the payload, in the order of the wire.
Result<Session::Answer> Session::send_rarp(const Message& message) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t value, decode_u64(message));
    std::array<std::uint8_t, 6> mac;
    std::memcpy(mac.data(), &value, mac.size());
    if (auto announced = handler_.announce_mac(mac); !announced) {
        spdlog::warn("{}: SEND_RARP refused: {}", name_, announced.error().message);
        return Answer::refused;
    }
    return Answer::done;
}

Result<Session::Answer> Session::net_set_mtu(const Message& message) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t mtu, decode_u64(message));
    if (auto set = handler_.set_mtu(mtu); !set) {
        spdlog::warn("{}: NET_SET_MTU refused: {}", name_, set.error().message);
        return Answer::refused;
    }
    return Answer::done;
}

Result<Session::Answer> Session::reset_device() {
    SIDECORE_TRY(handler_.reset());
    for (Vring& vring : vrings_) {
        // The call and error descriptors stay: QEMU does not send them again, and nobody is hurt by an old
        // one.
        Vring fresh;
        fresh.call = std::move(vring.call);
        fresh.error = std::move(vring.error);
        vring = std::move(fresh);
    }
    count_started(-started_vrings_);
    features_.reset();
    return Answer::done;
}

}  // namespace sidecore::vhost_user
