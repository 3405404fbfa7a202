// SPDX-License-Identifier: Apache-2.0
// Where a ring may lie, and what happens when its memory changes or goes away under it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/fault_guard.hh"
#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using testing::HasSubstr;
using virtqueue::PopResult;
using virtqueue::SplitQueue;
using Kind = virtqueue::QueueFault::Kind;

// ---- create() ----

class RingPlaces : public testing::Test {
protected:
    std::string error_with(const SplitQueue::Setup& wanted) {
        const auto before = ram.snapshot();
        const auto made = SplitQueue::create(ram.map(), wanted);
        if (made) {
            return "no error";
        }
        EXPECT_EQ(ram.changed_since(before), std::vector<std::uint64_t>{})
            << "nothing is written before all is checked";
        return made.error().message;
    }

    GuestRam ram{QueueWorld::regions()};
    DriverRing ring{ram, {.size = 8}};
    SplitQueue::Setup setup = ring.setup();
};

TEST_F(RingPlaces, sizes_are_powers_of_two_up_to_32768) {
    for (const std::uint32_t size : {0U, 3U, 6U, 7U, 255U, 32767U, 32769U, 65536U, 0x80000000U, 0xffffffffU}) {
        setup.size = size;
        EXPECT_EQ(error_with(setup),
                  "a split virtqueue has a power of two of entries up to 32768, not " + std::to_string(size));
    }
    GuestRam large(0x400000);
    for (std::uint32_t size = 1; size <= 32768; size *= 2) {
        const DriverRing fitting(large, {.size = size});
        EXPECT_TRUE(SplitQueue::create(large.map(), fitting.setup()).has_value()) << size;
    }
}

TEST_F(RingPlaces, parts_are_aligned) {
    auto wrong = setup;
    wrong.descriptor.value += 8;
    EXPECT_EQ(error_with(wrong), "the descriptor table at user address 0x7f0000001008 is not aligned to 16");
    wrong = setup;
    wrong.available.value += 1;
    EXPECT_THAT(error_with(wrong), HasSubstr("the available ring at user address"));
    EXPECT_THAT(error_with(wrong), HasSubstr("is not aligned to 2"));
    wrong = setup;
    wrong.used.value += 2;
    EXPECT_THAT(error_with(wrong), HasSubstr("the used ring at user address"));
    EXPECT_THAT(error_with(wrong), HasSubstr("is not aligned to 4"));
}

TEST_F(RingPlaces, parts_are_in_the_guests_memory) {
    auto wrong = setup;
    wrong.descriptor.value = 0x1000;
    EXPECT_EQ(error_with(wrong),
              "the descriptor table at user address 0x1000, 128 bytes, is not in the guest's memory in one piece");
    wrong = setup;
    wrong.available.value = 0;
    EXPECT_THAT(error_with(wrong), HasSubstr("the available ring at user address 0x0, 20 bytes"));
    wrong = setup;
    wrong.used.value = ~std::uint64_t{0} - 3;
    EXPECT_THAT(error_with(wrong), HasSubstr("the used ring at user address 0xfffffffffffffffc, 68 bytes"));
}

TEST_F(RingPlaces, parts_may_end_with_their_region_and_not_a_byte_later) {
    const std::uint64_t end = QueueWorld::far_end + GuestRam::user_offset;
    auto fitting = setup;
    fitting.descriptor.value = end - 128;
    EXPECT_EQ(error_with(fitting), "no error");
    fitting.descriptor.value += 16;
    EXPECT_THAT(error_with(fitting), HasSubstr("descriptor table"));

    // Without the event index its field is not needed.
    fitting = setup;
    fitting.available.value = end - 20;
    EXPECT_EQ(error_with(fitting), "no error");
    fitting.event_index = true;
    EXPECT_THAT(error_with(fitting), HasSubstr("available ring"));
    fitting.available.value -= 2;
    EXPECT_EQ(error_with(fitting), "no error");

    fitting = setup;
    fitting.used.value = end - 68;
    EXPECT_EQ(error_with(fitting), "no error");
    fitting.event_index = true;
    EXPECT_THAT(error_with(fitting), HasSubstr("used ring"));
    fitting.used.value -= 4;
    EXPECT_EQ(error_with(fitting), "no error");
}

