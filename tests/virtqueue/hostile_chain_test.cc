// SPDX-License-Identifier: Apache-2.0
// A driver that breaks the rules with its descriptors and its available ring. Indirect tables are in
// hostile_indirect_test.cc.
#include <gtest/gtest.h>

#include "base/format.hh"
#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using Kind = virtqueue::QueueFault::Kind;
using virtqueue::PopResult;

class HostileChain : public testing::TestWithParam<bool> {
protected:
    QueueWorld world{{.size = 8, .event_index = GetParam()}};
    DriverRing& ring = world.ring;
};

INSTANTIATE_TEST_SUITE_P(Suppression, HostileChain, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "event_index" : "flags"; });

// ---- Heads and links ----

TEST_P(HostileChain, head_just_behind_the_table) {
    world.make_available(8);
    expect_broken(world, Kind::head_out_of_range, "available ring entry 0 names descriptor 8, the table has 8");
}

TEST_P(HostileChain, head_far_behind_the_table) {
    ring.set_chain(0, {{data, 16, false}});
    world.make_available(0);
    world.pop_chain();
    world.make_available(65535);
    expect_broken(world, Kind::head_out_of_range, "available ring entry 1 names descriptor 65535, the table has 8");
}

TEST_P(HostileChain, next_just_behind_the_table) {
    ring.set_descriptor(3, data, 16, next_flag, 8);
    world.make_available(3);
    expect_broken(world, Kind::next_out_of_range,
                  "descriptor chain 3: descriptor 3 says that 8 comes next, which its table does not have");
}

TEST_P(HostileChain, next_far_behind_the_table) {
    ring.set_descriptor(3, data, 16, next_flag, 5);
    ring.set_descriptor(5, data, 16, next_flag, 65535);
    world.make_available(3);
    expect_broken(world, Kind::next_out_of_range,
                  "descriptor chain 3: descriptor 5 says that 65535 comes next, which its table does not have");
}

TEST_P(HostileChain, next_without_its_flag_may_be_anything) {
    ring.set_descriptor(3, data, 16, 0, 65535);
    world.make_available(3);
    EXPECT_EQ(world.pop_chain().readable_bytes, 16U);
}

TEST_P(HostileChain, unknown_flags_are_ignored) {
    ring.set_descriptor(3, data, 16, 0xfff8, 65535);
    world.make_available(3);
    EXPECT_EQ(world.pop_chain().readable_bytes, 16U);
}

// ---- Loops ----

TEST_P(HostileChain, loop_of_one_descriptor) {
    ring.set_descriptor(2, data, 16, next_flag, 2);
    world.make_available(2);
    expect_broken(world, Kind::loop, "descriptor chain 2: it loops: still not at its end after 8 descriptors");
}

TEST_P(HostileChain, loop_of_two_descriptors) {
    ring.set_descriptor(0, data, 16, next_flag, 1);
    ring.set_descriptor(1, data, 16, next_flag, 0);
    world.make_available(0);
    expect_broken(world, Kind::loop, "descriptor chain 0: it loops: still not at its end after 8 descriptors");
}

TEST_P(HostileChain, loop_that_begins_after_its_head) {
    ring.set_descriptor(7, data, 16, next_flag, 1);
    ring.set_descriptor(1, data, 16, next_flag, 2);
    ring.set_descriptor(2, data, 16, next_flag, 1);
    world.make_available(7);
    expect_broken(world, Kind::loop, "descriptor chain 7: it loops: still not at its end after 8 descriptors");
}

TEST_P(HostileChain, loop_through_the_whole_table) {
    for (std::uint16_t i = 0; i < 8; ++i) {
        ring.set_descriptor(i, data, 16, next_flag | write_flag, static_cast<std::uint16_t>((i + 1) % 8));
    }
    world.make_available(0);
    expect_broken(world, Kind::loop, "descriptor chain 0: it loops: still not at its end after 8 descriptors");
}

TEST_P(HostileChain, chain_of_the_whole_table_is_no_loop) {
    const std::vector<Part> all(8, Part{data, 16, true});
    ring.set_chain(3, all);
    world.make_available(3);
    EXPECT_EQ(world.pop_chain().writable_bytes, 8 * 16U);
}

TEST_P(HostileChain, loop_in_a_large_table_ends_at_the_limit_of_segments) {
    QueueWorld large({.size = 1024, .event_index = GetParam()});
    large.ring.set_descriptor(0, data, 16, next_flag, 1);
    large.ring.set_descriptor(1, data, 16, next_flag, 0);
    large.make_available(0);
    expect_broken(large, Kind::too_many_segments, "descriptor chain 0: more than 64 pieces of memory");
}

