// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guarded_buffers.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/net_format.hh"

namespace sidecore::frontend {

/// How a string of bytes for the device is cut into buffers: VIRTIO 2.7.4 leaves the cuts to the driver.
struct NetLayout {
    std::vector<std::uint32_t>
        cuts{};                     ///< lengths of the first pieces; what is left is one more. None: the header apart
    bool indirect = false;          ///< in an indirect table ...
    std::size_t direct_pieces = 0;  ///< ... behind this many pieces in the ring's own table
    Placement placement{};
};

/// A frame to be sent, which is copied.
struct NetOutgoing {
    std::span<const std::byte> frame;
    NetHeader header{};
    NetLayout layout{};
    /// For tests that break the rules: only so many bytes of the header. None: all that the features give it.
    std::optional<std::uint32_t> header_bytes = std::nullopt;
};

/// Frames of any form on one transmit queue. Keeps a copy of each until the device has used it, and a device that
/// changes the buffers, which it may only read, is in error.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class NetTransmitter {
public:
    struct Options {
        std::uint32_t slots = 64;                  ///< frames in flight
        std::uint32_t bytes_per_slot = 72 * 1024;  ///< all buffers of one frame
        std::chrono::milliseconds timeout = std::chrono::seconds(10);
    };

    /// Bytes of guest memory that create() takes.
    static std::uint64_t memory_needed(const Options& options) noexcept;
    static Result<NetTransmitter> create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                         const Options& options);

    /// Offers a frame; the device sees it after the queue's publish(). Errors: out_of_range when slots, a slot's bytes
    /// or descriptors do not suffice; invalid_argument, the layout is longer than the frame.
    Result<void> submit(const NetOutgoing& outgoing);

    /// Takes back what has been used, offers as many of the frames as there is room for, and publishes them together.
    /// Does not wait. Returns how many.
    Result<std::size_t> send_batch(std::span<const NetOutgoing> batch);

    /// Sends one frame and waits until the device has used it, and all before it.
    Result<void> send(const NetOutgoing& outgoing);

    /// Takes back the chains that the device has used; returns how many. Does not wait. Error: protocol_violation.
    Result<std::size_t> reclaim();

    /// Publishes, and waits until everything has been used. Errors: timed_out, protocol_violation.
    Result<void> drain();

    std::size_t in_flight() const noexcept { return slots_.size() - idle_.size(); }
    std::uint32_t header_bytes() const noexcept { return header_bytes_; }
    DriverQueue& queue() noexcept { return *queue_; }

private:
    struct Slot {
        GuestBuffer table;
        GuardedBuffers buffers;
        std::vector<std::byte> sent;  ///< header and frame
        std::uint16_t head = 0;
        bool busy = false;
    };

    NetTransmitter(DriverQueue& queue, std::uint32_t header_bytes, const Options& options)
        : queue_(&queue), header_bytes_(header_bytes), options_(options) {}
    Result<void> finish(std::uint16_t head);

    DriverQueue* queue_;
    std::uint32_t header_bytes_;
    Options options_;
    std::vector<Slot> slots_;
    std::vector<std::size_t> idle_;  // indexes of slots
};

}  // namespace sidecore::frontend
