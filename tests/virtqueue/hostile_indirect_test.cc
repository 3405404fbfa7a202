// SPDX-License-Identifier: Apache-2.0
// A driver that breaks the rules with indirect tables (VIRTIO 1.3, 2.7.5.3), and unusual ones that are in order.
#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using Kind = virtqueue::QueueFault::Kind;

constexpr std::uint64_t table = 0x30000;

class HostileIndirect : public testing::TestWithParam<bool> {
protected:
    /// Descriptor 0 refers to a table, and is made available.
    void refer(std::uint64_t place, std::uint32_t bytes, std::uint16_t flags = indirect_flag, std::uint16_t next = 0) {
        ring.set_descriptor(0, place, bytes, flags, next);
        world.make_available(0);
    }

    QueueWorld world{{.size = 8, .event_index = GetParam()}};
    DriverRing& ring = world.ring;
};

INSTANTIATE_TEST_SUITE_P(Suppression, HostileIndirect, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "event_index" : "flags"; });

// ---- The descriptor that refers to it ----

TEST_P(HostileIndirect, not_negotiated) {
    QueueWorld plain({.size = 8, .event_index = GetParam(), .indirect = false});
    plain.ring.set_descriptor(2, table, plain.ring.set_table(table, {{data, 16, false}}), indirect_flag);
    plain.make_available(2);
    expect_broken(plain, Kind::indirect_not_negotiated,
                  "descriptor chain 2: descriptor 2 is indirect, which was not negotiated");
}

TEST_P(HostileIndirect, with_next) {
    refer(table, ring.set_table(table, {{data, 16, false}}), indirect_flag | next_flag, 1);
    expect_broken(world, Kind::indirect_with_next, "descriptor chain 0: descriptor 0 is indirect and has a next");
}

TEST_P(HostileIndirect, with_next_after_direct_ones) {
    ring.set_descriptor(0, data, 16, next_flag, 5);
    ring.set_descriptor(5, table, ring.set_table(table, {{data, 16, false}}), indirect_flag | next_flag, 6);
    world.make_available(0);
    expect_broken(world, Kind::indirect_with_next, "descriptor chain 0: descriptor 5 is indirect and has a next");
}

TEST_P(HostileIndirect, table_of_0_bytes) {
    refer(table, 0);
    expect_broken(world, Kind::indirect_bad_length,
                  "descriptor chain 0: descriptor 0 has an indirect table of 0 bytes: not 1 to 65536 times 16");
}

TEST_P(HostileIndirect, table_shorter_than_an_entry) {
    ring.set_table(table, {{data, 16, false}});
    refer(table, 15);
    expect_broken(world, Kind::indirect_bad_length,
                  "descriptor chain 0: descriptor 0 has an indirect table of 15 bytes: not 1 to 65536 times 16");
}

TEST_P(HostileIndirect, table_that_is_no_multiple_of_16) {
    ring.set_table(table, {{data, 16, false}});
    refer(table, 24);
    expect_broken(world, Kind::indirect_bad_length,
                  "descriptor chain 0: descriptor 0 has an indirect table of 24 bytes: not 1 to 65536 times 16");
}

TEST_P(HostileIndirect, table_with_more_entries_than_an_index_reaches) {
    QueueWorld large({.size = 8, .event_index = GetParam()}, {{0, 0x400000, GuestRam::user_offset}});
    large.ring.set_table(table, {{data, 16, false}});
    large.ring.set_descriptor(0, table, 0x100010, indirect_flag);
    large.make_available(0);
    expect_broken(large, Kind::indirect_bad_length,
                  "descriptor chain 0: descriptor 0 has an indirect table of 1048592 bytes: not 1 to 65536 times 16");
}

TEST_P(HostileIndirect, table_with_as_many_entries_as_an_index_reaches) {
    QueueWorld large({.size = 8, .event_index = GetParam()}, {{0, 0x400000, GuestRam::user_offset}});
    large.ring.set_entry(table, data, 16, next_flag, 65535);
    large.ring.set_entry(table + 16 * 65535, data, 32, write_flag);
    large.ring.set_descriptor(0, table, 0x100000, indirect_flag);
    large.make_available(0);
    EXPECT_EQ(large.pop_chain().readable_bytes, 16U);
    EXPECT_EQ(large.chain.writable_bytes, 32U);
}

