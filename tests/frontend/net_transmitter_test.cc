// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_transmitter.hh"

#include <algorithm>
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

struct TransmitBench {
    explicit TransmitBench(const NetTransmitter::Options& options = {}, const NetDevice::Options& device_options = {},
                           std::uint64_t features = modern)
        : memory(*GuestMemoryFile::create((4U << 20U) + NetTransmitter::memory_needed(options))),
          receive_queue(*DriverQueue::create(memory, {.size = 64})),
          queue(*DriverQueue::create(memory, {.size = 64})),
          transmitter(*NetTransmitter::create(memory, queue, features, options)),
          device(memory, {{.receive = &receive_queue, .transmit = &queue}}, nullptr, device_options) {}

    GuestMemoryFile memory;
    DriverQueue receive_queue;
    DriverQueue queue;
    NetTransmitter transmitter;
    NetDevice device;
};

TEST(NetTransmitter, HeaderAndFrameArrive) {
    TransmitBench bench;
    const auto frame = frame_of(1514);
    const NetHeader header{.flags = 1,
                           .gso_type = 1,
                           .header_length = std::uint16_t{54},
                           .gso_size = std::uint16_t{1000},
                           .csum_start = std::uint16_t{34},
                           .csum_offset = std::uint16_t{16}};
    const auto sent = bench.transmitter.send({.frame = frame, .header = header});
    ASSERT_TRUE(sent) << sent.error().message;
    const auto seen = bench.device.transmitted();
    ASSERT_EQ(seen.size(), 1U);
    ASSERT_EQ(seen[0].buffers.size(), 2U) << "header, frame";
    EXPECT_EQ(seen[0].buffers[0].length, 12U);
    EXPECT_FALSE(seen[0].buffers[1].writable());
    constexpr std::array<unsigned, 12> bytes{1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, 0, 0};
    ASSERT_EQ(seen[0].bytes.size(), 12U + 1514U);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        EXPECT_EQ(std::to_integer<unsigned>(seen[0].bytes[i]), bytes.at(i)) << i;
    }
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), seen[0].bytes.begin() + 12));
    EXPECT_EQ(bench.transmitter.in_flight(), 0U);
    EXPECT_EQ(bench.queue.free_descriptors(), 64);
}

struct TransmitLayoutCase {
    std::string name;
    NetLayout layout;
    std::vector<std::uint32_t> lengths;  ///< of the buffers of a frame of 100 bytes
    std::uint16_t descriptors;           ///< of the ring's own table

    friend void PrintTo(const TransmitLayoutCase& test, std::ostream* out) { *out << test.name; }
};

class TransmitLayouts : public testing::TestWithParam<TransmitLayoutCase> {};

TEST_P(TransmitLayouts, CarryTheSameFrame) {
    TransmitBench bench;
    const TransmitLayoutCase& test = GetParam();
    const auto frame = frame_of(100, 5);
    ASSERT_TRUE(bench.transmitter.submit({.frame = frame, .layout = test.layout}));
    EXPECT_EQ(64 - bench.queue.free_descriptors(), test.descriptors);
    const auto drained = bench.transmitter.drain();
    ASSERT_TRUE(drained) << drained.error().message;
    const auto seen = bench.device.transmitted();
    ASSERT_EQ(seen.size(), 1U);
    std::vector<std::uint32_t> lengths;
    for (const auto& buffer : seen[0].buffers) {
        lengths.push_back(buffer.length);
        EXPECT_EQ(buffer.address % test.layout.placement.alignment, test.layout.placement.shift);
    }
    EXPECT_EQ(lengths, test.lengths);
    ASSERT_EQ(seen[0].bytes.size(), 112U);
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), seen[0].bytes.begin() + 12));
}

using Cuts = std::vector<std::uint32_t>;
INSTANTIATE_TEST_SUITE_P(
    Layouts, TransmitLayouts,
    testing::Values(TransmitLayoutCase{"HeaderApart", {}, {12, 100}, 2},
                    TransmitLayoutCase{"InOne", {.cuts = Cuts{112}}, {112}, 1},
                    TransmitLayoutCase{"HeaderSplit", {.cuts = Cuts{1, 9, 2}}, {1, 9, 2, 100}, 4},
                    TransmitLayoutCase{"HeaderWithSomeData", {.cuts = Cuts{26}}, {26, 86}, 2},
                    TransmitLayoutCase{"Indirect", {.indirect = true}, {12, 100}, 1},
                    TransmitLayoutCase{"IndirectBehindDirect", {.indirect = true, .direct_pieces = 1}, {12, 100}, 2},
                    TransmitLayoutCase{
                        "IndirectMany", {.cuts = Cuts(112, 1), .indirect = true, .direct_pieces = 0}, Cuts(112, 1), 1},
                    TransmitLayoutCase{
                        "OddAddresses", {.cuts = Cuts{13}, .placement = {.alignment = 2, .shift = 1}}, {13, 99}, 2}),
    [](const auto& test) { return test.param.name; });

