// SPDX-License-Identifier: Apache-2.0
// Random chains and random orders of events against models that are simpler than the queue.
// clang-format off: RapidCheck's header needs GoogleTest's before it
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
// clang-format on

#include <algorithm>
#include <deque>
#include <utility>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;

/// Bytes that tell their place.
void number_the_bytes(GuestRam& ram, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t address = from; address < to; ++address) {
        *ram.at(address) = static_cast<std::byte>((address * 167) ^ (address >> 8U) ^ (address >> 16U));
    }
}

/// A buffer of 1 to 600 bytes, often around the seam between two regions.
rc::Gen<Part> parts() {
    const auto around_seam = rc::gen::inRange<std::uint64_t>(QueueWorld::seam - 300, QueueWorld::seam + 300);
    const auto anywhere = rc::gen::inRange<std::uint64_t>(0x38000, QueueWorld::hole - 600);
    return rc::gen::build<Part>(rc::gen::set(&Part::address, rc::gen::oneOf(around_seam, anywhere)),
                                rc::gen::set(&Part::length, rc::gen::inRange<std::uint32_t>(1, 600)),
                                rc::gen::set(&Part::writable));
}

RC_GTEST_PROP(Chains, come_out_as_they_went_in_however_they_are_laid_out, ()) {
    QueueWorld world({.size = 32, .event_index = *rc::gen::arbitrary<bool>()});
    number_the_bytes(world.ram, 0x38000, QueueWorld::hole);
    auto all = *rc::gen::nonEmpty(rc::gen::resize(24, rc::gen::container<std::vector<Part>>(parts())));
    all.resize(std::min<std::size_t>(all.size(), 24));
    std::stable_partition(all.begin(), all.end(), [](const Part& part) { return !part.writable; });

    // Some of them direct, the rest in an indirect table, of any alignment, perhaps over the seam of two regions.
    const auto direct = *rc::gen::inRange<std::size_t>(0, all.size() + 1);
    const auto head = *rc::gen::inRange<std::uint32_t>(0, 32);
    const std::span<const Part> whole(all);
    world.ring.set_chain(head, whole.first(direct));
    if (direct < all.size()) {
        const auto table = *rc::gen::inRange<std::uint64_t>(0x30000, 0x30040);
        const auto bytes = world.ring.set_table(table, whole.subspan(direct));
        const auto at = (head + static_cast<std::uint32_t>(direct)) % 32;
        const auto ignored = *rc::gen::element<std::uint16_t>(0, write_flag);
        world.ring.set_descriptor(at, table, bytes, static_cast<std::uint16_t>(indirect_flag | ignored));
        if (direct > 0) {
            const auto& last = all[direct - 1];
            world.ring.set_descriptor((at + 31) % 32, last.address, last.length,
                                      static_cast<std::uint16_t>(next_flag | (last.writable ? write_flag : 0)),
                                      static_cast<std::uint16_t>(at));
        }
    }
    world.make_available(static_cast<std::uint16_t>(head));
    RC_ASSERT(world.pop() == PopResult::chain);

    std::string readable;
    std::string writable;
    for (const Part& part : all) {
        for (std::uint64_t i = 0; i < part.length; ++i) {
            (part.writable ? writable : readable) += static_cast<char>(*world.ram.at(part.address + i));
        }
    }
    RC_ASSERT(world.chain.head == head);
    RC_ASSERT(bytes_of(world.chain.readable) == readable);
    RC_ASSERT(bytes_of(world.chain.writable) == writable);
    RC_ASSERT(world.chain.readable_bytes == readable.size());
    RC_ASSERT(world.chain.writable_bytes == writable.size());
}

/// What can happen to a queue, in any order.
enum class Event { offer, publish_available, pop, push, publish_used, arm, disarm, look, wish, rebind };

