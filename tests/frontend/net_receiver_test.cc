// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_receiver.hh"

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/net_device.hh"
#include "frontend/net_pattern.hh"

namespace sidecore::frontend {
namespace {

using test::frame_of;
using test::NetDevice;
using namespace std::chrono_literals;

constexpr std::uint64_t modern = 1ULL << 32U;
constexpr std::uint64_t merging = modern | 1ULL << 15U;

struct ReceiveBench {
    explicit ReceiveBench(std::uint64_t features, const NetReceiver::Options& options = {},
                          const QueueOptions& queue_options = {.size = 64})
        : memory(*GuestMemoryFile::create((4U << 20U) + NetReceiver::memory_needed(options, features))),
          queue(*DriverQueue::create(memory, queue_options)),
          transmit_queue(*DriverQueue::create(memory, {.size = 64})),
          receiver(*NetReceiver::create(memory, queue, features, options)),
          device(memory, {{.receive = &queue, .transmit = &transmit_queue}}, nullptr,
                 {.header_bytes = net_header_bytes(features)}) {
        queue.publish();
    }

    GuestMemoryFile memory;
    DriverQueue queue;
    DriverQueue transmit_queue;
    NetReceiver receiver;
    NetDevice device;
};

struct ReceiveCase {
    std::string name;
    std::uint64_t features;
    NetReceiver::Options options;
    std::size_t frame_bytes;
    std::uint16_t buffers;  ///< that the frame takes

    friend void PrintTo(const ReceiveCase& test, std::ostream* out) { *out << test.name; }
};

class ReceiveLayouts : public testing::TestWithParam<ReceiveCase> {};

TEST_P(ReceiveLayouts, FramesComeWhole) {
    const ReceiveCase& test = GetParam();
    ReceiveBench bench(test.features, test.options);
    // Three rounds of the ring.
    for (unsigned i = 0; i < 200; ++i) {
        const auto frame = frame_of(test.frame_bytes, i);
        ASSERT_TRUE(bench.device.deliver(frame)) << i;
        const auto received = bench.receiver.receive();
        ASSERT_TRUE(received) << received.error().message;
        EXPECT_EQ(received->buffers, test.buffers);
        ASSERT_EQ(received->frame, frame) << i;
    }
    EXPECT_EQ(bench.receiver.offered(), bench.receiver.buffers());
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, ReceiveLayouts,
    testing::Values(ReceiveCase{"OneBuffer", modern, {}, 1514, 1},
                    ReceiveCase{"HeaderApart", modern, {.cuts = {12}}, 1514, 1},
                    ReceiveCase{"HeaderSplit", modern, {.cuts = {3, 5}}, 60, 1},
                    ReceiveCase{"Indirect", modern, {.cuts = {12, 100}, .indirect = true}, 1000, 1},
                    ReceiveCase{"OddAddresses", modern, {.placement = {.alignment = 2, .shift = 1}}, 700, 1},
                    ReceiveCase{"Big", modern | 2U | 1U << 8U, {.buffers = 8}, 65589, 1},
                    ReceiveCase{"BigInPages",
                                modern | 2U | 1U << 8U,
                                {.buffers = 8, .cuts = std::vector<std::uint32_t>(16, 4096)},
                                65589,
                                1},
                    ReceiveCase{"Legacy", 0, {}, 1514, 1}, ReceiveCase{"LegacyMerged", 1U << 15U, {}, 4000, 3},
                    ReceiveCase{"MergedInOne", merging, {}, 1514, 1},
                    ReceiveCase{"MergedJustFull", merging, {.buffer_bytes = 100}, 188, 2},
                    ReceiveCase{"MergedOneByteMore", merging, {.buffer_bytes = 100}, 189, 3},
                    ReceiveCase{"MergedHeaderAlone", merging, {.buffer_bytes = 12}, 60, 6},
                    ReceiveCase{"MergedBig", merging, {}, 65589, 43}),
    [](const auto& test) { return test.param.name; });

TEST(NetReceiver, TellsTheHeader) {
    ReceiveBench bench(modern | 1ULL << 1U | 1ULL << 7U);
    NetDevice::Delivery how;
    how.header = {std::byte{1},  std::byte{1}, std::byte{54}, std::byte{0}, std::byte{0xb4}, std::byte{5},
                  std::byte{34}, std::byte{0}, std::byte{16}, std::byte{0}, std::byte{0},    std::byte{0}};
    ASSERT_TRUE(bench.device.deliver(frame_of(2000), how));
    const auto received = bench.receiver.receive();
    ASSERT_TRUE(received) << received.error().message;
    EXPECT_EQ(received->header.flags, NetHeader::flag_needs_csum);
    EXPECT_EQ(received->header.gso_type, NetHeader::gso_tcp4);
    EXPECT_EQ(received->header.header_length, 54);
    EXPECT_EQ(received->header.gso_size, 1460);
    EXPECT_EQ(received->header.csum_start, 34);
    EXPECT_EQ(received->header.csum_offset, 16);
    EXPECT_EQ(received->header.buffers, 1);
}

TEST(NetReceiver, IndexesWrap) {
    ReceiveBench bench(merging, {.buffers = 8, .buffer_bytes = 64}, {.size = 16, .first_index = 65530});
    for (unsigned i = 0; i < 40; ++i) {
        const auto frame = frame_of(150, i);
        ASSERT_TRUE(bench.device.deliver(frame));
        const auto received = bench.receiver.receive();
        ASSERT_TRUE(received) << received.error().message;
        EXPECT_EQ(received->frame, frame);
        EXPECT_EQ(received->buffers, 3);
    }
}

TEST(NetReceiver, HasAsManyBuffersAsTheQueueHolds) {
    ReceiveBench bench(modern, {.buffers = 64, .cuts = {12, 500}});
    EXPECT_EQ(bench.receiver.buffers(), 21U) << "64 descriptors, three each";
    ReceiveBench indirect(modern, {.buffers = 64, .cuts = {12, 500}, .indirect = true});
    EXPECT_EQ(indirect.receiver.buffers(), 64U);
}

TEST(NetReceiver, BuffersAreOfferedWhenTheTestWants) {
    ReceiveBench bench(modern, {.buffers = 4, .refill = false});
    EXPECT_FALSE(bench.device.deliver(frame_of(60))) << "nothing is offered";
    EXPECT_EQ(bench.receiver.fill(2), 2U);
    EXPECT_EQ(bench.receiver.offered(), 2U);
    EXPECT_TRUE(bench.device.deliver(frame_of(60)));
    EXPECT_TRUE(bench.device.deliver(frame_of(61)));
    EXPECT_FALSE(bench.device.deliver(frame_of(62)));
    EXPECT_EQ(bench.receiver.receive()->frame.size(), 60U);
    EXPECT_EQ(bench.receiver.receive()->frame.size(), 61U);
    EXPECT_EQ(bench.receiver.offered(), 0U);
    EXPECT_EQ(bench.receiver.fill(), 4U);
    EXPECT_TRUE(bench.device.deliver(frame_of(63)));
    EXPECT_EQ(bench.receiver.receive()->frame.size(), 63U);
}

TEST(NetReceiver, SilenceIsNoFrame) {
    ReceiveBench bench(modern);
    const auto none = bench.receiver.try_receive();
    ASSERT_TRUE(none);
    EXPECT_FALSE(none->has_value());
    const auto late = bench.receiver.receive(5ms);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, ErrorKind::timed_out);
}

struct WrongCase {
    std::string name;
    std::uint64_t features;
    NetDevice::Delivery delivery;
    std::size_t frame_bytes;  ///< in buffers of 200 bytes
    std::string message;      ///< part of it

