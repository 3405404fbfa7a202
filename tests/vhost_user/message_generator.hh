// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <fcntl.h>
#include <functional>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "vhost_user/connection.hh"
#include "vhost_user/messages.hh"
#include "vhost_user/session.hh"

namespace sidecore::vhost_user::testing {

/// Front-ends out of random bytes: most messages are sound and in a sensible order, so that the session gets far; some
/// are damaged. Used with a seeded generator in tests and with a fuzzer's input in tests/fuzz.
class MessageGenerator {
public:
    static constexpr std::uint64_t memory_size = 1 << 20;
    static constexpr std::uint64_t user_base = 0x7f00'0000'0000;

    /// `next_byte` gives the next random byte; zeroes when there are no more.
    explicit MessageGenerator(std::function<std::uint8_t()> next_byte) : next_byte_(std::move(next_byte)) {
        memory_ = Fd(::memfd_create("guest", MFD_CLOEXEC));
        if (::ftruncate(memory_.get(), static_cast<off_t>(memory_size)) == 0) {
            event_ = make_eventfd().value_or(Fd());
        }
    }

    /// Up to 40 messages: few enough that they and their replies fit into a socket without anybody reading.
    void send_conversation(Connection& connection) {
        if (byte() % 8 != 0) {
            send(connection, Request::set_protocol_features, u64(Session::offered_protocol_features));
            send(connection, Request::set_features, u64(0x1'3000'0000 | protocol_features_mask));
            send(connection, Request::set_mem_table, table(), {memory_.get()});
        }
        const unsigned count = byte() % 37;
        for (unsigned i = 0; i < count; ++i) {
            if (byte() % 4 == 0) {
                send_vring(connection, byte() % 4U);
            } else {
                send_any(connection);
            }
        }
    }

private:
    using Bytes = std::vector<std::byte>;

    std::uint8_t byte() { return next_byte_(); }

    std::uint64_t number() {
        std::uint64_t value = 0;
        for (int i = 0; i < 8; ++i) {
            value = value << 8U | byte();
        }
        return value;
    }

    static Bytes u64(std::uint64_t value) { return bytes_of(value); }

    template <WirePayload T>
    static Bytes bytes_of(const T& value) {
        Bytes bytes;
        append_payload(bytes, value);
        return bytes;
    }

    Bytes table() {
        Bytes bytes = bytes_of(MemoryTableHeader{1, 0});
        append_payload(bytes, MemoryRegion{0, memory_size, user_base, 0});
        return bytes;
    }

    static VringAddr addresses(std::uint32_t index) {
        const std::uint64_t base = user_base + std::uint64_t{0x10000} * index;
        return {index, 0, base, base + 0x8000, base + 0x4000, 0};
    }

    void send_vring(Connection& connection, std::uint32_t index) {
        send(connection, Request::set_vring_num, bytes_of(VringState{index, 1U << (byte() % 9U)}));
        send(connection, Request::set_vring_addr, bytes_of(addresses(index)));
        send(connection, Request::set_vring_call, u64(index), {event_.get()});
        send(connection, Request::set_vring_kick, u64(index), {event_.get()});
        send(connection, Request::set_vring_enable, bytes_of(VringState{index, 1}));
    }

    /// A request with a payload and descriptors that fit it, by its number.
    void send_any(Connection& connection) {
        std::uint32_t id = 1 + byte() % request_count;
        // What is not supported ends the session, so there is less of it.
        if (!find_rule(id)->supported && byte() % 32 != 0) {
            id = static_cast<std::uint32_t>(Request::set_vring_kick) + id % 3;
        }
        const auto request = static_cast<Request>(id);
        const std::uint32_t index = byte() % 4;
        const std::uint64_t region = std::uint64_t{byte() % 8U} * (memory_size / 8);
        const MemoryRegion piece{region, memory_size / 8, user_base + region, region};
        Bytes config = bytes_of(ConfigHeader{byte() % 64U, byte() % 16U, byte() % 3U});
        config.resize(sizeof(ConfigHeader) + read_payload<ConfigHeader>(config).size);
        switch (request) {
            case Request::set_features:
                return send(connection, request,
                            u64(byte() % 4 == 0 ? number() & 0x1'3000'0006 : 0x1'3000'0000 | protocol_features_mask));
            case Request::set_protocol_features:
                return send(connection, request,
                            u64(byte() % 4 == 0 ? number() & Session::offered_protocol_features
                                                : Session::offered_protocol_features));
            case Request::set_status:
                return send(connection, request, u64(byte()));
            case Request::set_mem_table:
                return send(connection, request, table(), {memory_.get()});
            case Request::add_mem_reg:
                return send(connection, request, bytes_of(SingleMemoryRegion{0, piece}), {memory_.get()});
            case Request::rem_mem_reg:
                return send(connection, request, bytes_of(SingleMemoryRegion{0, piece}));
            case Request::set_vring_num:
                return send(connection, request, bytes_of(VringState{index, 1U << (byte() % 16U)}));
            case Request::set_vring_addr:
                return send(connection, request, bytes_of(addresses(index)));
            case Request::set_vring_base:
            case Request::get_vring_base:
                return send(connection, request, bytes_of(VringState{index, byte()}));
            case Request::set_vring_enable:
                return send(connection, request, bytes_of(VringState{index, byte() % 2U}));
            case Request::set_vring_kick:
            case Request::set_vring_call:
            case Request::set_vring_err:
                if (byte() % 4 == 0) {
                    return send(connection, request, u64(index | vring_fd::no_fd));
                }
                return send(connection, request, u64(index), {event_.get()});
            case Request::set_backend_req_fd:
                return send(connection, request, {}, {connection.fd()});
            case Request::get_config:
            case Request::set_config:
                return send(connection, request, config);
            default:
                return send(connection, request, {});
        }
    }

    void send(Connection& connection, Request request, Bytes payload, std::vector<int> fds = {}) {
        MessageHeader header = make_header(request, payload.size(), byte() % 2 == 0 ? header_flags::need_reply : 0U);
        if (byte() >= 252) {
            damage(header, payload, fds);
        }
        // Blocking is no way out for a fuzzer: what does not fit is not sent.
        static_cast<void>(connection.send(header, payload, fds));
    }

    void damage(MessageHeader& header, Bytes& payload, std::vector<int>& fds) {
        switch (byte() % 8) {
            case 0:
                header.request = byte();
                return;
            case 1:
                header.flags ^= std::uint32_t{1} << (byte() % 32U);
                return;
            case 2:
                header.size = static_cast<std::uint32_t>(number());
                return;
            case 3:
                payload.resize(byte());
                header.size = static_cast<std::uint32_t>(payload.size());
                return;
            case 4:
                fds.assign(byte() % (limits::fds + 1), event_.get());
                return;
            case 5:
                fds.clear();
                return;
            default:
                for (unsigned i = byte() % 4U; i < 4 && !payload.empty(); ++i) {
                    payload[number() % payload.size()] = static_cast<std::byte>(byte());
                }
        }
    }

    std::function<std::uint8_t()> next_byte_;
    Fd memory_;
    Fd event_;
};

}  // namespace sidecore::vhost_user::testing