TEST_F(RingPlaces, parts_across_regions_that_do_not_join_are_refused) {
    auto wrong = setup;
    wrong.descriptor.value = QueueWorld::seam - 64 + GuestRam::user_offset;
    EXPECT_THAT(error_with(wrong), HasSubstr("is not in the guest's memory in one piece"));
}

TEST_F(RingPlaces, parts_across_regions_that_join_work) {
    constexpr std::uint64_t page = 4096;
    // A table of 4 KiB, half of it in each region; the rings behind it.
    QueueWorld world({.size = 256, .base = 7 * page + page / 2},
                     {{0, 8 * page, GuestRam::user_offset}, {8 * page, 8 * page, GuestRam::user_offset + 8 * page}});
    for (std::uint16_t head = 0; head < 256; ++head) {
        world.ring.set_chain(head, {{std::uint64_t{head} * 16, 16, true}});
        world.ring.offer(head);
    }
    world.ring.publish();
    for (std::uint16_t head = 0; head < 256; ++head) {
        ASSERT_EQ(world.pop_chain().head, head);
        world.queue.push(head, 16);
    }
    world.queue.publish();
    EXPECT_EQ(world.ring.take_used().size(), 256U);
}

TEST_F(RingPlaces, creation_prepares_the_used_ring_and_nothing_else) {
    for (const bool event_index : {false, true}) {
        GuestRam fresh(QueueWorld::regions());
        const DriverRing prepared(fresh, {.size = 8, .event_index = event_index, .start = 77});
        fresh.store<std::uint16_t>(prepared.used_at(), 1);  // left by whoever served before
        const auto before = fresh.snapshot();
        const auto queue = SplitQueue::create(fresh.map(), prepared.setup());
        ASSERT_TRUE(queue.has_value());
        EXPECT_EQ(prepared.used_flags(), 0);
        EXPECT_EQ(prepared.used_index(), 77);
        for (const std::uint64_t address : fresh.changed_since(before)) {
            EXPECT_TRUE(address == prepared.used_at() || (event_index && address / 2 == prepared.avail_event_at() / 2))
                << address;
        }
    }
}

// ---- rebind() ----

TEST(Rebind, goes_on_in_the_new_map_where_it_was) {
    QueueWorld world({.size = 8, .event_index = true, .start = 65534});
    world.ring.set_chain(0, {{data, 16, true}});
    world.make_available(0);
    world.pop_chain();
    world.queue.push(0, 16);
    world.queue.publish();
    world.ring.take_used();

    ASSERT_TRUE(world.queue.rebind(world.ram.map()).has_value());
    EXPECT_FALSE(world.queue.has_available());
    for (int i = 0; i < 5; ++i) {
        world.make_available(0);
        EXPECT_TRUE(world.queue.has_available());
        EXPECT_EQ(world.pop_chain().writable_bytes, 16U);
        world.queue.push(0, static_cast<std::uint32_t>(i));
        world.queue.publish();
        EXPECT_EQ(world.ring.take_used(), (std::vector<UsedEntry>{{0, static_cast<std::uint32_t>(i)}}));
    }
    EXPECT_EQ(world.queue.next_available(), 4);
}

TEST(Rebind, keeps_an_armed_queue_armed) {
    QueueWorld world({.size = 8, .event_index = true});
    EXPECT_TRUE(world.queue.arm());
    ASSERT_TRUE(world.queue.rebind(world.ram.map()).has_value());
    world.ring.set_chain(0, {{data, 16, true}});
    EXPECT_TRUE(world.make_available(0)) << "the driver kicks";
}