TEST(NetTransmitter, ALegacyHeaderIsShorter) {
    TransmitBench bench({}, {.header_bytes = 10}, 0);
    ASSERT_TRUE(bench.transmitter.send({.frame = frame_of(60)}));
    const auto seen = bench.device.transmitted();
    ASSERT_EQ(seen[0].buffers.size(), 2U);
    EXPECT_EQ(seen[0].buffers[0].length, 10U);
}

TEST(NetTransmitter, AHeaderMayBeCutShort) {
    TransmitBench bench;
    ASSERT_TRUE(bench.transmitter.send({.frame = {}, .header_bytes = 5}));
    EXPECT_EQ(bench.device.transmitted().at(0).bytes.size(), 5U);
}

TEST(NetTransmitter, ABatchIsAsLongAsThereIsRoom) {
    TransmitBench bench({.slots = 8}, {.silent = true});
    std::vector<std::vector<std::byte>> frames;
    std::vector<NetOutgoing> batch;
    for (unsigned i = 0; i < 12; ++i) {
        frames.push_back(frame_of(60, i));
    }
    for (const auto& frame : frames) {
        batch.push_back({.frame = frame});
    }
    const auto sent = bench.transmitter.send_batch(batch);
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(*sent, 8U);
    EXPECT_EQ(bench.queue.statistics().publications, 1U) << "all at once";
    const auto none = bench.transmitter.send_batch(std::span(batch).subspan(8));
    ASSERT_TRUE(none) << none.error().message;
    EXPECT_EQ(*none, 0U);
    EXPECT_EQ(bench.transmitter.in_flight(), 8U);
}

TEST(NetTransmitter, BatchesFollowEachOther) {
    TransmitBench bench({.slots = 4});
    std::vector<std::vector<std::byte>> frames;
    for (unsigned i = 0; i < 50; ++i) {
        frames.push_back(frame_of(60 + i, i));
    }
    std::vector<NetOutgoing> batch;
    for (const auto& frame : frames) {
        batch.push_back({.frame = frame});
    }
    std::size_t done = 0;
    while (done < batch.size()) {
        const auto sent = bench.transmitter.send_batch(std::span(batch).subspan(done));
        ASSERT_TRUE(sent) << sent.error().message;
        done += *sent;
    }
    ASSERT_TRUE(bench.transmitter.drain());
    const auto seen = bench.device.transmitted();
    ASSERT_EQ(seen.size(), 50U);
    for (std::size_t i = 0; i < 50; ++i) {
        EXPECT_TRUE(std::equal(frames[i].begin(), frames[i].end(), seen[i].bytes.begin() + 12, seen[i].bytes.end()));
    }
}

TEST(NetTransmitter, ADeviceThatWritesIsFoundOut) {
    TransmitBench bench({}, {.spoil_transmitted = true});
    const auto sent = bench.transmitter.send({.frame = frame_of(60)});
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, ErrorKind::protocol_violation);
    EXPECT_NE(sent.error().message.find("may only read"), std::string::npos) << sent.error().message;
}

TEST(NetTransmitter, ADeviceThatSaysThatItWroteIsFoundOut) {
    TransmitBench bench({}, {.transmitted_length = 1});
    const auto sent = bench.transmitter.send({.frame = frame_of(60)});
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, ErrorKind::protocol_violation);
}

TEST(NetTransmitter, ADeviceThatSaysNothingIsGivenUp) {
    TransmitBench bench({.timeout = 20ms}, {.silent = true});
    const auto sent = bench.transmitter.send({.frame = frame_of(60)});
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, ErrorKind::timed_out);
}

TEST(NetTransmitter, WhatDoesNotFitIsRefused) {
    TransmitBench bench({.slots = 2, .bytes_per_slot = 2048}, {});
    const auto big = bench.transmitter.send({.frame = frame_of(2048)});
    ASSERT_FALSE(big);
    EXPECT_EQ(big.error().kind, ErrorKind::out_of_range);
    const auto wrong = bench.transmitter.send({.frame = frame_of(10), .layout = {.cuts = Cuts{23}}});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().kind, ErrorKind::invalid_argument);
    const std::vector frame = frame_of(3000);
    const std::array batch{NetOutgoing{.frame = frame}};
    EXPECT_FALSE(bench.transmitter.send_batch(batch)) << "it will never fit: an error, not a batch of nothing";
    EXPECT_TRUE(bench.transmitter.send({.frame = frame_of(60)})) << "the slots are still there";
}

}  // namespace
}  // namespace sidecore::frontend
