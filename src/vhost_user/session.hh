// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "memory/memory_map.hh"
#include "vhost_user/backend_channel.hh"
#include "vhost_user/connection.hh"
#include "vhost_user/handler.hh"
#include "vhost_user/messages.hh"
#include "vhost_user/request_table.hh"

namespace sidecore::vhost_user {

/// The meaning of the front-end's messages: one connection from its first message to its last.
///
/// Thread: run() belongs to one thread, on which every call of the handler is made. stop() from any thread.
///
/// Invariants:
///  1. What the handler sees is sound: features that were offered, vrings that exist, sizes and addresses
///  that passed
///     the checks and lie in the guest's memory, at most one start between two stops.
///  2. A vring is started by SET_VRING_KICK, once size, addresses and memory are known, and stopped by
///  GET_VRING_BASE,
///     RESET_DEVICE, a SET_STATUS of 0, a change of its size, addresses or base, or the end of the session.
///  3. When run() returns, no vring is started.
///
/// What goes wrong, by what it does to the front-end:
///  - A message that breaks the rules ends the session. So does an error of the handler (but see below):
///  nobody knows
///    what state the device is in. If the front-end asked for an acknowledgement it first gets a non-zero
///    one.
///  - An operation that failed and left everything as it was (a memory region that cannot be mapped or is not
///  there)
///    gets a non-zero acknowledgement and the session goes on; if none was asked for, the front-end would go
///    on believing that it was done, so then it ends the session.
///  - A refused SET_CONFIG, which any guest can cause, never ends the session; GET_CONFIG answers with an
///  empty payload.
class Session {
public:
    /// Of all types of devices; Handler::device_protocol_features() adds to them.
    static constexpr std::uint64_t offered_protocol_features =
        mask_of({ProtocolFeature::mq, ProtocolFeature::reply_ack, ProtocolFeature::backend_req, ProtocolFeature::config,
                 ProtocolFeature::reset_device, ProtocolFeature::configure_mem_slots, ProtocolFeature::status});

    /// `handler` outlives the session. `name` is for the log. Error: invalid_argument if the handler offers
    /// feature bit 30, which is vhost-user's own, or a number of queues other than 1 to 256.
    static Result<std::unique_ptr<Session>> create(Connection connection, Handler& handler, std::string name);

    ~Session() = default;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Serves the connection until the front-end closes it or stop(), which are successes, or until something
    /// goes wrong: the error names the request, the field, what was found and what was expected. Once only.
    Result<void> run();

    /// Makes run() return soon: after the message in hand. Before run() it makes run() return at once.
    void stop() noexcept;

private:
    struct Vring {
        std::uint32_t size = 0;  // 0: not known
        std::optional<VringAddresses> addresses;
        std::uint16_t base = 0;  // next available index while not started; QEMU and others may never set it
        bool kicked = false;     // SET_VRING_KICK came since the last stop
        bool started = false;
        bool enabled = false;
        Fd kick;  // until the start
        // Kept over a stop, and duplicated for the handler: QEMU sends SET_VRING_ERR once per connection, and
        // user-mode Linux sends SET_VRING_CALL before the message that stops the vring for its next driver.
        Fd call;
        Fd error;
    };

    /// What an acknowledgement says.
    enum class Answer : std::uint8_t { done, refused };

    Session(Connection connection, Handler& handler, std::string name);

    // session.cc: the way of a message
    Result<void> serve();
    Result<void> process(Message& message);
    Result<Answer> obey(Message& message);
    Result<Answer> dispatch(Message& message);
    Result<Answer> dispatch_vring(Message& message);
    Result<Answer> reply(const Message& request, std::span<const std::byte> payload);
    Result<Answer> reply_u64(const Message& request, std::uint64_t value);
    Result<Answer> refuse(const Message& request, Error error);
    bool wants_acknowledgement(const Message& request) const noexcept;
    bool negotiated(ProtocolFeature feature) const noexcept { return (protocol_features_ & mask_of(feature)) != 0; }
    void finish();

    // session_device.cc: features, configuration, status
    Result<Answer> set_features(const Message& message);
    Result<Answer> set_protocol_features(const Message& message);
    Result<Answer> get_config(const Message& message);
    Result<Answer> set_config(const Message& message);
    Result<Answer> set_backend_req_fd(Message& message);
    Result<Answer> set_status(const Message& message);
    Result<Answer> send_rarp(const Message& message);
    Result<Answer> net_set_mtu(const Message& message);
    Result<Answer> reset_device();
    std::uint64_t offer() const { return offered_protocol_features | handler_.device_protocol_features(); }

    // session_memory.cc
    Result<Answer> set_mem_table(Message& message);
    Result<Answer> add_mem_reg(Message& message);
    Result<Answer> rem_mem_reg(Message& message);
    Result<Answer> use_memory(const Message& message, Result<std::shared_ptr<const memory::MemoryMap>> map);

    // session_vring.cc
    Result<void> prepare_vring(const RequestRule& rule, const Message& message);
    Result<Answer> set_vring_num(const Message& message);
    Result<Answer> set_vring_addr(const Message& message);
    Result<Answer> set_vring_base(const Message& message);
    Result<Answer> get_vring_base(const Message& message);
    Result<Answer> set_vring_kick(Message& message);
    Result<Answer> set_vring_call(Message& message);
    Result<Answer> set_vring_err(Message& message);
    Result<Answer> set_vring_enable(const Message& message);
    Result<void> check_index(std::uint32_t index) const;
    Result<void> check_parts(const Vring& vring) const;
    std::uint16_t vring_count() const noexcept { return static_cast<std::uint16_t>(vrings_.size()); }
    bool is_complete(const Vring& vring) const noexcept;
    Result<void> start_if_complete(std::uint16_t index);
    Result<void> start_vring(std::uint16_t index);
    Result<void> stop_vring(std::uint16_t index);
    Result<void> stop_all_vrings();
    Result<void> enable_vring(std::uint16_t index, bool enabled);
    void count_started(int change);

    // Any thread
    Connection connection_;
    std::atomic<bool> stopping_ = false;
    const std::string name_;

    // The thread of run()
    Handler& handler_;
    bool front_end_gone_ = false;
    std::optional<std::uint64_t> features_;  // the driver's choice, without bit 30
    std::uint64_t protocol_features_ = 0;    // negotiated
    std::shared_ptr<const memory::MemoryMap> map_;
    std::vector<memory::RegionDescription> repeated_regions_;  // of map_, once for each time that they were added again
    std::vector<Vring> vrings_;
    int started_vrings_ = 0;
    std::shared_ptr<BackendChannel> channel_;
};

}  // namespace sidecore::vhost_user