RC_GTEST_PROP(Events, in_any_order_leave_nobody_waiting_and_nobody_told_in_vain, ()) {
    const bool event_index = *rc::gen::arbitrary<bool>();
    const auto size = *rc::gen::element<std::uint32_t>(1, 2, 8);
    const auto start = *rc::gen::element<std::uint16_t>(0, 1, 32766, 65530, 65535);
    QueueWorld world({.size = size, .event_index = event_index, .start = start});
    for (std::uint32_t i = 0; i < size; ++i) {
        world.ring.set_descriptor(i, QueueWorld::data + i, 1, write_flag);
    }

    // The model: queues of heads, and what either side has asked for.
    std::deque<std::uint16_t> free, offered, available, popped, pushed;
    for (std::uint16_t i = 0; i < size; ++i) {
        free.push_back(i);
    }
    enum class Kicks { wanted, unwanted, open } kicks = event_index ? Kicks::unwanted : Kicks::open;
    std::uint16_t used_index = start;
    std::uint16_t wish = 0;
    bool calls_by_flags = true;
    bool told_once = false;

    const auto events = *rc::gen::resize(
        400, rc::gen::container<std::vector<Event>>(rc::gen::element(
                 Event::offer, Event::offer, Event::publish_available, Event::publish_available, Event::pop, Event::pop,
                 Event::push, Event::push, Event::publish_used, Event::publish_used, Event::arm, Event::disarm,
                 Event::look, Event::wish, Event::rebind)));
    for (const Event event : events) {
        switch (event) {
            case Event::offer:
                if (!free.empty()) {
                    offered.push_back(free.front());
                    world.ring.offer(free.front());
                    free.pop_front();
                }
                break;
            case Event::publish_available: {
                const bool something = !offered.empty();
                const bool kicked = world.ring.publish();
                if (something && kicks == Kicks::wanted) {
                    RC_ASSERT(kicked);
                    kicks = event_index ? Kicks::unwanted : Kicks::wanted;
                } else if (something && kicks == Kicks::unwanted) {
                    RC_ASSERT(!kicked);
                }
                available.insert(available.end(), offered.begin(), offered.end());
                offered.clear();
                break;
            }
            case Event::pop: {
                const auto result = world.pop();
                RC_ASSERT(result == (available.empty() ? PopResult::empty : PopResult::chain));
                if (result == PopResult::chain) {
                    RC_ASSERT(world.chain.head == available.front());
                    popped.push_back(available.front());
                    available.pop_front();
                }
                break;
            }
            case Event::push:
                if (!popped.empty()) {
                    world.queue.push(popped.back(), popped.back());
                    pushed.push_back(popped.back());
                    popped.pop_back();
                }
                break;
            case Event::publish_used: {
                const bool called = world.queue.publish();
                bool expected = false;
                if (!pushed.empty()) {
                    expected = event_index ? !std::exchange(told_once, true) : calls_by_flags;
                }
                for (const auto head : pushed) {
                    expected = expected || (event_index && used_index == wish);
                    ++used_index;
                    free.push_back(head);
                }
                RC_ASSERT(called == expected);
                const auto came = world.ring.take_used();
                RC_ASSERT(came.size() == pushed.size());
                for (const UsedEntry& entry : came) {
                    RC_ASSERT(entry.id == pushed.front());
                    RC_ASSERT(entry.length == pushed.front());
                    pushed.pop_front();
                }
                break;
            }
            case Event::arm: {
                const bool armed = world.queue.arm();
                RC_ASSERT(armed == available.empty());
                kicks = armed ? Kicks::wanted : Kicks::unwanted;
                break;
            }
            case Event::disarm:
                world.queue.disarm();
                kicks = Kicks::unwanted;
                break;
            case Event::look:
                RC_ASSERT(world.queue.has_available() == !available.empty());
                RC_ASSERT((world.queue.available() == 0) == available.empty());
                break;
            case Event::wish:
                wish = static_cast<std::uint16_t>(used_index + *rc::gen::inRange(-2, 6));
                calls_by_flags = *rc::gen::arbitrary<bool>();
                world.ring.set_available_flags(calls_by_flags ? 0 : 1);
                if (event_index) {
                    world.ring.set_used_event(wish);
                }
                break;
            case Event::rebind:
                // Nothing popped from the old map may be in use: here nobody looks into the buffers.
                RC_ASSERT(world.queue.rebind(world.ram.map()).has_value());
                break;
        }
        RC_ASSERT(world.queue.in_flight() == popped.size());
        RC_ASSERT(!world.queue.broken());
    }
}

}  // namespace
}  // namespace sidecore::test