// ---- Lengths ----

TEST_P(HostileChain, zero_length_first) {
    ring.set_chain(4, {{data, 0, false}, {data, 16, true}});
    world.make_available(4);
    expect_broken(world, Kind::zero_length, "descriptor chain 4: descriptor 4 has length 0");
}

TEST_P(HostileChain, zero_length_in_the_middle) {
    ring.set_chain(4, {{data, 16, false}, {data, 0, false}, {data, 16, true}});
    world.make_available(4);
    expect_broken(world, Kind::zero_length, "descriptor chain 4: descriptor 5 has length 0");
}

TEST_P(HostileChain, zero_length_last_and_writable) {
    ring.set_chain(4, {{data, 16, false}, {data, 0, true}});
    world.make_available(4);
    expect_broken(world, Kind::zero_length, "descriptor chain 4: descriptor 5 has length 0");
}

TEST_P(HostileChain, length_of_almost_4_gib) {
    ring.set_chain(0, {{data, 0xffffffff, false}});
    world.make_available(0);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 0: guest address 0x20000, length 4294967295 is not in the guest's memory");
}

TEST_P(HostileChain, length_one_byte_too_much) {
    ring.set_chain(0, {{QueueWorld::far, 0x10001, true}});
    world.make_available(0);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 0: guest address 0x100000, length 65537 is not in the guest's memory");
}

TEST_P(HostileChain, length_as_long_as_its_region) {
    ring.set_chain(0, {{QueueWorld::far, 0x10000, true}});
    world.make_available(0);
    EXPECT_EQ(world.pop_chain().writable_bytes, 0x10000U);
}

/// 4 GiB of buffers need not be different memory.
class HostileTotal : public testing::TestWithParam<bool> {
protected:
    static constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
    static constexpr std::size_t large_region = 1;
    static constexpr std::uint64_t large = 0x4000'0000;
    QueueWorld world{{.size = 8, .event_index = GetParam()},
                     {{0, 0x40000, GuestRam::user_offset}, {large, gib, GuestRam::user_offset + large}}};

    static std::vector<Part> four_gib(bool last_writable) {
        std::vector<Part> parts(4, Part{large, gib, false});
        parts.back().writable = last_writable;
        return parts;
    }
};

INSTANTIATE_TEST_SUITE_P(Suppression, HostileTotal, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "event_index" : "flags"; });

TEST_P(HostileTotal, of_exactly_4_gib_is_allowed) {
    world.ring.set_chain(0, four_gib(true));
    world.make_available(0);
    world.pop_chain();
    EXPECT_EQ(world.chain.readable_bytes, 3 * gib);
    EXPECT_EQ(world.chain.writable_bytes, gib);
    EXPECT_TRUE(world.ram.never_touched(large_region));
}

TEST_P(HostileTotal, of_one_byte_more) {
    auto parts = four_gib(false);
    parts.push_back({0, 1, true});
    world.ring.set_chain(0, parts);
    world.make_available(0);
    EXPECT_EQ(world.pop(), PopResult::broken);
    EXPECT_EQ(world.queue.fault().kind, Kind::chain_too_long);
    EXPECT_EQ(world.queue.fault().describe(8),
              "descriptor chain 0: its buffers add up to more than 2^32 bytes (4294967297)");
    EXPECT_EQ(world.pop(), PopResult::broken);
    EXPECT_TRUE(world.ram.never_touched(large_region));
}

TEST_P(HostileTotal, of_one_byte_more_in_an_indirect_table) {
    auto parts = four_gib(false);
    parts.push_back({0, 1, false});
    world.ring.set_descriptor(0, data, world.ring.set_table(data, parts), indirect_flag);
    world.make_available(0);
    EXPECT_EQ(world.pop(), PopResult::broken);
    EXPECT_EQ(world.queue.fault().kind, Kind::chain_too_long);
    EXPECT_TRUE(world.ram.never_touched(large_region));
}

// ---- Order ----

TEST_P(HostileChain, readable_after_writable) {
    ring.set_chain(1, {{data, 16, true}, {data, 16, false}});
    world.make_available(1);
    expect_broken(world, Kind::readable_after_writable,
                  "descriptor chain 1: descriptor 2 is device-readable and follows a device-writable one");
}

TEST_P(HostileChain, readable_between_writables) {
    ring.set_chain(1, {{data, 16, false}, {data, 16, true}, {data, 16, false}, {data, 16, true}});
    world.make_available(1);
    expect_broken(world, Kind::readable_after_writable,
                  "descriptor chain 1: descriptor 3 is device-readable and follows a device-writable one");
}

