// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 2.7 "Split Virtqueues": the format of its parts and the movement of its indexes, which the text
// states as facts rather than as demands. The bytes are written and read by hand.
#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

TEST(Virtio_2_7_SplitVirtqueues, queue_size_is_a_power_of_two_up_to_32768) {
    GuestRam ram(0x400000);
    for (std::uint32_t size = 1; size <= 0x20000; size *= 2) {
        const DriverRing ring(ram, {.size = size});
        EXPECT_EQ(virtqueue::SplitQueue::create(ram.map(), ring.setup()).has_value(), size <= 32768) << size;
        auto setup = ring.setup();
        setup.size = size + 1;
        EXPECT_EQ(virtqueue::SplitQueue::create(ram.map(), setup).has_value(), size == 1) << size + 1;
    }
}

TEST(Virtio_2_7_SplitVirtqueues, a_chain_of_bytes_written_by_hand_is_understood) {
    GuestRam ram(0x10000);
    // Queue size 2. Descriptor table at 0x100, available ring at 0x200, used ring at 0x300.
    const auto write = [&](std::uint64_t at, std::initializer_list<unsigned> bytes) {
        for (const unsigned byte : bytes) {
            ram.store<std::uint8_t>(at++, static_cast<std::uint8_t>(byte));
        }
    };
    write(0x100, {0x00, 0x40, 0, 0, 0, 0, 0, 0, /* len */ 0x05, 0, 0, 0, /* flags */ 1, 0, /* next */ 1, 0});
    write(0x110, {0x00, 0x50, 0, 0, 0, 0, 0, 0, /* len */ 0x02, 1, 0, 0, /* flags */ 2, 0, /* next */ 0, 0});
    write(0x200, {/* flags */ 0, 0, /* idx */ 1, 0, /* ring */ 0, 0, 0xee, 0xee, /* used_event */ 0, 0});
    std::memcpy(ram.at(0x4000, 5), "words", 5);

    virtqueue::SplitQueue::Setup setup;
    setup.size = 2;
    setup.descriptor.value = GuestRam::user_offset + 0x100;
    setup.available.value = GuestRam::user_offset + 0x200;
    setup.used.value = GuestRam::user_offset + 0x300;
    setup.event_index = true;
    auto queue = virtqueue::SplitQueue::create(ram.map(), setup).value();
    std::array<iovec, 4> segments{};
    virtqueue::DescriptorChain chain;
    ASSERT_EQ(queue.pop(segments, chain), virtqueue::PopResult::chain);
    EXPECT_EQ(chain.head, 0);
    EXPECT_EQ(bytes_of(chain.readable), "words");
    EXPECT_EQ(chain.writable_bytes, 0x102U);

    queue.push(0, 0x01020304);
    queue.publish();
    ASSERT_TRUE(queue.arm());
    const std::array<unsigned, 22> expected{
        /* flags */ 0,       0, /* idx */ 1, 0, /* id */ 0,     0, 0, 0,
        /* len */ 4,         3, 2,           1, /* unused */ 0, 0, 0, 0, 0, 0, 0, 0,
        /* avail_event */ 1, 0};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(ram.load<std::uint8_t>(0x300 + i), expected[i]) << "byte " << i;
    }
}

TEST(Virtio_2_7_6_AvailableRing, index_starts_at_0_and_entries_are_taken_modulo_the_queue_size) {
    QueueWorld world({.size = 4});
    for (std::uint16_t head = 0; head < 4; ++head) {
        world.ring.set_chain(head, {{data + head, 1, false}});
    }
    for (std::uint32_t i = 0; i < 11; ++i) {
        const auto head = static_cast<std::uint16_t>(i * 3 % 4);
        world.ram.store<std::uint16_t>(world.ring.available_at() + 4 + 2 * std::uint64_t{i % 4}, head);
        world.ring.set_available_index(static_cast<std::uint16_t>(i + 1));
        EXPECT_EQ(world.pop_chain().head, head);
        world.queue.push(head, 0);
    }
}

TEST(Virtio_2_7_8_UsedRing, index_starts_at_0_and_each_entry_has_the_chains_head_and_the_bytes_written) {
    QueueWorld world({.size = 4});
    world.ring.set_chain(2, {{data, 16, false}, {data, 600, true}});
    for (std::uint32_t i = 0; i < 9; ++i) {
        world.make_available(2);
        world.pop_chain();
        world.queue.push(2, 600 - i);
        world.queue.publish();
        const std::uint64_t entry = world.ring.used_at() + 4 + 8 * std::uint64_t{i % 4};
        EXPECT_EQ(world.ram.load<std::uint32_t>(entry), 2U) << "the head, not the last descriptor";
        EXPECT_EQ(world.ram.load<std::uint32_t>(entry + 4), 600 - i);
        EXPECT_EQ(world.ring.used_index(), i + 1);
    }
}

TEST(Virtio_2_7_13_3_UpdatingIdx, index_wraps_naturally_at_65536) {
    QueueWorld world({.size = 8, .start = 65535});
    world.ring.set_chain(0, {{data, 16, false}});
    world.ring.set_chain(1, {{data, 16, false}});
    world.ring.offer(0);
    world.ring.offer(1);
    world.ring.publish();
    EXPECT_EQ(world.ram.load<std::uint16_t>(world.ring.available_at() + 2), 1);
    EXPECT_EQ(world.queue.available(), 2);
    EXPECT_EQ(world.pop_chain().head, 0);
    EXPECT_EQ(world.pop_chain().head, 1);
    world.queue.push(0, 0);
    world.queue.push(1, 0);
    world.queue.publish();
    EXPECT_EQ(world.ring.used_index(), 1);
    EXPECT_EQ(world.ring.take_used(), (std::vector<UsedEntry>{{0, 0}, {1, 0}}));
}

TEST(Virtio_2_7_13_3_UpdatingIdx, device_may_access_chains_as_soon_as_the_index_exposes_them) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, false}});
    world.ring.offer(0);
    EXPECT_FALSE(world.queue.has_available()) << "an entry without an index is not exposed";
    EXPECT_EQ(world.pop(), virtqueue::PopResult::empty);
    world.ring.publish();
    EXPECT_TRUE(world.queue.has_available());
    world.pop_chain();
}

}  // namespace
}  // namespace sidecore::test