TEST_P(HostileIndirect, table_of_almost_4_gib) {
    refer(table, 0xfffffff0);
    expect_broken(
        world, Kind::indirect_bad_length,
        "descriptor chain 0: descriptor 0 has an indirect table of 4294967280 bytes: not 1 to 65536 times 16");
}

// ---- Where it lies ----

TEST_P(HostileIndirect, table_unmapped) {
    refer(0x80000, 32);
    expect_broken(
        world, Kind::indirect_unmapped,
        "descriptor chain 0: its indirect table at guest address 0x80000, 32 bytes, is not in the guest's memory");
}

TEST_P(HostileIndirect, table_that_wraps_round_to_mapped_memory) {
    ring.set_entry(0, data, 16, 0);
    refer(~std::uint64_t{0} - 15, 32);
    expect_broken(world, Kind::indirect_unmapped,
                  "descriptor chain 0: its indirect table at guest address 0xfffffffffffffff0, 32 bytes, is not in "
                  "the guest's memory");
}

TEST_P(HostileIndirect, table_half_of_whose_first_entry_is_unmapped) {
    refer(QueueWorld::hole - 8, 16);
    expect_broken(
        world, Kind::indirect_unmapped,
        "descriptor chain 0: its indirect table at guest address 0x4fff8, 16 bytes, is not in the guest's memory");
}

TEST_P(HostileIndirect, chain_that_goes_on_in_the_unmapped_part_of_its_table) {
    ring.set_entry(QueueWorld::hole - 16, data, 16, next_flag, 1);
    refer(QueueWorld::hole - 16, 32);
    expect_broken(
        world, Kind::indirect_unmapped,
        "descriptor chain 0: its indirect table at guest address 0x4fff0, 32 bytes, is not in the guest's memory");
}

TEST_P(HostileIndirect, chain_that_ends_before_the_unmapped_part_of_its_table) {
    // Nothing of the missing part is needed, so nothing is wrong with it.
    ring.set_entry(QueueWorld::hole - 16, data, 16, 0);
    refer(QueueWorld::hole - 16, 32);
    EXPECT_EQ(world.pop_chain().readable_bytes, 16U);
}

TEST_P(HostileIndirect, table_of_any_alignment_works) {
    for (std::uint64_t off = 0; off < 16; ++off) {
        SCOPED_TRACE(off);
        std::memcpy(world.ram.at(data, 8), "headdata", 8);
        ring.set_descriptor(
            1, table + off,
            ring.set_table(table + off, {{data, 4, false}, {data + 4, 4, false}, {data + 0x100, 1, true}}),
            indirect_flag);
        world.make_available(1);
        world.pop_chain();
        EXPECT_EQ(bytes_of(world.chain.readable), "headdata");
        EXPECT_EQ(world.chain.writable_bytes, 1U);
        world.queue.push(1, 1);
    }
}

TEST_P(HostileIndirect, table_in_two_regions_works) {
    // Between two entries, and inside each byte of one.
    for (std::uint64_t before = 1; before <= 32; ++before) {
        SCOPED_TRACE(before);
        const std::uint64_t place = QueueWorld::seam - before;
        std::memcpy(world.ram.at(data, 3), "abc", 3);
        ring.set_descriptor(1, place,
                            ring.set_table(place, {{data, 1, false}, {data + 1, 1, false}, {data + 2, 1, false}}),
                            indirect_flag);
        world.make_available(1);
        world.pop_chain();
        EXPECT_EQ(bytes_of(world.chain.readable), "abc");
        world.queue.push(1, 0);
    }
}

// ---- What is in it ----

TEST_P(HostileIndirect, entry_that_is_indirect_itself) {
    ring.set_table(table + 0x100, {{data, 16, false}});
    ring.set_entry(table, data, 16, next_flag, 1);
    ring.set_entry(table + 16, table + 0x100, 16, indirect_flag);
    refer(table, 32);
    expect_broken(world, Kind::indirect_nested, "descriptor chain 0: entry 1 of its indirect table is indirect itself");
}

TEST_P(HostileIndirect, table_that_refers_to_itself) {
    ring.set_entry(table, table, 16, indirect_flag);
    refer(table, 16);
    expect_broken(world, Kind::indirect_nested, "descriptor chain 0: entry 0 of its indirect table is indirect itself");
}

TEST_P(HostileIndirect, loop_of_one_entry) {
    ring.set_entry(table, data, 16, next_flag, 0);
    refer(table, 16);
    expect_broken(world, Kind::loop, "descriptor chain 0: it loops: still not at its end after 1 descriptors");
}

