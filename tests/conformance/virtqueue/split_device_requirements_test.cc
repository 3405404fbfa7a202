// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 2.7 "Split Virtqueues": what it demands of the device, clause by clause, as far as it is the
// virtqueue's to fulfil. The words of each clause are summed up in the test's name; how a device type fills its
// buffers (2.7.8.2, second sentence) is tested with the device types.
#include <gtest/gtest.h>

#include "memory/fault_guard.hh"
#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;

constexpr std::uint64_t table = 0x30000;

/// One chain there and back; returns whether the device notifies the driver.
bool use_one(QueueWorld& world, std::uint16_t head = 0, std::uint32_t written = 0) {
    world.make_available(head);
    world.pop_chain();
    world.queue.push(head, written);
    return world.queue.publish();
}

struct WithEvents : QueueWorld {
    explicit WithEvents(std::uint16_t start = 0) : QueueWorld({.size = 8, .event_index = true, .start = start}) {
        ring.set_chain(0, {{data, 16, false}});
        use_one(*this);  // the first notification after the start is unconditional
    }
};

// ---- 2.7.4.1 Device Requirements: Message Framing ----

TEST(Virtio_2_7_4_1_MessageFraming, device_must_not_make_assumptions_about_the_arrangement_of_descriptors) {
    // The clause's own example: 12 bytes of header and 1514 of packet, in every way of cutting that there is
    // room to try. What the device sees is the same.
    std::string message(1526, '\0');
    for (std::size_t i = 0; i < message.size(); ++i) {
        message[i] = static_cast<char>(i * 31);
    }
    for (const std::vector<std::uint32_t>& cut : {std::vector<std::uint32_t>{1526},
                                                  {12, 1514},
                                                  {1, 11, 1514},
                                                  {1525, 1},
                                                  {1, 1, 1, 1, 1, 1, 1520},
                                                  {6, 600, 600, 320},
                                                  {12, 4, 6, 6, 2, 1496}}) {
        for (const bool indirect : {false, true}) {
            QueueWorld world;
            std::memcpy(world.ram.at(data, message.size()), message.data(), message.size());
            std::vector<Part> parts;
            std::uint64_t at = data;
            for (const std::uint32_t length : cut) {
                parts.push_back({at, length, false});
                at += length;
            }
            if (indirect) {
                world.ring.set_descriptor(0, table, world.ring.set_table(table, parts), indirect_flag);
            } else {
                world.ring.set_chain(0, parts);
            }
            world.make_available(0);
            EXPECT_EQ(bytes_of(world.pop_chain().readable), message);
        }
    }
}

TEST(Virtio_2_7_4_1_MessageFraming, device_may_have_a_reasonable_limit_of_descriptors) {
    QueueWorld world({.size = 128});
    world.ring.set_chain(0, std::vector<Part>(QueueWorld::segment_limit, Part{data, 1, false}));
    world.make_available(0);
    EXPECT_EQ(world.pop_chain().readable.size(), QueueWorld::segment_limit);
    world.ring.set_chain(0, std::vector<Part>(QueueWorld::segment_limit + 1, Part{data, 1, false}));
    world.make_available(0);
    EXPECT_EQ(world.pop(), PopResult::broken);
}

// ---- 2.7.5.1 Device Requirements: The Virtqueue Descriptor Table ----

TEST(Virtio_2_7_5_1_DescriptorTable, device_must_not_write_to_a_readable_buffer_or_to_any_descriptor) {
    for (const bool event_index : {false, true}) {
        QueueWorld world({.size = 8, .event_index = event_index});
        const auto bytes = world.ring.set_table(table, {{data + 64, 32, false}, {data + 128, 32, true}});
        world.ring.set_descriptor(0, data, 16, next_flag, 1);
        world.ring.set_descriptor(1, table, bytes, indirect_flag);
        world.make_available(0);
        const auto before = world.ram.snapshot();
        world.queue.disarm();
        world.queue.prefetch(1);
        world.pop_chain();
        world.queue.push(0, 32);
        world.queue.publish();
        world.queue.arm();
        const auto changed = world.ram.changed_since(before);
        EXPECT_FALSE(changed.empty());
        for (const std::uint64_t address : changed) {
            EXPECT_TRUE(world.ring.in_used_ring(address)) << address;
        }
    }
}

TEST(Virtio_2_7_5_1_DescriptorTable, device_should_not_read_a_writable_buffer) {
    // Its memory is not even there: a look at it would leave a mark.
    ASSERT_TRUE(memory::install_fault_guard().has_value());
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, false}, {QueueWorld::far, 4096, true}});
    world.make_available(0);
    world.ram.truncate(2, 0);
    world.pop_chain();
    world.queue.push(0, 0);
    world.queue.publish();
    EXPECT_FALSE(world.queue.map().damaged());
}

// ---- 2.7.5.3.2 Device Requirements: Indirect Descriptors ----

