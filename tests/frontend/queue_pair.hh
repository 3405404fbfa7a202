// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <poll.h>
#include <span>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "frontend/device_side.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend::test {

/// A queue and the device's view of it.
struct Pair {
    explicit Pair(const QueueOptions& options, std::uint64_t memory_bytes = 4U << 20U)
        : memory(*GuestMemoryFile::create(memory_bytes)),
          queue(*DriverQueue::create(memory, options)),
          device(memory, queue) {}

    /// A chain with one writable buffer of 100 bytes.
    std::uint16_t format_one() {
        const Piece piece{.address = {0x5000}, .length = 100, .device_writable = true};
        const auto head = queue.format(std::span(&piece, 1));
        EXPECT_TRUE(head);
        return head.value_or(0);
    }

    bool kicked() {
        pollfd kick{.fd = queue.kick_fd(), .events = POLLIN, .revents = 0};
        if (::poll(&kick, 1, 0) != 1) {
            return false;
        }
        drain_eventfd(queue.kick_fd());
        return true;
    }

    GuestMemoryFile memory;
    DriverQueue queue;
    DeviceSide device;
};

}  // namespace sidecore::frontend::test
