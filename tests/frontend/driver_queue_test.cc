// SPDX-License-Identifier: Apache-2.0
#include "frontend/driver_queue.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ostream>
#include <poll.h>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/device_side.hh"
#include "frontend/queue_pair.hh"

namespace sidecore::frontend {
namespace {

using test::DeviceSide;
using test::Pair;
using namespace std::chrono_literals;

class EverySize : public testing::TestWithParam<std::uint16_t> {};

TEST_P(EverySize, AreasAreAlignedAndEmpty) {
    const std::uint16_t size = GetParam();
    Pair pair({.size = size});
    const SplitRing& ring = pair.queue.ring();
    EXPECT_EQ(ring.descriptor_area().size, 16U * size);
    EXPECT_EQ(ring.available_area().size, 6U + 2U * size);
    EXPECT_EQ(ring.used_area().size, 6U + 8U * size);
    EXPECT_EQ(ring.descriptor_area().address.value % 16, 0U);
    EXPECT_EQ(ring.available_area().address.value % 2, 0U);
    EXPECT_EQ(ring.used_area().address.value % 4, 0U);
    EXPECT_EQ(pair.device.available_index(), 0);
    EXPECT_EQ(pair.device.used_index(), 0);
    EXPECT_EQ(pair.queue.free_descriptors(), size);
}

TEST_P(EverySize, GoesRoundTwiceWithEveryDescriptor) {
    const std::uint16_t size = GetParam();
    Pair pair({.size = size});
    std::vector<std::uint16_t> heads;
    for (unsigned i = 0; i < size; ++i) {
        heads.push_back(pair.format_one());
    }
    const Piece piece{};
    EXPECT_FALSE(pair.queue.format(std::span(&piece, 1))) << "all descriptors are taken";
    std::vector<Used> used(size);
    for (unsigned lap = 0; lap < 2; ++lap) {
        for (const std::uint16_t head : heads) {
            pair.queue.offer(head);
        }
        pair.queue.publish();
        EXPECT_EQ(pair.queue.in_flight(), size);
        for (unsigned i = 0; i < size; ++i) {
            const auto index = static_cast<std::uint16_t>(lap * size + i);
            EXPECT_EQ(pair.device.available_entry(index), heads[i]);
            pair.device.use(heads[size - 1 - i], i % 101);
        }
        ASSERT_EQ(pair.queue.reap(used), size) << pair.queue.violation();
        for (unsigned i = 0; i < size; ++i) {
            EXPECT_EQ(used[i].head, heads[size - 1 - i]);
            EXPECT_EQ(used[i].length, i % 101);
        }
    }
    EXPECT_EQ(pair.queue.statistics().requests, 2U * size);
    EXPECT_EQ(pair.queue.statistics().used, 2U * size);
    EXPECT_EQ(pair.queue.statistics().publications, 2U);
}

INSTANTIATE_TEST_SUITE_P(Sizes, EverySize, testing::Values(1, 2, 4, 128, 256, 1024, 32768),
                         [](const auto& test) { return std::to_string(test.param); });

TEST(DriverQueue, SizesThatNoSplitRingHasAreRefused) {
    auto memory = *GuestMemoryFile::create(1U << 20U);
    for (const std::uint16_t size : std::array<std::uint16_t, 5>{0, 3, 255, 32769, 65535}) {
        const auto queue = DriverQueue::create(memory, {.size = size});
        ASSERT_FALSE(queue) << size;
        EXPECT_EQ(queue.error().kind, ErrorKind::invalid_argument);
    }
}

TEST(DriverQueue, DirectChainIsTheBytesOfTheSpecification) {
    Pair pair({.size = 4});
    const std::array pieces{Piece{.address = {0x1122334455667788}, .length = 16, .device_writable = false},
                            Piece{.address = {0x5000}, .length = 0x10203, .device_writable = true},
                            Piece{.address = {0x9000}, .length = 1, .device_writable = true}};
    ASSERT_EQ(pair.queue.format(pieces), 0);
    EXPECT_EQ(pair.queue.free_descriptors(), 1);
    constexpr std::array<std::uint8_t, 48> expected{
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 16,   0,    0,    0, 1, 0, 1, 0,  // NEXT
        0x00, 0x50, 0,    0,    0,    0,    0,    0,    0x03, 0x02, 0x01, 0, 3, 0, 2, 0,  // NEXT | WRITE
        0x00, 0x90, 0,    0,    0,    0,    0,    0,    1,    0,    0,    0, 2, 0, 0, 0,  // WRITE
    };
    EXPECT_EQ(std::memcmp(pair.queue.ring().descriptor_area().host, expected.data(), expected.size()), 0);
    EXPECT_EQ(pair.device.available_index(), 0) << "formatting alone shows the device nothing";
}

TEST(DriverQueue, IndirectChainTakesOneDescriptor) {
    Pair pair({.size = 4});
    const GuestBuffer table = *pair.memory.allocate(64, 16);
    const std::array pieces{Piece{.address = {0x5000}, .length = 16, .device_writable = false},
                            Piece{.address = {0x6000}, .length = 512, .device_writable = true},
                            Piece{.address = {0x7000}, .length = 1, .device_writable = true}};
    const auto head = pair.queue.format({}, pieces, table);
    ASSERT_EQ(head, 0);
    EXPECT_EQ(pair.queue.free_descriptors(), 3);
    const DeviceSide::Buffer outer = pair.device.descriptor(0);
    EXPECT_EQ(outer.address, table.address.value);
    EXPECT_EQ(outer.length, 48U);
    EXPECT_EQ(outer.flags, 4) << "INDIRECT alone";
    const auto chain = pair.device.chain(0);
    ASSERT_EQ(chain.size(), 3U);
    EXPECT_EQ(chain[0].address, 0x5000U);
    EXPECT_EQ(chain[0].flags, 1);
    EXPECT_EQ(chain[0].next, 1);
    EXPECT_EQ(chain[1].flags, 3);
    EXPECT_EQ(chain[1].next, 2);
    EXPECT_EQ(chain[2].flags, 2);
    EXPECT_EQ(chain[2].length, 1U);
}

TEST(DriverQueue, DirectPiecesMayComeBeforeATable) {
    Pair pair({.size = 4});
    const GuestBuffer table = *pair.memory.allocate(64, 16);
    const std::array pieces{Piece{.address = {0x5000}, .length = 16, .device_writable = false},
                            Piece{.address = {0x6000}, .length = 512, .device_writable = true}};
    const std::span all(pieces);
    ASSERT_EQ(pair.queue.format(all.first(1), all.last(1), table), 0);
    EXPECT_EQ(pair.device.descriptor(0).flags, 1);
    EXPECT_EQ(pair.device.descriptor(0).next, 1);
    EXPECT_EQ(pair.device.descriptor(1).flags, 4);
    const auto chain = pair.device.chain(0);
    ASSERT_EQ(chain.size(), 2U);
    EXPECT_EQ(chain[1].address, 0x6000U);
}

TEST(DriverQueue, ReleasedDescriptorsComeBack) {
    Pair pair({.size = 8});
    const std::array<Piece, 3> pieces{};
    const auto first = pair.queue.format(pieces);
    const auto second = pair.queue.format(pieces);
    ASSERT_TRUE(first && second);
    EXPECT_FALSE(pair.queue.format(pieces));
    pair.queue.release(*first);
    EXPECT_EQ(pair.queue.free_descriptors(), 5);
    EXPECT_EQ(pair.queue.format(pieces), first);
    pair.queue.release(*first);
    pair.queue.release(*second);
    std::vector<bool> seen(8);
    for (unsigned i = 0; i < 8; ++i) {
        seen.at(pair.format_one()) = true;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 8);
}

TEST(DriverQueue, NothingIsVisibleBeforeItIsPublished) {
    Pair pair({.size = 8, .first_index = 65534});
    EXPECT_EQ(pair.device.available_index(), 65534);
    EXPECT_FALSE(pair.queue.publish()) << "nothing was offered";
    std::array<std::uint16_t, 3> heads{};
    for (std::uint16_t& head : heads) {
        head = pair.format_one();
        pair.queue.offer(head);
    }
    EXPECT_EQ(pair.device.available_index(), 65534);
    pair.queue.publish();
    EXPECT_EQ(pair.device.available_index(), 1) << "65534 + 3, in 16 bits";
    EXPECT_EQ(pair.device.available_entry(65534), heads[0]);
    EXPECT_EQ(pair.device.available_entry(65535), heads[1]);
    EXPECT_EQ(pair.device.available_entry(0), heads[2]);
    EXPECT_EQ(pair.queue.in_flight(), 3);

    pair.device.set_used_index(65534);
    pair.device.use(heads[2], 0);
    pair.device.use(heads[0], 0);
    pair.device.use(heads[1], 0);
    std::array<Used, 2> used{};
    ASSERT_EQ(pair.queue.reap(used), 2U) << "no more than asked for";
    EXPECT_EQ(used[0].head, heads[2]);
    EXPECT_EQ(used[1].head, heads[0]);
    EXPECT_TRUE(pair.queue.has_used());
    ASSERT_EQ(pair.queue.reap(used), 1U);
    EXPECT_EQ(used[0].head, heads[1]);
    EXPECT_FALSE(pair.queue.has_used());
    EXPECT_EQ(pair.queue.in_flight(), 0);
}

TEST(DriverQueue, WithoutEventIndexTheDevicesFlagDecidesAboutKicks) {
    Pair pair({.size = 8, .event_index = false});
    // Where avail_event would lie there is something that would ask for none.
    pair.device.set_available_event(1000);
    pair.queue.offer(pair.format_one());
    EXPECT_TRUE(pair.queue.publish());
    EXPECT_TRUE(pair.kicked());

    pair.device.set_used_flags(1);
    pair.queue.offer(pair.format_one());
    pair.queue.offer(pair.format_one());
    EXPECT_FALSE(pair.queue.publish());
    EXPECT_FALSE(pair.kicked());

    pair.device.set_used_flags(0);
    pair.queue.offer(pair.format_one());
    EXPECT_TRUE(pair.queue.publish());
    EXPECT_EQ(pair.queue.statistics().kicks_sent, 2U);
    EXPECT_EQ(pair.queue.statistics().kicks_suppressed, 1U);
    EXPECT_EQ(pair.queue.statistics().requests, 4U);
}

struct EventCase {
    std::uint16_t first;  ///< available index before
    unsigned count;       ///< chains published at once
    std::uint16_t event;  ///< avail_event
    bool kick;
};

class EventIndex : public testing::TestWithParam<EventCase> {};

TEST_P(EventIndex, KickWhenTheIndexGoesOverTheEvent) {
    const EventCase& test = GetParam();
    Pair pair({.size = 8, .first_index = test.first});
    pair.device.set_used_flags(1);  // to be ignored
    pair.device.set_available_event(test.event);
    for (unsigned i = 0; i < test.count; ++i) {
        pair.queue.offer(pair.format_one());
    }
    EXPECT_EQ(pair.queue.publish(), test.kick);
    EXPECT_EQ(pair.kicked(), test.kick);
    EXPECT_EQ(pair.queue.statistics().kicks_sent, test.kick ? 1U : 0U);
}

// "If the idx field in the available ring (which determined where that descriptor index was placed) was equal to
// avail_event, the driver MUST send a notification": indexes first to first + count - 1 were used for placing.
INSTANTIATE_TEST_SUITE_P(Cases, EventIndex,
                         testing::Values(EventCase{0, 1, 0, true}, EventCase{0, 1, 1, false},
                                         EventCase{0, 1, 65535, false}, EventCase{0, 3, 2, true},
                                         EventCase{0, 3, 3, false}, EventCase{5, 4, 5, true}, EventCase{5, 4, 4, false},
                                         EventCase{65534, 4, 65534, true}, EventCase{65534, 4, 65535, true},
                                         EventCase{65534, 4, 0, true}, EventCase{65534, 4, 1, true},
                                         EventCase{65534, 4, 2, false}, EventCase{65534, 4, 65533, false},
                                         EventCase{65535, 1, 65535, true}, EventCase{65535, 1, 0, false},
                                         EventCase{40000, 8, 7232, false}));

TEST(DriverQueue, CallsAreSuppressedByFlag) {
    Pair pair({.size = 8, .event_index = false});
    EXPECT_EQ(pair.device.available_flags(), 0);
    pair.queue.suppress_calls();
    EXPECT_EQ(pair.device.available_flags(), 1);
    EXPECT_FALSE(pair.queue.request_calls());
    EXPECT_EQ(pair.device.available_flags(), 0);
}

TEST(DriverQueue, CallsAreAskedForByIndex) {
    Pair pair({.size = 8});
    EXPECT_EQ(pair.device.used_event(), 0) << "a call for the first chain";
    const std::uint16_t head = pair.format_one();
    pair.queue.offer(head);
    pair.queue.publish();
    pair.device.use(head, 0);
    EXPECT_TRUE(pair.queue.request_calls()) << "it came before the wish, perhaps without a call";
    std::array<Used, 1> used{};
    ASSERT_EQ(pair.queue.reap(used), 1U);
    EXPECT_FALSE(pair.queue.request_calls());
    EXPECT_EQ(pair.device.used_event(), 1);
    EXPECT_EQ(pair.device.available_flags(), 0) << "MUST be 0 with EVENT_IDX";
}

TEST(DriverQueue, SuppressionHoldsForEver) {
    Pair pair({.size = 256});
    pair.queue.suppress_calls();
    EXPECT_EQ(pair.device.available_flags(), 0);
    std::vector<std::uint16_t> heads(256);
    std::generate(heads.begin(), heads.end(), [&pair] { return pair.format_one(); });
    std::vector<Used> used(256);
    std::mt19937 random(1);
    for (unsigned lap = 0; lap < 1500; ++lap) {
        const std::size_t count = 1 + random() % heads.size();
        for (std::size_t i = 0; i < count; ++i) {
            pair.queue.offer(heads[i]);
        }
        pair.queue.publish();
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_NE(pair.device.used_event(), pair.device.used_index()) << "the device would have to call";
            pair.device.use(heads[i], 0);
        }
        ASSERT_EQ(pair.queue.reap(used), count);
    }
    EXPECT_GT(pair.queue.statistics().used, 2U * 65536U);
}

TEST(DriverQueue, CallsAreCounted) {
    Pair pair({.size = 8});
    EXPECT_FALSE(pair.queue.wait_for_call(0ms));
    signal_eventfd(pair.queue.call_fd());
    signal_eventfd(pair.queue.call_fd());
    EXPECT_TRUE(pair.queue.wait_for_call(1s));
    EXPECT_EQ(pair.queue.statistics().calls_received, 2U);
    EXPECT_FALSE(pair.queue.wait_for_call(0ms));
    EXPECT_FALSE(pair.queue.wait_for_used(1ms));
}

struct Violation {
    std::string name;
    std::uint16_t index_ahead;  ///< used index moves this far
    std::uint32_t id;
    std::uint32_t length;