TEST(Virtio_2_7_5_3_2_IndirectDescriptors, device_must_ignore_the_write_flag_of_the_descriptor_that_refers_to_a_table) {
    for (const std::uint16_t flag : Indexes{0, write_flag}) {
        QueueWorld world;
        const auto bytes = world.ring.set_table(table, {{data, 16, false}, {data + 64, 32, true}});
        world.ring.set_descriptor(0, table, bytes, static_cast<std::uint16_t>(indirect_flag | flag));
        world.make_available(0);
        world.pop_chain();
        EXPECT_EQ(world.chain.readable_bytes, 16U);
        EXPECT_EQ(world.chain.writable_bytes, 32U);
    }
}

TEST(Virtio_2_7_5_3_2_IndirectDescriptors, device_must_handle_normal_descriptors_followed_by_an_indirect_one) {
    for (std::uint16_t normal = 0; normal < 8; ++normal) {
        QueueWorld world;
        const auto bytes = world.ring.set_table(table, {{data, 1, false}, {data + 64, 32, true}});
        for (std::uint16_t i = 0; i < normal; ++i) {
            world.ring.set_descriptor(i, data, 100, next_flag, static_cast<std::uint16_t>(i + 1));
        }
        world.ring.set_descriptor(normal, table, bytes, indirect_flag);
        world.make_available(0);
        world.pop_chain();
        EXPECT_EQ(world.chain.readable_bytes, 1U + 100U * normal);
        EXPECT_EQ(world.chain.writable_bytes, 32U);
    }
}

TEST(Virtio_2_7_5_3_2_IndirectDescriptors, device_must_handle_writable_normal_descriptors_followed_by_an_indirect_one) {
    QueueWorld world;
    const auto bytes = world.ring.set_table(table, {{data + 64, 32, true}});
    world.ring.set_descriptor(0, data, 16, write_flag | next_flag, 1);
    world.ring.set_descriptor(1, table, bytes, indirect_flag);
    world.make_available(0);
    EXPECT_EQ(world.pop_chain().writable_bytes, 48U);
}

// ---- 2.7.7.2 Device Requirements: Used Buffer Notification Suppression ----

class Virtio_2_7_7_2_WithoutEventIndex : public testing::Test {
protected:
    Virtio_2_7_7_2_WithoutEventIndex() { world.ring.set_chain(0, {{data, 16, false}}); }
    QueueWorld world{{.size = 8}};
};

TEST_F(Virtio_2_7_7_2_WithoutEventIndex, device_must_ignore_used_event) {
    for (int offset = -4; offset <= 4; ++offset) {
        const auto next = static_cast<std::uint16_t>(world.ring.used_index() + offset);
        world.ring.set_used_event(next);
        world.ring.set_available_flags(0);
        EXPECT_TRUE(use_one(world));
        world.ring.set_used_event(static_cast<std::uint16_t>(world.ring.used_index() + offset));
        world.ring.set_available_flags(1);
        EXPECT_FALSE(use_one(world));
    }
}

TEST_F(Virtio_2_7_7_2_WithoutEventIndex, device_should_not_notify_if_flags_is_1) {
    world.ring.set_available_flags(1);
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(use_one(world));
    }
}

TEST_F(Virtio_2_7_7_2_WithoutEventIndex, device_must_notify_if_flags_is_0) {
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(use_one(world));
    }
}

TEST(Virtio_2_7_7_2_WithEventIndex, device_must_ignore_the_lower_bit_of_flags) {
    for (const std::uint16_t flags : Indexes{0, 1}) {
        WithEvents world;
        world.ring.set_available_flags(flags);
        world.ring.set_used_event(1);
        EXPECT_TRUE(use_one(world));
        EXPECT_FALSE(use_one(world));
    }
}

TEST(Virtio_2_7_7_2_WithEventIndex, device_must_notify_if_the_index_was_equal_to_used_event_and_should_not_otherwise) {
    for (const std::uint16_t start : Indexes{0, 1, 32766, 65533, 65534, 65535}) {
        for (int ahead = 0; ahead < 6; ++ahead) {
            WithEvents world(start);
            const auto event = static_cast<std::uint16_t>(start + 1 + ahead);
            world.ring.set_used_event(event);
            for (int i = 0; i < 8; ++i) {
                const std::uint16_t index_before = world.ring.used_index();
                EXPECT_EQ(use_one(world), index_before == event) << "start " << start << " event " << event;
            }
        }
    }
}

TEST(Virtio_2_7_7_2_WithEventIndex,
     device_notifies_after_the_first_buffer_and_again_after_the_65537th_if_used_event_is_0) {
    // The note: "if used_event is 0, then a device would send a notification after the first buffer is used".
    QueueWorld world({.size = 8, .event_index = true});
    world.ring.set_chain(0, {{data, 16, false}});
    world.ring.set_used_event(0);
    std::vector<std::uint32_t> notified;
    for (std::uint32_t buffer = 0; buffer < 131'073; ++buffer) {
        world.ring.offer(0);
        world.ring.set_available_index(world.ring.available_index());
        ASSERT_EQ(world.pop(), PopResult::chain);
        world.queue.push(0, 0);
        if (world.queue.publish()) {
            notified.push_back(buffer);
        }
    }
    EXPECT_EQ(notified, (std::vector<std::uint32_t>{0, 65536, 131072}));
}

