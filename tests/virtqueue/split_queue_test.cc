// SPDX-License-Identifier: Apache-2.0
// Chains in, used entries out: sizes, batches, wrap-around.
#include "virtqueue/split_queue.hh"

#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;

TEST(SplitQueue, starts_empty) {
    QueueWorld world;
    EXPECT_FALSE(world.queue.has_available());
    EXPECT_EQ(world.queue.available(), 0);
    EXPECT_EQ(world.pop(), PopResult::empty);
    EXPECT_FALSE(world.queue.publish());
    EXPECT_FALSE(world.queue.broken());
    EXPECT_EQ(world.queue.in_flight(), 0);
    EXPECT_EQ(world.queue.size(), 8U);
}

TEST(SplitQueue, gives_the_pieces_of_a_chain_in_order_readable_ones_first) {
    QueueWorld world;
    std::memcpy(world.ram.at(data, 6), "HEADER", 6);
    std::memcpy(world.ram.at(data + 0x100, 4), "body", 4);
    world.ring.set_chain(
        2, {{data, 6, false}, {data + 0x100, 4, false}, {data + 0x200, 512, true}, {data + 0x500, 1, true}});
    world.make_available(2);
    EXPECT_TRUE(world.queue.has_available());

    const auto& chain = world.pop_chain();
    EXPECT_EQ(chain.head, 2);
    EXPECT_EQ(bytes_of(chain.readable), "HEADERbody");
    EXPECT_EQ(chain.readable.size(), 2U);
    EXPECT_EQ(chain.readable_bytes, 10U);
    ASSERT_EQ(chain.writable.size(), 2U);
    EXPECT_EQ(chain.writable[0].iov_len, 512U);
    EXPECT_EQ(chain.writable_bytes, 513U);
    static_cast<char*>(chain.writable[1].iov_base)[0] = 'S';
    EXPECT_EQ(world.ram.load<char>(data + 0x500), 'S') << "the driver's memory, not a copy";

    EXPECT_FALSE(world.queue.has_available());
    EXPECT_EQ(world.pop(), PopResult::empty);
}

TEST(SplitQueue, does_not_look_again_while_some_of_what_it_has_seen_is_left) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, false}});
    world.make_available(0);
    world.make_available(0);
    EXPECT_EQ(world.queue.known_available(), 0);
    EXPECT_EQ(world.queue.available(), 2);
    EXPECT_EQ(world.queue.known_available(), 2);
    world.ring.set_available_index(0);
    EXPECT_TRUE(world.queue.has_available());
    world.pop_chain();
    EXPECT_EQ(world.queue.known_available(), 1);
    world.ring.set_available_index(1);
    EXPECT_TRUE(world.queue.has_available());
    world.ring.set_available_index(2);
    world.pop_chain();
    EXPECT_EQ(world.queue.known_available(), 0);
    EXPECT_FALSE(world.queue.has_available());
}

TEST(SplitQueue, gives_a_buffer_that_lies_in_two_regions_as_two_pieces) {
    QueueWorld world;
    std::memcpy(world.ram.at(QueueWorld::seam - 3, 3), "abc", 3);
    std::memcpy(world.ram.at(QueueWorld::seam, 4), "defg", 4);
    world.ring.set_chain(0, {{QueueWorld::seam - 3, 7, false}, {QueueWorld::seam - 1, 2, true}});
    world.make_available(0);
    const auto& chain = world.pop_chain();
    EXPECT_EQ(chain.readable.size(), 2U);
    EXPECT_EQ(chain.readable_bytes, 7U);
    EXPECT_EQ(bytes_of(chain.readable), "abcdefg");
    EXPECT_EQ(chain.writable.size(), 2U);
    EXPECT_EQ(bytes_of(chain.writable), "cd");
}

