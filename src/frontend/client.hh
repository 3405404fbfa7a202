// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "vhost_user/connection.hh"
#include "vhost_user/messages.hh"

namespace sidecore::frontend {

/// What a front-end would like; it gets the part of it that the back-end offers.
struct Wishes {
    std::uint64_t features = default_features;  ///< virtio features
    std::uint64_t protocol_features = default_protocol_features;

    /// The device's own bits (0 to 23), and what the split ring of this folder can do.
    static constexpr std::uint64_t default_features = 0xff'ffff | feature_mask(feature_indirect) |
                                                      feature_mask(feature_event_index) |
                                                      feature_mask(feature_version_1);
    static constexpr std::uint64_t default_protocol_features =
        vhost_user::mask_of({vhost_user::ProtocolFeature::mq, vhost_user::ProtocolFeature::reply_ack,
                             vhost_user::ProtocolFeature::backend_req, vhost_user::ProtocolFeature::config,
                             vhost_user::ProtocolFeature::reset_device,
                             vhost_user::ProtocolFeature::configure_mem_slots, vhost_user::ProtocolFeature::status});
};

/// A queue and the number that it has in the protocol.
struct NumberedQueue {
    std::uint32_t vring = 0;
    DriverQueue* queue = nullptr;
};

/// The front-end's side of a vhost-user connection.
///
/// Each request is a function of its own, in any order and with any content, so that tests can do what a front-end must
/// not do; negotiate(), start() and stop() do the usual things in the usual order.
///
/// Once REPLY_ACK is negotiated, requests without a reply of their own are sent with need_reply and wait for their
/// acknowledgement (see acknowledge()); a refusal is an error of kind invalid_argument. An answer that does not come
/// within the patience is timed_out, one of the wrong form protocol_violation, and the end of the connection closed.
///
/// Thread: one at a time. wait_for_backend_request() may run in another.
class Client {
public:
    /// Connects to a listening back-end, trying again until it listens or the patience is over.
    static Result<Client> connect(const std::filesystem::path& socket,
                                  std::chrono::milliseconds patience = std::chrono::seconds(10));

    /// Takes a connected socket, such as one of a pair or one accepted from a back-end that connects.
    explicit Client(Fd socket, std::chrono::milliseconds patience = std::chrono::seconds(10)) noexcept
        : connection_(std::move(socket)), patience_(patience) {}

    // The usual order.

    /// Features and protocol features, SET_OWNER, and the back-end channel if there is one.
    Result<void> negotiate(const Wishes& wishes);
    /// Memory, vrings (queue i becomes vring i), enable, and status DRIVER_OK if the back-end wants to know.
    Result<void> start(const GuestMemoryFile& memory, std::span<DriverQueue> queues);
    /// Likewise with numbers that have gaps: a network device's control queue is behind all pairs that it could have.
    Result<void> start(const GuestMemoryFile& memory, std::span<const NumberedQueue> queues);
    /// All that SET_VRING_* says of one queue, ending with the kick descriptor, which starts it, and the enabling.
    Result<void> start_vring(std::uint32_t index, const GuestMemoryFile& memory, DriverQueue& queue);
    /// Stops the vrings; returns the back-end's next available index of each.
    Result<std::vector<std::uint16_t>> stop(std::size_t vrings);

    std::uint64_t features() const noexcept { return features_; }  ///< as negotiated
    bool has(unsigned feature_bit) const noexcept { return ((features_ >> feature_bit) & 1U) != 0; }
    bool has(vhost_user::ProtocolFeature feature) const noexcept {
        return (protocol_features_ & vhost_user::mask_of(feature)) != 0;
    }

    // One request each.

    Result<std::uint64_t> get_features() { return get_u64(vhost_user::Request::get_features); }
    Result<void> set_features(std::uint64_t features);
    Result<std::uint64_t> get_protocol_features() { return get_u64(vhost_user::Request::get_protocol_features); }
    Result<void> set_protocol_features(std::uint64_t features);
    Result<void> set_owner() { return tell(vhost_user::Request::set_owner, {}); }
    Result<void> reset_owner() { return tell(vhost_user::Request::reset_owner, {}); }
    Result<std::uint64_t> get_queue_num() { return get_u64(vhost_user::Request::get_queue_num); }
    Result<std::uint64_t> get_max_mem_slots() { return get_u64(vhost_user::Request::get_max_mem_slots); }
    Result<void> set_mem_table(std::span<const GuestMemoryFile::Region> regions);
    Result<void> add_mem_reg(const GuestMemoryFile::Region& region);
    Result<void> rem_mem_reg(const GuestMemoryFile::Region& region);
    Result<void> set_vring_num(std::uint32_t vring, std::uint32_t size);
    Result<void> set_vring_base(std::uint32_t vring, std::uint32_t available_index);
    Result<void> set_vring_addr(const vhost_user::VringAddr& addresses);
    Result<void> set_vring_kick(std::uint32_t vring, std::optional<int> fd);  ///< none: the "no fd" flag
    Result<void> set_vring_call(std::uint32_t vring, std::optional<int> fd);
    Result<void> set_vring_err(std::uint32_t vring, std::optional<int> fd);
    Result<void> set_vring_enable(std::uint32_t vring, bool enabled);
    Result<std::uint16_t> get_vring_base(std::uint32_t vring);  ///< stops the vring
    Result<std::vector<std::byte>> get_config(std::uint32_t offset, std::uint32_t size);
    Result<void> set_config(std::uint32_t offset, std::span<const std::byte> data, std::uint32_t flags = 0);
    Result<std::uint8_t> get_status();
    Result<void> set_status(std::uint8_t status);
    Result<void> reset_device() { return tell(vhost_user::Request::reset_device, {}); }
    /// SET_BACKEND_REQ_FD with one end of a new pair of sockets.
    Result<void> open_backend_channel();

    /// Waits for a request of the back-end (CONFIG_CHANGE_MSG), and acknowledges it if it asks for that.
    Result<vhost_user::Message> wait_for_backend_request(std::chrono::milliseconds timeout);

    // Any message at all.

    /// Whether requests without a reply ask for an acknowledgement where REPLY_ACK allows it. True at first.
    void acknowledge(bool wanted) noexcept { acknowledge_ = wanted; }
    /// A request without a reply of its own, acknowledged if possible.
    Result<void> tell(vhost_user::Request request, std::span<const std::byte> payload, std::span<const int> fds = {});
    /// A request and its reply.
    Result<vhost_user::Message> ask(vhost_user::Request request, std::span<const std::byte> payload);
    /// The next message, whatever it is.
    Result<vhost_user::Message> receive();
    vhost_user::Connection& connection() noexcept { return connection_; }

private:
    Result<std::uint64_t> get_u64(vhost_user::Request request);
    Result<void> set_vring_fd(vhost_user::Request request, std::uint32_t vring, std::optional<int> fd);

    vhost_user::Connection connection_;
    std::unique_ptr<vhost_user::Connection> backend_channel_;  // none until open_backend_channel()
    std::chrono::milliseconds patience_;
    std::uint64_t features_ = 0;
    std::uint64_t protocol_features_ = 0;
    bool acknowledge_ = true;
};

}  // namespace sidecore::frontend
