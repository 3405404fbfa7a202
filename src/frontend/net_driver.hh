// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "frontend/client.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/net_control.hh"
#include "frontend/net_format.hh"
#include "frontend/net_receiver.hh"
#include "frontend/net_transmitter.hh"

namespace sidecore::frontend {

/// A virtio-net driver on a vhost-user connection: negotiated, started, its receive buffers offered.
///
/// Vrings: pair i receives on 2i and transmits on 2i + 1; the control queue, if there is one, is behind all pairs that the
/// device could have (5.1.2): 2 x max_virtqueue_pairs where MQ is negotiated, else 2.
///
/// Thread: one, but that each transmitter and each receiver may be used by a thread of its own.
class NetDriver {
public:
    struct Options {
        Wishes wishes{.features = net_default_features};
        std::uint16_t pairs = 1;  ///< made and started
        bool control = true;      ///< the control queue, if it is offered
        /// Set the number of pairs in use to all that are made, by command. Without a control queue those that are enabled are in use.
        bool use_all_pairs = true;
        QueueOptions queue{};  ///< of each; event_index only if it was negotiated
        /// Make transmitters and receivers; else the queues are left to the caller, for a NetTransmitLoad and the like.
        bool endpoints = true;
        NetTransmitter::Options transmit{};
        NetReceiver::Options receive{};
        std::uint64_t memory_bytes = 0;  ///< guest memory in all; 0: what queues, transmitters and receivers need
    };

    /// Connects, negotiates, makes guest memory and queues, starts them. Errors of its own: out_of_range, the device has fewer pairs;
    /// protocol_violation, its max_virtqueue_pairs is impossible; unsupported, MQ with a control queue but no way to learn where that is.
    static Result<NetDriver> start(const std::filesystem::path& socket, const Options& options);
    static Result<NetDriver> start(Client client, const Options& options);

    /// The configuration space, asked for now.
    Result<NetConfig> config() { return read_config(client_); }

    /// A command and the device's acknowledgement. Error: unsupported, there is no control queue; see NetControl::run().
    Result<std::uint8_t> command(const NetCommand& command);
    Result<std::uint8_t> command(NetClass command_class, std::uint8_t number, std::span<const std::byte> data = {}) {
        return command({.command_class = command_class, .command = number, .data = data});
    }
    /// VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET; an error unless the device acknowledges it.
    Result<void> set_pairs(std::uint16_t pairs);

    /// Sends a frame on a pair and waits until the device has used it.
    Result<void> send(std::span<const std::byte> frame, const NetHeader& header = {}, std::size_t pair = 0) {
        return transmitter(pair).send({.frame = frame, .header = header});
    }
    /// Likewise in any layout.
    Result<void> send_pieces(const NetOutgoing& outgoing, std::size_t pair = 0) {
        return transmitter(pair).send(outgoing);
    }
    /// As many as there is room for, without waiting; returns how many.
    Result<std::size_t> send_batch(std::span<const NetOutgoing> batch, std::size_t pair = 0) {
        return transmitter(pair).send_batch(batch);
    }
    /// The next frame of a pair.
    Result<NetReceived> receive(std::size_t pair = 0, std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
        return receiver(pair).receive(timeout);
    }

    std::uint16_t pairs() const noexcept { return pairs_; }
    std::uint16_t max_pairs() const noexcept { return max_pairs_; }  ///< of the device, as far as it is known
    std::uint32_t header_bytes() const noexcept { return net_header_bytes(client_.features()); }

    // By pair. std::out_of_range for one that was not made.
    NetTransmitter& transmitter(std::size_t pair = 0) { return transmitters_.at(pair); }
    NetReceiver& receiver(std::size_t pair = 0) { return receivers_.at(pair); }
    DriverQueue& receive_queue(std::size_t pair = 0) { return queues_->at(pair * 2); }
    DriverQueue& transmit_queue(std::size_t pair = 0) { return queues_->at(pair * 2 + 1); }

    bool has_control() const noexcept { return control_.has_value(); }
    DriverQueue& control_queue() { return queues_->at(std::size_t{pairs_} * 2); }  ///< if has_control()

    /// All vrings that were started, with their numbers: what to stop.
    std::vector<NumberedQueue> numbered_queues();
    Client& client() noexcept { return client_; }
    GuestMemoryFile& memory() noexcept { return *memory_; }

private:
    NetDriver(Client client, GuestMemoryFile memory, std::uint16_t pairs, std::uint16_t max_pairs)
        : client_(std::move(client)),
          memory_(std::make_unique<GuestMemoryFile>(std::move(memory))),
          queues_(std::make_unique<std::vector<DriverQueue>>()),
          pairs_(pairs),
          max_pairs_(max_pairs) {}

    static Result<void> negotiate(Client& client, const Options& options);
    static Result<NetConfig> read_config(Client& client);
    static Result<std::uint16_t> learn_max_pairs(Client& client, const Options& options);
    Result<void> make_queues(const Options& options);

    Client client_;
    std::unique_ptr<GuestMemoryFile> memory_;  // behind pointers, which stay when a NetDriver is moved
    std::unique_ptr<std::vector<DriverQueue>> queues_;
    std::vector<NetTransmitter> transmitters_;
    std::vector<NetReceiver> receivers_;
    std::optional<NetControl> control_;
    std::uint16_t pairs_;
    std::uint16_t max_pairs_;
};

}  // namespace sidecore::frontend