    friend void PrintTo(const Violation& test, std::ostream* out) { *out << test.name; }
};

class BadDevice : public testing::TestWithParam<Violation> {};

TEST_P(BadDevice, IsFoundOut) {
    Pair pair({.size = 8});
    const std::uint16_t head = pair.format_one();
    pair.format_one();  // descriptor 1: formatted, never offered
    pair.queue.offer(head);
    pair.queue.publish();
    pair.device.set_used_entry(0, GetParam().id, GetParam().length);
    pair.device.set_used_index(GetParam().index_ahead);
    std::array<Used, 8> used{};
    EXPECT_EQ(pair.queue.reap(used), 0U);
    EXPECT_FALSE(pair.queue.violation().empty());
    // Mending it does not help any more.
    pair.device.set_used_entry(0, head, 0);
    pair.device.set_used_index(1);
    EXPECT_EQ(pair.queue.reap(used), 0U);
    pair.queue.reset();
    EXPECT_TRUE(pair.queue.violation().empty());
    EXPECT_EQ(pair.queue.free_descriptors(), 8);
}

INSTANTIATE_TEST_SUITE_P(Kinds, BadDevice,
                         testing::Values(Violation{"MoreThanOffered", 2, 0, 0}, Violation{"Backwards", 65535, 0, 0},
                                         Violation{"NoSuchDescriptor", 1, 8, 0},
                                         Violation{"HugeDescriptor", 1, 0x1'0000, 0},
                                         Violation{"NeverOffered", 1, 1, 0}, Violation{"TooLong", 1, 0, 101}),
                         [](const auto& test) { return test.param.name; });

TEST(DriverQueue, AChainUsedTwiceIsFoundOut) {
    Pair pair({.size = 8});
    const std::uint16_t first = pair.format_one();
    const std::uint16_t second = pair.format_one();
    pair.queue.offer(first);
    pair.queue.offer(second);
    pair.queue.publish();
    pair.device.use(first, 100);
    pair.device.use(first, 100);
    std::array<Used, 8> used{};
    EXPECT_EQ(pair.queue.reap(used), 1U) << "the first time was right";
    EXPECT_EQ(used[0].head, first);
    EXPECT_NE(pair.queue.violation().find("no offered head"), std::string::npos) << pair.queue.violation();
}

}  // namespace
}  // namespace sidecore::frontend