TEST(SplitQueue, that_is_in_order_goes_on_where_its_used_ring_ends) {
    QueueWorld world;
    for (const std::uint16_t head : Indexes{4, 0, 3}) {
        world.ring.set_chain(head, {{data, 64, true}});
        world.make_available(head);
    }
    for (int i = 0; i < 2; ++i) {
        world.queue.push(world.pop_chain().head, 1);
    }
    world.queue.publish();

    // The front-end has lost the number of the next chain with the back-end that knew it.
    auto setup = world.ring.setup();
    ASSERT_EQ(setup.next_available, 0);
    setup.in_order = true;
    world.queue = *virtqueue::SplitQueue::create(world.ram.map(), setup);
    EXPECT_EQ(world.queue.next_available(), 2);
    EXPECT_EQ(world.queue.available(), 1);
    EXPECT_EQ(world.pop_chain().head, 3);
    EXPECT_EQ(world.pop(), PopResult::empty);

    // Of another the used ring does not say which chains are done; it does as it is told.
    setup.in_order = false;
    world.queue = *virtqueue::SplitQueue::create(world.ram.map(), setup);
    EXPECT_EQ(world.queue.next_available(), 0);
    EXPECT_EQ(world.pop_chain().head, 4);
}

TEST(SplitQueue, hands_chains_back_in_any_order_with_what_was_written) {
    QueueWorld world;
    for (const std::uint16_t head : Indexes{5, 0, 3}) {
        world.ring.set_chain(head, {{data, 64, true}});
        world.ring.offer(head);
    }
    world.ring.publish();
    for (int i = 0; i < 3; ++i) {
        world.pop_chain();
    }
    EXPECT_EQ(world.queue.in_flight(), 3);
    world.queue.push(3, 64);
    world.queue.push(5, 0);
    EXPECT_EQ(world.ring.used_index(), 0) << "not before it is published";
    world.queue.publish();
    EXPECT_EQ(world.ring.take_used(), (std::vector<UsedEntry>{{3, 64}, {5, 0}}));
    world.queue.push(0, 0xfffffffe);
    world.queue.publish();
    EXPECT_EQ(world.ring.take_used(), (std::vector<UsedEntry>{{0, 0xfffffffe}}));
    EXPECT_EQ(world.queue.in_flight(), 0);
}

TEST(SplitQueue, writes_nothing_but_the_used_ring) {
    for (const bool event_index : {false, true}) {
        QueueWorld world({.size = 8, .event_index = event_index});
        const auto before = world.ram.snapshot();
        world.queue.arm();
        world.ring.set_chain(0, {{data, 64, true}, {data + 64, 64, true}});
        world.ring.set_chain(2, {{data, 64, false}});
        const auto prepared = world.ram.snapshot();
        world.make_available(0);
        world.make_available(2);
        const auto offered = world.ram.snapshot();
        world.queue.disarm();
        EXPECT_EQ(world.queue.available(), 2);
        world.queue.prefetch(2);
        world.pop_chain();
        world.pop_chain();
        world.queue.push(2, 0);
        world.queue.push(0, 128);
        world.queue.publish();
        world.queue.arm();
        world.queue.disarm();
        const auto changes = world.ram.changed_since(offered);
        EXPECT_FALSE(changes.empty());
        for (const std::uint64_t address : changes) {
            EXPECT_TRUE(world.ring.in_used_ring(address)) << address;
        }
        EXPECT_NE(prepared, before);
    }
}

TEST(SplitQueue, starts_in_the_middle_where_another_has_stopped) {
    QueueWorld world({.size = 8, .start = 12345});
    EXPECT_EQ(world.queue.next_available(), 12345);
    world.ring.set_chain(1, {{data, 16, true}});
    world.make_available(1);
    EXPECT_EQ(world.pop_chain().head, 1);
    EXPECT_EQ(world.queue.next_available(), 12346);
    world.queue.push(1, 16);
    world.queue.publish();
    EXPECT_EQ(world.ring.used_index(), 12346);
    EXPECT_EQ(world.ring.take_used(), (std::vector<UsedEntry>{{1, 16}}));
}

/// Everything once round the 16-bit index and more, at each size, in batches of various lengths.
class Rounds : public testing::TestWithParam<std::tuple<std::uint32_t, bool>> {};

INSTANTIATE_TEST_SUITE_P(Sizes, Rounds, testing::Combine(testing::Values(1, 2, 256, 32768), testing::Bool()),
                         [](const auto& instance) {
                             return "size_" + std::to_string(std::get<0>(instance.param)) +
                                    (std::get<1>(instance.param) ? "_event_index" : "_flags");
                         });

