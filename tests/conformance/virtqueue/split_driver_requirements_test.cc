// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 2.7 "Split Virtqueues": what it demands of the driver. A driver that does otherwise is hostile or
// broken, and the device must notice where it could come to harm. (The many ways of doing otherwise are tested
// in tests/virtqueue.)
#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using Kind = virtqueue::QueueFault::Kind;

constexpr std::uint64_t table = 0x30000;

TEST(Virtio_2_7_1_Virtqueues, driver_must_align_each_part) {
    GuestRam ram(QueueWorld::regions());
    const DriverRing ring(ram, {.size = 8});
    const auto accepted = [&](std::uint64_t descriptor, std::uint64_t available, std::uint64_t used) {
        auto setup = ring.setup();
        setup.descriptor.value += descriptor;
        setup.available.value += available;
        setup.used.value += used;
        return virtqueue::SplitQueue::create(ram.map(), setup).has_value();
    };
    EXPECT_TRUE(accepted(0, 0, 0));
    EXPECT_TRUE(accepted(16, 2, 4)) << "the minimum is enough";
    for (std::uint64_t off = 1; off < 16; ++off) {
        EXPECT_FALSE(accepted(off, 0, 0)) << off;
        EXPECT_EQ(accepted(0, off, 0), off % 2 == 0) << off;
        EXPECT_EQ(accepted(0, 0, off), off % 4 == 0) << off;
    }
}

TEST(Virtio_2_7_4_2_MessageFraming, driver_must_place_writable_elements_after_readable_ones) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, true}, {data, 16, false}});
    world.make_available(0);
    expect_broken(world, Kind::readable_after_writable,
                  "descriptor chain 0: descriptor 1 is device-readable and follows a device-writable one");
}

TEST(Virtio_2_7_5_2_DescriptorTable, driver_must_not_add_a_chain_longer_than_4_gib) {
    constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
    QueueWorld world({.size = 8}, {{0, 0x40000, GuestRam::user_offset}, {gib, gib, GuestRam::user_offset + gib}});
    std::vector<Part> parts(4, Part{gib, gib, false});
    world.ring.set_chain(0, parts);
    world.make_available(0);
    EXPECT_EQ(world.pop_chain().readable_bytes, 4 * gib);
    parts.push_back({data, 1, false});
    world.ring.set_chain(0, parts);
    world.make_available(0);
    EXPECT_EQ(world.pop(), virtqueue::PopResult::broken);
    EXPECT_EQ(world.queue.fault().kind, Kind::chain_too_long);
}

TEST(Virtio_2_7_5_2_DescriptorTable, driver_must_not_make_loops) {
    QueueWorld world;
    world.ring.set_descriptor(0, data, 16, next_flag, 1);
    world.ring.set_descriptor(1, data, 16, next_flag, 0);
    world.make_available(0);
    expect_broken(world, Kind::loop, "descriptor chain 0: it loops: still not at its end after 8 descriptors");
}

TEST(Virtio_2_7_5_3_1_IndirectDescriptors, driver_must_not_set_the_flag_unless_negotiated) {
    QueueWorld world({.size = 8, .indirect = false});
    world.ring.set_descriptor(0, table, world.ring.set_table(table, {{data, 16, false}}), indirect_flag);
    world.make_available(0);
    expect_broken(world, Kind::indirect_not_negotiated,
                  "descriptor chain 0: descriptor 0 is indirect, which was not negotiated");
}

TEST(Virtio_2_7_5_3_1_IndirectDescriptors, driver_must_not_set_the_flag_within_a_table) {
    QueueWorld world;
    world.ring.set_entry(table, table + 16, 16, indirect_flag);
    world.ring.set_descriptor(0, table, 16, indirect_flag);
    world.make_available(0);
    expect_broken(world, Kind::indirect_nested, "descriptor chain 0: entry 0 of its indirect table is indirect itself");
}

TEST(Virtio_2_7_5_3_1_IndirectDescriptors, driver_must_not_create_a_chain_longer_than_the_queue_size) {
    // Impossible without a loop in the table of the ring. In an indirect table it does no harm: what bounds us
    // is the room for its pieces, and drivers that stretch this rule are known to be out there.
    QueueWorld world({.size = 4});
    world.ring.set_descriptor(0, table, world.ring.set_table(table, std::vector<Part>(9, Part{data, 1, false})),
                              indirect_flag);
    world.make_available(0);
    EXPECT_EQ(world.pop_chain().readable_bytes, 9U);
}

TEST(Virtio_2_7_5_3_1_IndirectDescriptors, driver_must_not_set_both_indirect_and_next) {
    QueueWorld world;
    const auto bytes = world.ring.set_table(table, {{data, 16, false}});
    world.ring.set_descriptor(0, table, bytes, indirect_flag | next_flag, 1);
    world.make_available(0);
    expect_broken(world, Kind::indirect_with_next, "descriptor chain 0: descriptor 0 is indirect and has a next");
}

TEST(Virtio_2_7_6_1_AvailableRing, driver_must_not_decrement_the_index) {
    QueueWorld world({.size = 8, .start = 100});
    world.ring.set_available_index(99);
    expect_broken(world, Kind::available_index_jump,
                  "the available index went from 100 to 99, further than the queue's 8 entries");
}

TEST(Virtio_2_7_7_1_UsedBufferNotificationSuppression,
     driver_must_handle_spurious_notifications_so_the_first_may_be_one) {
    QueueWorld world({.size = 8, .event_index = true});
    world.ring.set_chain(0, {{data, 16, false}});
    world.ring.set_used_event(5000);
    world.make_available(0);
    world.pop_chain();
    world.queue.push(0, 0);
    EXPECT_TRUE(world.queue.publish()) << "where the driver stood when this device started is not known";
}

TEST(Virtio_2_7_10_1_AvailableBufferNotificationSuppression,
     driver_must_notify_when_told_so_and_what_it_is_told_is_right) {
    for (const bool event_index : {false, true}) {
        for (const std::uint16_t start : Indexes{0, 65535}) {
            QueueWorld world({.size = 8, .event_index = event_index, .start = start});
            world.ring.set_chain(0, {{data, 16, false}});
            world.queue.disarm();
            EXPECT_FALSE(world.make_available(0)) << "the driver should not notify";
            world.pop_chain();
            ASSERT_TRUE(world.queue.arm());
            EXPECT_TRUE(world.make_available(0)) << "the driver must notify";
        }
    }
}

TEST(Virtio_2_7_13_SupplyingBuffers, driver_cannot_have_more_chains_in_use_than_entries) {
    // "The ring buffer is the same size as the descriptor table, so step (1) will prevent such a condition."
    QueueWorld world({.size = 2});
    world.ring.set_chain(0, {{data, 16, false}});
    for (int i = 0; i < 2; ++i) {
        world.make_available(0);
        world.pop_chain();
    }
    world.make_available(0);
    expect_broken(world, Kind::too_many_in_flight,
                  "1 chains became available while 2 are in use; the queue has 2 entries");
}

}  // namespace
}  // namespace sidecore::test