TEST(Rebind, lets_go_of_the_old_map) {
    QueueWorld world;
    auto map = world.ram.map();
    const std::weak_ptr<const memory::MemoryMap> watched = map;
    ASSERT_TRUE(world.queue.rebind(std::move(map)).has_value());
    EXPECT_FALSE(watched.expired());
    ASSERT_TRUE(world.queue.rebind(world.ram.map()).has_value());
    EXPECT_TRUE(watched.expired());
}

TEST(Rebind, to_a_map_without_the_ring_breaks_it_and_touches_no_old_memory) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, true}});
    world.make_available(0);
    EXPECT_TRUE(world.queue.has_available());
    const GuestRam elsewhere({{0x9000000, 0x10000, 0x9000000}});
    // The old map goes with this: a look at the old index would be a fault.
    const auto rebound = world.queue.rebind(elsewhere.map());
    ASSERT_FALSE(rebound.has_value());
    EXPECT_THAT(rebound.error().message, HasSubstr("the descriptor table at user address 0x7f0000001000"));
    EXPECT_EQ(world.queue.fault().kind, Kind::ring_unmapped);
    EXPECT_EQ(world.queue.fault().describe(8), "the ring is not in the memory that the front-end described last");
    EXPECT_FALSE(world.queue.has_available());
    EXPECT_EQ(world.queue.available(), 0);
    world.queue.prefetch(1);
    world.queue.push(0, 1);
    EXPECT_FALSE(world.queue.publish());
    EXPECT_TRUE(world.queue.arm());
    world.queue.disarm();
    EXPECT_EQ(world.pop(), PopResult::broken);
    EXPECT_TRUE(world.queue.rebind(world.ram.map()).has_value()) << "nothing to do";
    EXPECT_TRUE(world.queue.broken()) << "and it stays broken";
}

// ---- Memory that is taken away ----

class Truncated : public testing::Test {
protected:
    static constexpr std::size_t ring_region = 0;
    static constexpr std::size_t far_region = 2;

    void SetUp() override { ASSERT_TRUE(memory::install_fault_guard().has_value()); }

    void expect_damaged() {
        EXPECT_EQ(world.queue.fault().kind, Kind::memory_damaged) << world.queue.fault().describe(8);
        EXPECT_EQ(world.pop(), PopResult::broken);
        EXPECT_FALSE(world.queue.has_available());
        world.queue.push(0, 1);
        EXPECT_FALSE(world.queue.publish());
    }

    QueueWorld world{{.size = 8, .event_index = true}};
};

TEST_F(Truncated, ring_is_noticed_by_the_next_look_and_told_apart_from_a_drivers_fault) {
    world.ring.set_chain(0, {{data, 16, true}});
    world.make_available(0);
    world.pop_chain();
    world.queue.push(0, 16);
    world.ram.truncate(ring_region, 0);
    EXPECT_TRUE(world.queue.has_available()) << "an index of zero pages";
    EXPECT_EQ(world.queue.available(), 0);
    expect_damaged();
}

TEST_F(Truncated, descriptors_are_told_apart_from_a_drivers_fault) {
    // The rings survive in the first page of their region, the table lies behind it.
    constexpr std::uint64_t table = 0x10000;
    auto setup = world.ring.setup();
    setup.descriptor.value = table + GuestRam::user_offset;
    auto queue = SplitQueue::create(world.ram.map(), setup).value();
    world.ring.set_entry(table, data, 16, 0);
    world.make_available(0);
    world.ram.truncate(ring_region, 0x8000);
    virtqueue::DescriptorChain chain;
    EXPECT_EQ(queue.pop(world.segments, chain), PopResult::broken);
    EXPECT_EQ(queue.fault().kind, Kind::memory_damaged);
}