TEST_P(Rounds, go_over_the_wrap_without_a_chain_lost_or_doubled) {
    const auto [size, event_index] = GetParam();
    QueueWorld world({.size = size, .event_index = event_index, .start = 65530},
                     {{0, 0x400000, GuestRam::user_offset}});
    constexpr std::uint64_t buffers = 0x200000;
    for (std::uint32_t i = 0; i < size; ++i) {
        world.ring.set_descriptor(i, buffers + i, 1 + i % 7, write_flag);
    }
    std::uint32_t offered = 0;
    std::uint32_t round = 0;
    const std::uint32_t total = 70'000;
    while (offered < total) {
        // Batches from 1 to the whole ring.
        const std::uint32_t batch = round % 3 == 0 ? size : std::min(size, 1 + round % 13 * 11);
        for (std::uint32_t i = 0; i < batch; ++i) {
            world.ring.offer(static_cast<std::uint16_t>((offered + i) * 5 % size));
        }
        world.ring.publish();
        ASSERT_EQ(world.queue.available(), batch);
        for (std::uint32_t i = 0; i < batch; ++i) {
            const std::uint32_t head = (offered + i) * 5 % size;
            ASSERT_EQ(world.pop(), PopResult::chain);
            ASSERT_EQ(world.chain.head, head);
            ASSERT_EQ(world.chain.writable_bytes, 1 + head % 7);
        }
        ASSERT_EQ(world.pop(), PopResult::empty);
        ASSERT_EQ(world.queue.in_flight(), batch);
        for (std::uint32_t i = 0; i < batch; ++i) {
            const std::uint32_t head = (offered + batch - 1 - i) * 5 % size;
            world.queue.push(static_cast<std::uint16_t>(head), offered + i);
        }
        world.queue.publish();
        const auto used = world.ring.take_used();
        ASSERT_EQ(used.size(), batch);
        for (std::uint32_t i = 0; i < batch; ++i) {
            const std::uint32_t head = (offered + batch - 1 - i) * 5 % size;
            ASSERT_EQ(used[i], (UsedEntry{head, offered + i}));
        }
        offered += batch;
        ++round;
    }
    EXPECT_EQ(world.queue.next_available(), static_cast<std::uint16_t>(65530 + offered));
}

TEST(SplitQueue, sees_what_comes_while_it_works_on_a_batch_only_when_it_looks_again) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, false}});
    world.ring.set_chain(1, {{data, 16, false}});
    world.make_available(0);
    EXPECT_EQ(world.queue.available(), 1);
    world.make_available(1);
    EXPECT_EQ(world.queue.available(), 1) << "of the batch in hand";
    world.pop_chain();
    EXPECT_TRUE(world.queue.has_available());
    EXPECT_EQ(world.queue.available(), 1);
    world.pop_chain();
    EXPECT_EQ(world.queue.available(), 0);
}

TEST(SplitQueue, may_be_told_to_fetch_what_is_wrong) {
    QueueWorld world;
    world.ring.offer(65535);
    world.ring.offer(8);
    world.ring.publish();
    world.queue.prefetch(2);
    world.queue.prefetch(65535);
    EXPECT_FALSE(world.queue.broken()) << "that is pop()'s to find";
    EXPECT_EQ(world.pop(), PopResult::broken);
}

TEST(SplitQueue, breaks_for_a_reason_of_the_devices) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, true}});
    world.make_available(0);
    world.pop_chain();
    world.queue.break_with({virtqueue::QueueFault::Kind::bad_request, 0, 7, 0});
    EXPECT_TRUE(world.queue.broken());
    EXPECT_EQ(world.queue.fault().describe(8), "descriptor chain 0: the device cannot make sense of it (case 7)");
    world.queue.push(0, 16);
    EXPECT_EQ(world.queue.in_flight(), 0) << "handed back, if to nobody";
    EXPECT_FALSE(world.queue.publish());
    EXPECT_EQ(world.ring.used_index(), 0);
}

}  // namespace
}  // namespace sidecore::test
