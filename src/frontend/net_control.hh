// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guarded_buffers.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/net_format.hh"

namespace sidecore::frontend {

/// A command of the control queue (5.1.6.5).
struct NetCommand {
    NetClass command_class = NetClass::rx;
    std::uint8_t command = 0;
    std::span<const std::byte> data{};
    std::vector<std::uint32_t> cuts{
        2};  ///< lengths of the first pieces of class, command, data; what is left is one more
    bool indirect = false;
};

/// Commands on a control queue, one at a time.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class NetControl {
public:
    static constexpr std::uint64_t memory_needed = 96ULL << 10U;

    static Result<NetControl> create(GuestMemoryFile& memory, DriverQueue& queue);

    /// Runs a command and returns the device's acknowledgement: net_ack_ok, net_ack_error, or what else it put there. Errors: timed_out;
    /// protocol_violation, also if the device says that it wrote none.
    Result<std::uint8_t> run(const NetCommand& command, std::chrono::milliseconds timeout = std::chrono::seconds(10));

    DriverQueue& queue() noexcept { return *queue_; }

private:
    NetControl(DriverQueue& queue, const GuestBuffer& table, const GuestBuffer& room)
        : queue_(&queue), table_(table), buffers_(room) {}

    DriverQueue* queue_;
    GuestBuffer table_;
    GuardedBuffers buffers_;
};

}  // namespace sidecore::frontend