TEST_F(Truncated, indirect_table_is_told_apart_from_a_drivers_fault) {
    world.ring.set_descriptor(0, QueueWorld::far, world.ring.set_table(QueueWorld::far, {{data, 16, false}}),
                              indirect_flag);
    world.make_available(0);
    world.ram.truncate(far_region, 0);
    EXPECT_EQ(world.pop(), PopResult::broken);
    expect_damaged();
}

TEST_F(Truncated, buffer_is_noticed_by_the_check_after_it_was_used) {
    world.ring.set_chain(0, {{QueueWorld::far, 16, false}, {data, 16, true}});
    world.make_available(0);
    world.ram.truncate(far_region, 0);
    world.pop_chain();
    world.queue.check_memory();
    EXPECT_FALSE(world.queue.broken()) << "nobody has touched it";
    EXPECT_EQ(bytes_of(world.chain.readable), std::string(16, '\0'));
    world.queue.check_memory();
    EXPECT_EQ(world.queue.fault().describe(8), "the front-end's memory file is shorter than the memory it described");
    expect_damaged();
}

TEST_F(Truncated, memory_of_one_guest_leaves_the_queues_of_another_alone) {
    QueueWorld other({.size = 8});
    world.ring.set_chain(0, {{QueueWorld::far, 16, false}});
    world.make_available(0);
    world.ram.truncate(far_region, 0);
    world.pop_chain();
    EXPECT_EQ(bytes_of(world.chain.readable).size(), 16U);
    world.queue.check_memory();
    other.queue.check_memory();
    EXPECT_TRUE(world.queue.broken());
    EXPECT_FALSE(other.queue.broken());
    other.ring.set_chain(0, {{data, 16, false}});
    other.make_available(0);
    other.pop_chain();
}

TEST_F(Truncated, memory_is_noticed_by_every_queue_on_it) {
    auto map = world.ram.map();
    auto first = SplitQueue::create(map, world.ring.setup()).value();
    auto second = SplitQueue::create(map, world.ring.setup()).value();
    world.ring.set_chain(0, {{QueueWorld::far, 16, false}});
    world.make_available(0);
    world.ram.truncate(far_region, 0);
    virtqueue::DescriptorChain chain;
    ASSERT_EQ(first.pop(world.segments, chain), PopResult::chain);
    EXPECT_EQ(bytes_of(chain.readable).size(), 16U);
    second.check_memory();
    first.check_memory();
    EXPECT_TRUE(first.broken());
    EXPECT_TRUE(second.broken());
}

TEST_F(Truncated, memory_takes_no_new_queue) {
    auto map = world.ram.map();
    world.ram.truncate(far_region, 0);
    ASSERT_EQ(static_cast<int>(*map->translate(memory::GuestAddress{QueueWorld::far}, 1)), 0);
    ASSERT_TRUE(map->damaged());
    const auto refused = SplitQueue::create(map, world.ring.setup());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().message, "the front-end's memory file is shorter than the memory it described");
}

TEST_F(Truncated, memory_takes_no_new_queue_even_if_its_creation_is_the_first_to_touch_it) {
    auto map = world.ram.map();
    world.ram.truncate(ring_region, 0);
    ASSERT_FALSE(map->damaged());
    EXPECT_FALSE(SplitQueue::create(map, world.ring.setup()).has_value());
    EXPECT_TRUE(map->damaged());
}

TEST_F(Truncated, memory_that_a_queue_is_rebound_to_breaks_it) {
    const GuestRam same_places(QueueWorld::regions());
    auto map = world.ram.map();
    world.ram.truncate(far_region, 0);
    ASSERT_EQ(static_cast<int>(*map->translate(memory::GuestAddress{QueueWorld::far}, 1)), 0);
    world.queue.check_memory();
    ASSERT_FALSE(world.queue.broken()) << "another map's damage";
    EXPECT_FALSE(world.queue.rebind(map).has_value());
    expect_damaged();
}

}  // namespace
}  // namespace sidecore::test
