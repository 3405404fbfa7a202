// SPDX-License-Identifier: Apache-2.0
// Who is told what: kicks (driver to device) and calls (device to driver), in both forms.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;

/// One chain there and back; returns whether the device calls.
bool serve_one(QueueWorld& world) {
    world.make_available(0);
    world.pop_chain();
    world.queue.push(0, 0);
    return world.queue.publish();
}

std::vector<GuestRam::Region> room_for_large_rings() {
    return {{0, 0x400000, GuestRam::user_offset}};
}

/// Descriptors that all are chains of one readable byte.
void fill_table(DriverRing& ring) {
    for (std::uint32_t i = 0; i < ring.options().size; ++i) {
        ring.set_descriptor(i, data, 1, 0);
    }
}

// ---- Calls, form of flags (2.7.7.2) ----

class CallByFlags : public testing::Test {
protected:
    CallByFlags() { world.ring.set_chain(0, {{data, 16, false}}); }
    QueueWorld world{{.size = 8}};
};

TEST_F(CallByFlags, is_made_for_0) {
    EXPECT_TRUE(serve_one(world));
    EXPECT_TRUE(serve_one(world));
}

TEST_F(CallByFlags, is_not_made_for_1_also_not_for_the_first_batch) {
    world.ring.set_available_flags(1);
    EXPECT_FALSE(serve_one(world));
    EXPECT_FALSE(serve_one(world));
    world.ring.set_available_flags(0);
    EXPECT_TRUE(serve_one(world));
}

TEST_F(CallByFlags, looks_at_the_lowest_bit_alone) {
    world.ring.set_available_flags(0xfffe);
    EXPECT_TRUE(serve_one(world));
    world.ring.set_available_flags(0xffff);
    EXPECT_FALSE(serve_one(world));
}

TEST_F(CallByFlags, does_not_look_at_used_event) {
    for (std::uint16_t i = 0; i < 8; ++i) {
        world.ring.set_used_event(static_cast<std::uint16_t>(i + 1000));
        EXPECT_TRUE(serve_one(world));
    }
}

TEST_F(CallByFlags, is_one_for_a_batch_and_none_for_nothing) {
    for (int i = 0; i < 3; ++i) {
        world.make_available(0);
        world.pop_chain();
        world.queue.push(0, 0);
    }
    EXPECT_TRUE(world.queue.publish());
    EXPECT_FALSE(world.queue.publish());
}

// ---- Calls, form of the event index (2.7.7.2) ----

class CallByEvent : public testing::Test {
protected:
    static constexpr std::uint16_t start = 65500;
    CallByEvent() { world.ring.set_chain(0, {{data, 16, false}}); }
    QueueWorld world{{.size = 64, .event_index = true, .start = start}};
};

TEST_F(CallByEvent, is_made_for_the_first_batch_after_the_start_whatever_the_driver_says) {
    for (const std::uint16_t event : Indexes{0, 1000, 65499, 65500, 65501, 65535}) {
        QueueWorld fresh({.size = 64, .event_index = true, .start = start});
        fresh.ring.set_chain(0, {{data, 16, false}});
        fresh.ring.set_used_event(event);
        EXPECT_FALSE(fresh.queue.publish()) << "there is no batch yet";
        EXPECT_TRUE(serve_one(fresh)) << event;
        EXPECT_EQ(serve_one(fresh), event == start + 1) << "and from then on by the rule";
    }
}

TEST_F(CallByEvent, does_not_look_at_the_flags) {
    serve_one(world);
    world.ring.set_available_flags(1);
    world.ring.set_used_event(start + 1);
    EXPECT_TRUE(serve_one(world));
    world.ring.set_available_flags(0);
    EXPECT_FALSE(serve_one(world));
}

TEST_F(CallByEvent, is_made_when_an_entry_of_the_batch_was_the_events_and_only_then) {
    serve_one(world);
    std::uint16_t used = start + 1;
    // Batches of all lengths with the event at every distance around them, over the wrap again and again.
    for (int event_at = -70; event_at <= 70; ++event_at) {
        for (int batch = 1; batch <= 64; batch = batch < 8 ? batch + 1 : batch * 2) {
            const auto event = static_cast<std::uint16_t>(used + event_at);
            world.ring.set_used_event(event);
            for (int i = 0; i < batch; ++i) {
                world.ring.offer(0);
            }
            world.ring.publish();
            for (int i = 0; i < batch; ++i) {
                ASSERT_EQ(world.pop(), PopResult::chain);
            }
            for (int i = 0; i < batch; ++i) {
                world.queue.push(0, 0);
            }
            ASSERT_EQ(world.queue.publish(), event_at >= 0 && event_at < batch)
                << "batch of " << batch << " from " << used << ", event " << event;
            used = static_cast<std::uint16_t>(used + batch);
        }
    }
}