TEST_P(HostileIndirect, loop_of_all_entries) {
    for (std::uint16_t i = 0; i < 5; ++i) {
        ring.set_entry(table + 16u * i, data, 16, next_flag, static_cast<std::uint16_t>((i + 1) % 5));
    }
    refer(table, 80);
    expect_broken(world, Kind::loop, "descriptor chain 0: it loops: still not at its end after 5 descriptors");
}

TEST_P(HostileIndirect, loop_in_a_large_table_ends_at_the_limit_of_segments) {
    ring.set_entry(table, data, 16, next_flag, 1);
    ring.set_entry(table + 16, data, 16, next_flag, 0);
    refer(table, 16 * 1024);
    expect_broken(world, Kind::too_many_segments, "descriptor chain 0: more than 64 pieces of memory");
}

TEST_P(HostileIndirect, next_behind_its_table) {
    ring.set_entry(table, data, 16, next_flag, 2);
    refer(table, 32);
    expect_broken(
        world, Kind::next_out_of_range,
        "descriptor chain 0: entry 0 of its indirect table says that 2 comes next, which its table does not have");
}

TEST_P(HostileIndirect, next_behind_its_table_but_within_the_rings) {
    ring.set_entry(table, data, 16, next_flag, 7);
    refer(table, 16);
    expect_broken(
        world, Kind::next_out_of_range,
        "descriptor chain 0: entry 0 of its indirect table says that 7 comes next, which its table does not have");
}

TEST_P(HostileIndirect, entry_of_zero_length) {
    ring.set_table(table, {{data, 16, false}, {data, 0, true}});
    refer(table, 32);
    expect_broken(world, Kind::zero_length, "descriptor chain 0: entry 1 of its indirect table has length 0");
}

TEST_P(HostileIndirect, entry_with_an_unmapped_buffer) {
    ring.set_table(table, {{data, 16, false}, {0x90000, 512, true}});
    refer(table, 32);
    expect_broken(world, Kind::buffer_unmapped,
                  "descriptor chain 0: guest address 0x90000, length 512 is not in the guest's memory");
}

TEST_P(HostileIndirect, readable_entry_after_a_writable_one) {
    ring.set_table(table, {{data, 16, true}, {data, 16, false}});
    refer(table, 32);
    expect_broken(
        world, Kind::readable_after_writable,
        "descriptor chain 0: entry 1 of its indirect table is device-readable and follows a device-writable one");
}

TEST_P(HostileIndirect, readable_entry_after_a_writable_direct_descriptor) {
    ring.set_descriptor(0, data, 16, write_flag | next_flag, 1);
    ring.set_descriptor(1, table, ring.set_table(table, {{data, 16, false}}), indirect_flag);
    world.make_available(0);
    expect_broken(
        world, Kind::readable_after_writable,
        "descriptor chain 0: entry 0 of its indirect table is device-readable and follows a device-writable one");
}

TEST_P(HostileIndirect, one_piece_more_than_there_is_room_for) {
    refer(table, ring.set_table(table, std::vector<Part>(65, Part{data, 1, false})));
    expect_broken(world, Kind::too_many_segments, "descriptor chain 0: more than 64 pieces of memory");
}

TEST_P(HostileIndirect, one_piece_more_together_with_direct_descriptors) {
    ring.set_descriptor(0, data, 16, next_flag, 1);
    ring.set_descriptor(1, table, ring.set_table(table, std::vector<Part>(64, Part{data, 1, false})), indirect_flag);
    world.make_available(0);
    expect_broken(world, Kind::too_many_segments, "descriptor chain 0: more than 64 pieces of memory");
}

TEST_P(HostileIndirect, more_entries_than_the_queue_has_are_allowed_while_there_is_room) {
    // 2.7.5.3.1 asks drivers for less; a bound by our own room is enough (2.7.4.1).
    refer(table, ring.set_table(table, std::vector<Part>(64, Part{data, 1, false})));
    EXPECT_EQ(world.pop_chain().readable.size(), 64U);
}

TEST_P(HostileIndirect, table_on_top_of_the_ring_is_read_like_any_other) {
    ring.set_descriptor(4, data, 16, 0);
    refer(ring.descriptor_at(4), 16);
    EXPECT_EQ(world.pop_chain().readable_bytes, 16U);
}

}  // namespace
}  // namespace sidecore::test