// ---- 2.7.8.2 Device Requirements: The Virtqueue Used Ring ----

TEST(Virtio_2_7_8_2_UsedRing, device_must_set_len_before_it_updates_the_index) {
    QueueWorld world({.size = 4});
    world.ring.set_chain(3, {{data, 64, true}});
    for (std::uint32_t i = 0; i < 10; ++i) {
        const std::uint64_t entry = world.ring.used_at() + 4 + 8 * std::uint64_t{i % 4};
        world.make_available(3);
        world.pop_chain();
        world.queue.push(3, 40 + i);
        EXPECT_EQ(world.ram.load<std::uint32_t>(entry + 4), 40 + i);
        EXPECT_EQ(world.ram.load<std::uint32_t>(entry), 3U);
        EXPECT_EQ(world.ring.used_index(), i);
        world.queue.publish();
        EXPECT_EQ(world.ring.used_index(), i + 1);
    }
}

TEST(Virtio_2_7_8_2_UsedRing, device_may_write_more_than_len_bytes) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 64, true}});
    world.make_available(0);
    world.pop_chain();
    std::memset(world.chain.writable[0].iov_base, 'x', 64);
    world.queue.push(0, 10);
    world.queue.publish();
    EXPECT_EQ(world.ring.take_used(), (std::vector<UsedEntry>{{0, 10}}));
}

// ---- 2.7.10.2 Device Requirements: Available Buffer Notification Suppression ----

TEST(Virtio_2_7_10_2_WithoutEventIndex, device_must_set_flags_to_0_or_1) {
    QueueWorld world;
    world.ring.set_chain(0, {{data, 16, false}});
    const auto in_order = [&] { return world.ring.used_flags() <= 1; };
    EXPECT_TRUE(in_order());
    for (int i = 0; i < 10; ++i) {
        world.queue.disarm();
        EXPECT_TRUE(in_order());
        use_one(world);
        EXPECT_TRUE(in_order());
        world.queue.arm();
        EXPECT_TRUE(in_order());
        world.make_available(0);
        world.queue.arm();
        EXPECT_TRUE(in_order());
        world.pop_chain();
        world.queue.push(0, 0);
        world.queue.publish();
    }
}

TEST(Virtio_2_7_10_2_WithoutEventIndex, device_may_set_flags_to_1_to_advise_that_notifications_are_not_needed) {
    QueueWorld world;
    world.queue.disarm();
    EXPECT_EQ(world.ring.used_flags(), 1);
    EXPECT_TRUE(world.queue.arm());
    EXPECT_EQ(world.ring.used_flags(), 0);
}

TEST(Virtio_2_7_10_2_WithEventIndex, device_must_set_flags_to_0) {
    GuestRam ram(QueueWorld::regions());
    const DriverRing ring(ram, {.size = 8, .event_index = true});
    ram.store<std::uint16_t>(ring.used_at(), 1);
    auto queue = virtqueue::SplitQueue::create(ram.map(), ring.setup()).value();
    EXPECT_EQ(ring.used_flags(), 0);
    queue.disarm();
    EXPECT_EQ(ring.used_flags(), 0);
    queue.arm();
    EXPECT_EQ(ring.used_flags(), 0);
}

TEST(Virtio_2_7_10_2_WithEventIndex, device_may_use_avail_event_to_advise_until_when_notifications_are_unnecessary) {
    for (const std::uint16_t start : Indexes{0, 65534, 65535}) {
        WithEvents world(start);
        ASSERT_TRUE(world.queue.arm());
        EXPECT_EQ(world.ring.avail_event(), static_cast<std::uint16_t>(start + 1)) << "the next entry's index";
        world.queue.disarm();
        EXPECT_NE(world.ring.avail_event(), static_cast<std::uint16_t>(start + 1));
    }
}

TEST(Virtio_2_7_10_2_AvailableBufferNotificationSuppression, device_must_handle_spurious_notifications) {
    for (const bool event_index : {false, true}) {
        QueueWorld world({.size = 8, .event_index = event_index});
        world.ring.set_chain(0, {{data, 16, false}});
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(world.pop(), PopResult::empty) << "told of nothing";
            EXPECT_TRUE(world.queue.arm());
            EXPECT_EQ(world.pop(), PopResult::empty);
            EXPECT_TRUE(world.make_available(0)) << "and the next notification comes";
            world.pop_chain();
            EXPECT_EQ(world.pop(), PopResult::empty) << "told twice of one";
            world.queue.push(0, 0);
            world.queue.publish();
            world.queue.disarm();
        }
    }
}

}  // namespace
}  // namespace sidecore::test