TEST_F(CallByEvent, comes_once_in_65536_entries_if_the_driver_leaves_the_event_alone) {
    serve_one(world);
    world.ring.set_used_event(10);
    std::vector<std::uint16_t> called_at;
    for (std::uint32_t i = 0; i < 3 * 65536; ++i) {
        const std::uint16_t index = world.queue.next_available();
        world.ring.offer(0);
        world.ring.set_available_index(world.ring.available_index());
        ASSERT_EQ(world.pop(), PopResult::chain);
        world.queue.push(0, 0);
        if (world.queue.publish()) {
            called_at.push_back(index);
        }
    }
    EXPECT_EQ(called_at, (std::vector<std::uint16_t>{10, 10, 10}));
}

// ---- Kicks, both forms ----

struct Kicks : testing::TestWithParam<std::tuple<bool, std::uint16_t>> {
    static QueueWorld make() {
        return QueueWorld({.size = 8, .event_index = std::get<0>(GetParam()), .start = std::get<1>(GetParam())});
    }
    Kicks() { fill_table(ring); }

    /// One chain arrives and is served; returns whether the driver kicks.
    bool arrive() {
        const bool kicked = world.make_available(0);
        world.pop_chain();
        world.queue.push(0, 0);
        world.queue.publish();
        return kicked;
    }

    QueueWorld world = make();
    DriverRing& ring = world.ring;
};

INSTANTIATE_TEST_SUITE_P(Forms, Kicks, testing::Combine(testing::Bool(), testing::Values(0, 32767, 65534, 65535)),
                         [](const auto& instance) {
                             return std::string(std::get<0>(instance.param) ? "event_index" : "flags") + "_from_" +
                                    std::to_string(std::get<1>(instance.param));
                         });

TEST_P(Kicks, come_for_the_next_chain_when_armed) {
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(world.queue.arm());
        EXPECT_TRUE(arrive()) << round;
        world.queue.disarm();
    }
}

TEST_P(Kicks, come_for_the_next_batch_when_armed) {
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(world.queue.arm());
        for (int i = 0; i < 8; ++i) {
            ring.offer(0);
        }
        EXPECT_TRUE(ring.publish()) << round;
        for (int i = 0; i < 8; ++i) {
            world.pop_chain();
            world.queue.push(0, 0);
        }
        world.queue.publish();
        world.queue.disarm();
    }
}

TEST_P(Kicks, do_not_come_when_disarmed) {
    world.queue.disarm();
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(arrive()) << i;
    }
    ASSERT_TRUE(world.queue.arm());
    world.queue.disarm();
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(arrive()) << i;
    }
}

TEST_P(Kicks, stay_armed_however_often_the_queue_is_looked_at) {
    ASSERT_TRUE(world.queue.arm());
    for (int i = 0; i < 1000; ++i) {
        EXPECT_FALSE(world.queue.has_available());
        EXPECT_EQ(world.queue.available(), 0);
        EXPECT_EQ(world.pop(), PopResult::empty);
    }
    ASSERT_TRUE(world.queue.arm());
    EXPECT_TRUE(arrive());
}

TEST_P(Kicks, are_not_asked_for_by_arming_a_queue_that_has_work) {
    world.queue.disarm();
    ring.offer(0);
    ring.publish();
    EXPECT_FALSE(world.queue.arm());
    for (int i = 0; i < 5; ++i) {
        ring.offer(0);
        EXPECT_FALSE(ring.publish()) << "it goes on as polled: " << i;
    }
    for (int i = 0; i < 6; ++i) {
        world.pop_chain();
        world.queue.push(0, 0);
    }
    world.queue.publish();
    EXPECT_TRUE(world.queue.arm()) << "once it is empty";
    EXPECT_TRUE(arrive());
}

TEST_P(Kicks, may_be_spurious) {
    // 2.7.10.2: a kick without work is nothing. Work without a kick is found by looking.
    EXPECT_EQ(world.pop(), PopResult::empty);
    ASSERT_TRUE(world.queue.arm());
    EXPECT_EQ(world.pop(), PopResult::empty);
    ring.offer(0);
    ring.publish();
    world.pop_chain();
    EXPECT_EQ(world.pop(), PopResult::empty);
}

TEST_P(Kicks, need_no_write_to_stay_suppressed) {
    world.queue.disarm();
    const auto before = world.ram.snapshot();
    for (int i = 0; i < 100; ++i) {
        world.queue.disarm();
        world.queue.has_available();
        world.queue.available();
    }
    EXPECT_EQ(world.ram.changed_since(before), std::vector<std::uint64_t>{});
    // Not even the same value again: the line stays with the driver's core.
    const std::uint64_t place = std::get<0>(GetParam()) ? ring.avail_event_at() : ring.used_at();
    world.ram.store<std::uint16_t>(place, 0x5a5a);
    for (int i = 0; i < 100; ++i) {
        world.queue.disarm();
        world.queue.available();
    }
    EXPECT_EQ(world.ram.load<std::uint16_t>(place), 0x5a5a);
}

