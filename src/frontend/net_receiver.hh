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

/// A frame that came.
struct NetReceived {
    NetHeader header;
    std::vector<std::byte> frame;
    std::uint16_t buffers = 1;  ///< that it was spread over
};

/// The buffers of one receive queue, and the frames that the device puts into them. Guard bytes are around every buffer.
///
/// A device that breaks a rule of 5.1.6.4.1 is reported as protocol_violation in words: num_buffers 0, or not 1 without
/// MRG_RXBUF, or more than there are used; a buffer but the last that is not full; less than a header; bytes outside of
/// the buffers; a header with what was not negotiated. The buffers of such a frame are taken back like those of any other.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class NetReceiver {
public:
    struct Options {
        std::uint16_t buffers = 64;  ///< chains; fewer if the queue has too few descriptors for them
        std::uint32_t buffer_bytes =
            0;  ///< of each, header included; 0: see net_receive_bytes(), or 1536 if they are merged
        std::vector<std::uint32_t> cuts{};  ///< of each: lengths of the first pieces; what is left is one more
        bool indirect = false;
        Placement placement{};
        bool refill = true;  ///< offer buffers again as soon as they are read; else by fill() only, also at first
    };

    /// `options` with all that depends on the features; a legacy header stands in a piece of its own.
    static Options resolve(Options options, std::uint64_t features);
    /// Bytes of guest memory that create() takes.
    static std::uint64_t memory_needed(const Options& options, std::uint64_t features);
    /// Offers the buffers, but does not publish them: the device may not have been started.
    static Result<NetReceiver> create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                      const Options& options);

    /// The next frame, if there is one.
    Result<std::optional<NetReceived>> try_receive();
    /// The next frame. Errors: timed_out, protocol_violation.
    Result<NetReceived> receive(std::chrono::milliseconds timeout = std::chrono::seconds(10));

    /// Offers buffers that are not offered, at most so many, and publishes them; returns how many.
    std::size_t fill(std::size_t count = SIZE_MAX) noexcept;

    std::size_t buffers() const noexcept { return slots_.size(); }
    std::size_t offered() const noexcept { return slots_.size() - idle_.size(); }
    std::uint32_t buffer_bytes() const noexcept { return options_.buffer_bytes; }
    DriverQueue& queue() noexcept { return *queue_; }

private:
    struct Slot {
        GuardedBuffers buffers;
        std::uint16_t head = 0;
    };

    NetReceiver(DriverQueue& queue, std::uint64_t features, Options options);
    Result<std::optional<NetReceived>> take();
    Result<bool> take_buffer(std::vector<std::byte>& bytes);
    Result<NetReceived> reassemble(std::vector<std::byte> bytes);

    DriverQueue* queue_;
    std::uint64_t features_;
    std::uint32_t header_bytes_;
    Options options_;
    std::vector<Slot> slots_;
    std::vector<std::uint16_t> slot_of_head_;
    std::vector<std::uint16_t> idle_;  // indexes of slots that are not offered
};

}  // namespace sidecore::frontend
