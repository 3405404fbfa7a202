// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/blk_driver.hh"

namespace sidecore::test {

inline std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
    std::vector<std::byte> result(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        result[i] = static_cast<std::byte>(i * 7 + i / 512 + seed);
    }
    return result;
}

/// Options of a driver that asks for little memory, of which there may be many at once.
inline frontend::BlkDriver::Options small_driver(std::uint16_t queues = 1) {
    frontend::BlkDriver::Options options;
    options.queues = queues;
    options.queue.size = 16;
    options.requests.slots = 4;
    options.requests.bytes_per_slot = 16 * 1024;
    return options;
}

/// Writes to a place of its own for `seed`, and reads it back.
inline void expect_disk_works(frontend::BlkRequests& requests, unsigned seed) {
    const std::vector<std::byte> data = pattern(4096, seed);
    std::vector<std::byte> found(data.size());
    const auto written = requests.write(std::uint64_t{seed} * 8, data);
    ASSERT_TRUE(written) << written.error().message;
    const auto read = requests.read(std::uint64_t{seed} * 8, found);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(found, data);
}

/// Looks every millisecond whether `condition` holds, for 20 s at most.
template <typename Condition>
bool eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace sidecore::test