TEST(KicksByEvent, needs_no_write_to_stop_asking_when_the_next_chain_is_there) {
    // To take it passes the event by itself.
    QueueWorld world({.size = 8, .event_index = true});
    fill_table(world.ring);
    ASSERT_TRUE(world.queue.arm());
    ASSERT_TRUE(world.make_available(0));
    const auto before = world.ram.snapshot();
    world.queue.disarm();
    EXPECT_EQ(world.ram.changed_since(before), std::vector<std::uint64_t>{});
    world.pop_chain();
    world.queue.push(0, 0);
    world.queue.publish();
    EXPECT_FALSE(world.make_available(0));
}

TEST(KicksByFlags, uses_0_and_1_and_no_event) {
    QueueWorld world({.size = 8});
    fill_table(world.ring);
    world.ram.store<std::uint16_t>(world.ring.avail_event_at(), 0x7777);
    EXPECT_EQ(world.ring.used_flags(), 0);
    world.queue.disarm();
    EXPECT_EQ(world.ring.used_flags(), 1);
    EXPECT_TRUE(world.queue.arm());
    EXPECT_EQ(world.ring.used_flags(), 0);
    world.make_available(0);
    EXPECT_FALSE(world.queue.arm());
    EXPECT_EQ(world.ring.used_flags(), 1);
    EXPECT_EQ(world.ram.load<std::uint16_t>(world.ring.avail_event_at()), 0x7777) << "not its to write";
}

TEST(KicksByEvent, leaves_the_flags_0) {
    QueueWorld world({.size = 8, .event_index = true});
    fill_table(world.ring);
    world.queue.disarm();
    EXPECT_EQ(world.ring.used_flags(), 0);
    world.queue.arm();
    EXPECT_EQ(world.ring.used_flags(), 0);
    EXPECT_EQ(world.ring.avail_event(), 0) << "the entry to come";
    world.make_available(0);
    world.queue.arm();
    world.queue.disarm();
    EXPECT_EQ(world.ring.used_flags(), 0);
}

// ---- Polling for long ----

class Polled : public testing::TestWithParam<std::tuple<std::uint32_t, bool>> {};

INSTANTIATE_TEST_SUITE_P(Sizes, Polled, testing::Combine(testing::Values(1, 2, 256, 32768), testing::Bool()),
                         [](const auto& instance) {
                             return "size_" + std::to_string(std::get<0>(instance.param)) +
                                    (std::get<1>(instance.param) ? "_event_index" : "_flags");
                         });

TEST_P(Polled, brings_no_kick_in_more_than_200000_entries) {
    const auto [size, event_index] = GetParam();
    for (const std::uint32_t batch : std::set{1U, std::min(3U, size), size}) {
        // From where an armed queue was taken over, and from a fresh one.
        for (const bool armed_before : {false, true}) {
            QueueWorld world({.size = size, .event_index = event_index, .start = 60000}, room_for_large_rings());
            fill_table(world.ring);
            if (armed_before) {
                ASSERT_TRUE(world.queue.arm());
            }
            world.queue.disarm();
            for (std::uint32_t done = 0; done < 210'000;) {
                for (std::uint32_t i = 0; i < batch; ++i) {
                    world.ring.offer(0);
                }
                ASSERT_FALSE(world.ring.publish()) << done;
                for (std::uint32_t i = 0; i < batch; ++i) {
                    ASSERT_EQ(world.pop(), PopResult::chain);
                    world.queue.push(0, 0);
                }
                world.queue.publish();
                done += batch;
            }
            ASSERT_TRUE(world.queue.arm());
            world.ring.offer(0);
            EXPECT_TRUE(world.ring.publish()) << "and it can be armed at any time";
        }
    }
}

TEST_P(Polled, brings_no_kick_even_if_the_driver_is_always_a_full_ring_ahead) {
    // The device never sees the ring empty: a chain comes for each that goes.
    const auto [size, event_index] = GetParam();
    QueueWorld world({.size = size, .event_index = event_index, .start = 60000}, room_for_large_rings());
    fill_table(world.ring);
    world.queue.disarm();
    for (std::uint32_t i = 0; i < size; ++i) {
        world.ring.offer(0);
    }
    ASSERT_FALSE(world.ring.publish());
    for (std::uint32_t done = 0; done < 210'000; ++done) {
        ASSERT_EQ(world.pop(), PopResult::chain) << done;
        world.queue.push(0, 0);
        world.queue.publish();
        world.ring.offer(0);
        ASSERT_FALSE(world.ring.publish()) << done;
    }
}

TEST_P(Polled, brings_no_kick_after_arming_found_work) {
    // arm() that fails must leave the queue as polled, again and again, wherever the event stands.
    const auto [size, event_index] = GetParam();
    QueueWorld world({.size = size, .event_index = event_index, .start = 60000}, room_for_large_rings());
    fill_table(world.ring);
    world.queue.disarm();
    world.ring.offer(0);
    ASSERT_FALSE(world.ring.publish());
    for (std::uint32_t done = 0; done < 210'000; ++done) {
        ASSERT_FALSE(world.queue.arm()) << done;
        ASSERT_EQ(world.pop(), PopResult::chain) << done;
        world.queue.push(0, 0);
        world.queue.publish();
        world.ring.offer(0);
        ASSERT_FALSE(world.ring.publish()) << done;
    }
}

}  // namespace
}  // namespace sidecore::test