// ---- Addresses ----

TEST_P(HostileChain, buffer_in_a_hole) {
    ring.set_chain(6, {{data, 16, false}, {0x80000, 512, true}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0x80000, length 512 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_that_starts_before_a_region) {
    ring.set_chain(6, {{QueueWorld::far - 1, 2, true}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0xfffff, length 2 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_that_ends_behind_a_region) {
    ring.set_chain(6, {{QueueWorld::hole - 1, 2, true}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0x4ffff, length 2 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_over_two_regions_and_into_the_hole) {
    ring.set_chain(6, {{QueueWorld::seam - 1, 0x10002, true}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0x3ffff, length 65538 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_over_a_hole_with_both_ends_mapped) {
    ring.set_chain(6, {{QueueWorld::hole - 1, 0xb0002, true}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0x4ffff, length 720898 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_that_wraps_round_to_mapped_memory) {
    ring.set_chain(6, {{~std::uint64_t{0} - 15, 0x100, true}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0xfffffffffffffff0, length 256 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_at_the_last_address) {
    ring.set_chain(6, {{~std::uint64_t{0}, 1, false}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0xffffffffffffffff, length 1 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_at_a_user_address) {
    ring.set_chain(6, {{GuestRam::user_offset + data, 16, false}});
    world.make_available(6);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 6: guest address 0x7f0000020000, length 16 is not in the guest's memory");
}

TEST_P(HostileChain, buffer_on_the_ring_itself_harms_only_the_driver) {
    // Not forbidden by any clause. The queue must neither crash nor believe what is written there later.
    ring.set_chain(0, {{ring.used_at(), 64, true}});
    ring.set_chain(1, {{ring.descriptor_at(0), 128, true}});
    world.make_available(0);
    world.make_available(1);
    world.pop_chain();
    std::memset(world.chain.writable[0].iov_base, 0xff, 64);
    world.pop_chain();
    std::memset(world.chain.writable[0].iov_base, 0xff, 128);
    world.queue.push(0, 64);
    world.queue.push(1, 128);
    world.queue.publish();
    EXPECT_EQ(ring.used_index(), 2) << "where the queue stands is not read back from the ring";
    world.make_available(0);
    EXPECT_EQ(world.pop(), PopResult::broken) << "descriptor 0 is all ones now";
}

// ---- Too many pieces ----

TEST_P(HostileChain, one_piece_more_than_there_is_room_for) {
    QueueWorld large({.size = 128, .event_index = GetParam()});
    large.ring.set_chain(10, std::vector<Part>(65, Part{data, 1, true}));
    large.make_available(10);
    expect_broken(large, Kind::too_many_segments, "descriptor chain 10: more than 64 pieces of memory");
}

TEST_P(HostileChain, as_many_pieces_as_there_is_room_for) {
    QueueWorld large({.size = 128, .event_index = GetParam()});
    large.ring.set_chain(100, std::vector<Part>(64, Part{data, 1, true}));
    large.make_available(100);
    EXPECT_EQ(large.pop_chain().writable.size(), 64U);
}

TEST_P(HostileChain, too_many_pieces_because_the_last_buffer_lies_in_two_regions) {
    QueueWorld large({.size = 128, .event_index = GetParam()});
    std::vector<Part> parts(64, Part{data, 1, true});
    parts.back() = {QueueWorld::seam - 1, 2, true};
    large.ring.set_chain(10, parts);
    large.make_available(10);
    expect_broken(large, Kind::too_many_segments, "descriptor chain 10: more than 64 pieces of memory");
}

TEST_P(HostileChain, no_room_for_pieces_at_all) {
    ring.set_chain(0, {{data, 1, true}});
    world.make_available(0);
    virtqueue::DescriptorChain chain;
    EXPECT_EQ(world.queue.pop({}, chain), PopResult::broken);
    EXPECT_EQ(world.queue.fault().describe(8), "descriptor chain 0: more than 0 pieces of memory");
}

// ---- The available index ----

TEST_P(HostileChain, available_index_one_too_far) {
    ring.set_available_index(9);
    expect_broken(world, Kind::available_index_jump,
                  "the available index went from 0 to 9, further than the queue's 8 entries");
}

TEST_P(HostileChain, available_index_as_far_as_possible) {
    for (std::uint16_t i = 0; i < 8; ++i) {
        ring.set_chain(i, {{data, 16, false}});
        ring.offer(i);
    }
    ring.publish();
    EXPECT_EQ(world.queue.available(), 8);
    for (std::uint16_t i = 0; i < 8; ++i) {
        EXPECT_EQ(world.pop_chain().head, i);
    }
    EXPECT_EQ(world.pop(), PopResult::empty);
}

TEST_P(HostileChain, available_index_that_goes_back) {
    ring.set_chain(0, {{data, 16, false}});
    world.make_available(0);
    world.make_available(0);
    world.pop_chain();
    world.queue.push(0, 0);
    world.pop_chain();
    world.queue.push(0, 0);
    ring.set_available_index(1);
    expect_broken(world, Kind::available_index_jump,
                  "the available index went from 2 to 1, further than the queue's 8 entries");
}

TEST_P(HostileChain, available_index_that_goes_back_under_a_batch_in_hand) {
    // The queue has seen 2; that the driver takes one back is not looked at before both are popped.
    ring.set_chain(0, {{data, 16, false}});
    ring.set_chain(1, {{data, 16, false}});
    ring.offer(0);
    ring.offer(1);
    ring.publish();
    world.pop_chain();
    ring.set_available_index(1);
    world.pop_chain();
    world.queue.push(0, 0);
    world.queue.push(1, 0);
    expect_broken(world, Kind::available_index_jump,
                  "the available index went from 2 to 1, further than the queue's 8 entries");
}

TEST_P(HostileChain, available_index_jump_over_the_wrap) {
    QueueWorld late({.size = 8, .event_index = GetParam(), .start = 65530});
    late.ring.set_available_index(3);
    expect_broken(late, Kind::available_index_jump,
                  "the available index went from 65530 to 3, further than the queue's 8 entries");
}

TEST_P(HostileChain, available_index_far_over_the_wrap_but_within_the_ring) {
    QueueWorld late({.size = 8, .event_index = GetParam(), .start = 65530});
    late.ring.set_available_index(2);
    EXPECT_EQ(late.queue.available(), 8);
    EXPECT_FALSE(late.queue.broken());
}

TEST_P(HostileChain, more_chains_in_use_than_the_table_can_hold) {
    // The same descriptors over and over: a device that made room for 8 requests would run out of it.
    ring.set_chain(0, {{data, 16, false}});
    for (int i = 0; i < 8; ++i) {
        world.make_available(0);
        world.pop_chain();
    }
    EXPECT_EQ(world.queue.in_flight(), 8);
    world.make_available(0);
    expect_broken(world, Kind::too_many_in_flight,
                  "1 chains became available while 8 are in use; the queue has 8 entries");
}

TEST_P(HostileChain, more_chains_in_use_by_one_batch) {
    ring.set_chain(0, {{data, 16, false}});
    for (int i = 0; i < 3; ++i) {
        world.make_available(0);
        world.pop_chain();
    }
    for (int i = 0; i < 6; ++i) {
        ring.offer(0);
    }
    ring.publish();
    expect_broken(world, Kind::too_many_in_flight,
                  "6 chains became available while 3 are in use; the queue has 8 entries");
}

TEST_P(HostileChain, chains_that_came_back_make_room) {
    ring.set_chain(0, {{data, 16, false}});
    for (int i = 0; i < 8; ++i) {
        world.make_available(0);
        world.pop_chain();
    }
    for (int i = 0; i < 100; ++i) {
        world.queue.push(0, 0);
        EXPECT_EQ(world.queue.in_flight(), 7);
        world.make_available(0);
        world.pop_chain();
    }
    EXPECT_FALSE(world.queue.broken());
}

// ---- What comes before a fault ----

TEST_P(HostileChain, chains_before_a_bad_one_are_served_and_then_nothing_more_is_published) {
    ring.set_chain(0, {{data, 16, true}});
    ring.set_chain(1, {{data, 16, true}});
    ring.set_chain(2, {{data, 0, true}});
    for (const std::uint16_t head : Indexes{0, 1, 2}) {
        ring.offer(head);
    }
    ring.publish();
    world.pop_chain();
    world.queue.push(0, 16);
    world.queue.publish();
    world.pop_chain();
    EXPECT_EQ(ring.take_used(), (std::vector<UsedEntry>{{0, 16}}));
    world.queue.push(1, 16);
    expect_broken(world, Kind::zero_length, "descriptor chain 2: descriptor 2 has length 0");
    EXPECT_EQ(ring.take_used(), std::vector<UsedEntry>{}) << "also not what was pushed before";
}

}  // namespace
}  // namespace sidecore::test
