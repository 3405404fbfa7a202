// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <sys/uio.h>
#include <vector>

#include <gtest/gtest.h>

#include "virtqueue/driver_ring.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::test {

/// A guest's memory with a ring in it and the device's queue on top.
///
///     0x00000 .. 0x40000   ring from 0x1000; free from `data`
///     0x40000 .. 0x50000   a neighbour for the guest, but mapped apart
///     0x50000 .. 0x100000  nothing
///     0x100000 .. 0x110000 on its own
struct QueueWorld {
    static constexpr std::uint64_t data = 0x20000;
    static constexpr std::uint64_t seam = 0x40000;      // between two regions that do not join
    static constexpr std::uint64_t hole = 0x50000;      // first address with nothing behind it
    static constexpr std::uint64_t far = 0x100000;      // a region without neighbours
    static constexpr std::uint64_t far_end = 0x110000;  // and its end
    static constexpr std::size_t segment_limit = 64;

    static std::vector<GuestRam::Region> regions() {
        return {{0, seam, GuestRam::user_offset},
                {seam, hole - seam, GuestRam::user_offset + 0x1000000},
                {far, far_end - far, GuestRam::user_offset + far}};
    }

    explicit QueueWorld(const DriverRing::Options& options = {}) : QueueWorld(options, regions()) {}
    QueueWorld(const DriverRing::Options& options, const std::vector<GuestRam::Region>& memory)
        : ram(memory), ring(ram, options), queue(make_queue()) {}

    virtqueue::SplitQueue make_queue() const {
        auto made = virtqueue::SplitQueue::create(ram.map(), ring.setup());
        if (!made) {
            ADD_FAILURE() << made.error().message;
        }
        return std::move(*made);
    }

    virtqueue::PopResult pop() { return queue.pop(segments, chain); }

    /// Pops and expects a chain.
    const virtqueue::DescriptorChain& pop_chain() {
        EXPECT_EQ(pop(), virtqueue::PopResult::chain) << queue.fault().describe(queue.size());
        return chain;
    }

    /// Offers one head and shows it.
    bool make_available(std::uint16_t head) {
        ring.offer(head);
        return ring.publish();
    }

    GuestRam ram;
    DriverRing ring;
    virtqueue::SplitQueue queue;
    std::array<iovec, segment_limit> segments{};
    virtqueue::DescriptorChain chain;
};

inline constexpr std::uint64_t data = QueueWorld::data;

/// The bytes of pieces of a chain, in order.
inline std::string bytes_of(std::span<const iovec> segments) {
    std::string all;
    for (const iovec& segment : segments) {
        all.append(static_cast<const char*>(segment.iov_base), segment.iov_len);
    }
    return all;
}

/// Breaks the queue of a world by one pop, and expects that it says why, that it stays so whatever is tried,
/// and that no byte of the guest's memory was written.
inline void expect_broken(QueueWorld& world, virtqueue::QueueFault::Kind kind, const std::string& words) {
    using virtqueue::PopResult;
    auto& queue = world.queue;
    const auto before = world.ram.snapshot();
    const std::uint16_t in_flight = queue.in_flight();

    ASSERT_EQ(world.pop(), PopResult::broken);
    EXPECT_EQ(queue.fault().kind, kind);
    EXPECT_EQ(queue.fault().describe(queue.size()), words);
    EXPECT_TRUE(queue.broken());
    EXPECT_EQ(queue.in_flight(), in_flight);

    for (int attempt = 0; attempt < 2; ++attempt) {
        EXPECT_EQ(world.pop(), PopResult::broken);
        EXPECT_FALSE(queue.has_available());
        EXPECT_EQ(queue.available(), 0);
        queue.prefetch(1);
        queue.push(0, 1);
        EXPECT_FALSE(queue.publish());
        EXPECT_TRUE(queue.arm());
        queue.disarm();
        queue.check_memory();
        queue.break_with({virtqueue::QueueFault::Kind::bad_request, 1, 2, 3});
    }
    EXPECT_EQ(queue.fault().describe(queue.size()), words) << "the first reason stays";
    EXPECT_EQ(world.ram.changed_since(before), std::vector<std::uint64_t>{});

    // What comes later and would be in order does not bring it back.
    world.ring.set_chain(0, {{QueueWorld::data, 1, false}});
    world.make_available(0);
    EXPECT_FALSE(queue.has_available());
    EXPECT_EQ(world.pop(), PopResult::broken);
}

}  // namespace sidecore::test