    friend void PrintTo(const WrongCase& test, std::ostream* out) { *out << test.name; }
};

NetDevice::Delivery with_header(std::initializer_list<unsigned> first) {
    NetDevice::Delivery delivery;
    std::size_t at = 0;
    for (const unsigned byte : first) {
        delivery.header[at++] = static_cast<std::byte>(byte);
    }
    return delivery;
}

class WrongDevices : public testing::TestWithParam<WrongCase> {};

TEST_P(WrongDevices, AreFoundOut) {
    const WrongCase& test = GetParam();
    ReceiveBench bench(test.features, {.buffers = 8, .buffer_bytes = 200});
    ASSERT_TRUE(bench.device.deliver(frame_of(test.frame_bytes), test.delivery));
    const auto received = bench.receiver.receive();
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().kind, ErrorKind::protocol_violation);
    EXPECT_NE(received.error().message.find(test.message), std::string::npos) << received.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongDevices,
    testing::Values(
        WrongCase{"NoBuffers", merging, {.num_buffers = 0}, 60, "num_buffers is 0"},
        WrongCase{"NoBuffersUnmerged", modern, {.num_buffers = 0}, 60, "num_buffers is 0 without MRG_RXBUF"},
        WrongCase{"TwoUnmerged", modern, {.num_buffers = 2}, 60, "num_buffers is 2 without MRG_RXBUF"},
        WrongCase{"MoreThanUsed", merging, {.num_buffers = 3}, 388, "num_buffers is 3, but only 2 are used"},
        WrongCase{"MoreButNotFull", merging, {.num_buffers = 2}, 60, "buffer 1 of 2 is not full"},
        WrongCase{"GapsBetween", merging, {.room_left = 50}, 300, "buffer 1 of 3 is not full"},
        WrongCase{"LessThanAHeader", modern, {.used_length = 11}, 60, "the used length is 11"},
        WrongCase{"Nothing", modern, {.used_length = 0}, 60, "the used length is 0"},
        WrongCase{"MoreThanTheRoom", modern, {.used_length = 201}, 60, "201 bytes written"},
        WrongCase{"WrittenBehind", modern, {.write_behind = 1}, 60, "wrote behind the last buffer"},
        WrongCase{"FlagsNotNegotiated", modern, with_header({2}), 60, "without GUEST_CSUM"},
        WrongCase{"TypeNotNegotiated", modern | 2U, with_header({1, 1, 0, 0, 9}), 60, "was not negotiated"}),
    [](const auto& test) { return test.param.name; });

TEST(NetReceiver, GoesOnBehindAWrongFrame) {
    ReceiveBench bench(merging, {.buffers = 4, .buffer_bytes = 200});
    NetDevice::Delivery wrong;
    wrong.num_buffers = 0;
    for (unsigned i = 0; i < 10; ++i) {
        ASSERT_TRUE(bench.device.deliver(frame_of(60), wrong));
        EXPECT_FALSE(bench.receiver.receive());
        ASSERT_TRUE(bench.device.deliver(frame_of(300)));
        const auto received = bench.receiver.receive();
        ASSERT_TRUE(received) << received.error().message;
        EXPECT_EQ(received->frame, frame_of(300));
    }
}

}  // namespace
}  // namespace sidecore::frontend
