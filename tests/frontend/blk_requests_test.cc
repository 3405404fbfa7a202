// SPDX-License-Identifier: Apache-2.0
#include "frontend/blk_requests.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/disk_device.hh"

namespace sidecore::frontend {
namespace {

using test::DiskDevice;
using namespace std::chrono_literals;

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>(i * 31 + i / 512 + seed);
    }
    return bytes;
}

/// Memory, a queue, requests on it and a disk behind it.
struct Bench {
    explicit Bench(BlkRequests::Options request_options = {}, DiskDevice::Options device_options = {})
        : memory(*GuestMemoryFile::create(64U << 20U)),
          queue(*DriverQueue::create(memory, {.size = 256})),
          requests(*BlkRequests::create(memory, queue, request_options)),
          device(memory, queue, device_options) {}

    GuestMemoryFile memory;
    DriverQueue queue;
    BlkRequests requests;
    DiskDevice device;
};

TEST(BlkRequests, WhatIsWrittenIsRead) {
    Bench bench;
    const auto data = pattern(4096, 3);
    const auto wrote = bench.requests.write(8, data);
    ASSERT_TRUE(wrote) << wrote.error().message;
    EXPECT_TRUE(std::equal(data.begin(), data.end(), bench.device.disk().begin() + 8 * 512));
    std::vector<std::byte> found(4096);
    const auto read = bench.requests.read(8, found);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(found, data);

    ASSERT_EQ(bench.device.requests().size(), 2U);
    const DiskDevice::Request& request = bench.device.requests()[1];
    EXPECT_EQ(request.type, 0U);
    EXPECT_EQ(request.sector, 8U);
    ASSERT_EQ(request.buffers.size(), 3U) << "header, data, status";
    EXPECT_EQ(request.buffers[0].length, 16U);
    EXPECT_EQ(request.buffers[1].length, 4096U);
    EXPECT_EQ(request.buffers[2].length, 1U);
    EXPECT_FALSE(request.buffers[0].writable());
    EXPECT_TRUE(request.buffers[1].writable());
    EXPECT_EQ(bench.queue.free_descriptors(), 256);
    EXPECT_TRUE(bench.queue.statistics().calls_received != 0 || bench.queue.wait_for_call(10s))
        << "read or still to read";
}

TEST(BlkRequests, EveryTypeHasItsForm) {
    Bench bench;
    std::fill(bench.device.disk().begin(), bench.device.disk().end(), std::byte{1});
    EXPECT_TRUE(bench.requests.flush());
    const auto id = bench.requests.get_id();
    ASSERT_TRUE(id) << id.error().message;
    EXPECT_EQ(*id, "disk of the test");
    const std::array ranges{
        BlkRange{.sector = std::uint64_t{2}, .sectors = std::uint32_t{3}, .flags = std::uint32_t{0}},
        BlkRange{.sector = std::uint64_t{60}, .sectors = std::uint32_t{1}, .flags = blk_range_unmap}};
    EXPECT_TRUE(bench.requests.write_zeroes(ranges));
    EXPECT_TRUE(bench.requests.discard(std::span(ranges).first(1)));

    const auto& seen = bench.device.requests();
    ASSERT_EQ(seen.size(), 4U);
    EXPECT_EQ(seen[0].type, 4U);
    EXPECT_EQ(seen[0].buffers.size(), 2U) << "header, status";
    EXPECT_EQ(seen[1].type, 8U);
    EXPECT_EQ(seen[1].buffers[1].length, 20U);
    EXPECT_EQ(seen[2].type, 13U);
    EXPECT_EQ(seen[2].data.size(), 32U);
    EXPECT_EQ(seen[2].data[28], std::byte{1}) << "unmap of the second range";
    EXPECT_EQ(seen[3].type, 11U);
    const auto& disk = bench.device.disk();
    EXPECT_EQ(disk[1 * 512 + 511], std::byte{1});
    EXPECT_EQ(disk[2 * 512], std::byte{0xdd}) << "zeroed, then discarded";
    EXPECT_EQ(disk[60 * 512], std::byte{0});
    EXPECT_EQ(disk[61 * 512], std::byte{1});
}

TEST(BlkRequests, ABadStatusIsTold) {
    Bench bench;
    std::vector<std::byte> data(1024);
    const auto beyond = bench.requests.read(63, data);
    ASSERT_FALSE(beyond);
    EXPECT_NE(beyond.error().message.find("status 1"), std::string::npos) << beyond.error().message;
    const auto unknown = bench.requests.run({.type = static_cast<BlkType>(99)});
    ASSERT_TRUE(unknown) << unknown.error().message;
    EXPECT_EQ(unknown->status, BlkStatus::unsupported);
    EXPECT_EQ(unknown->used_length, 1U);
}

struct LayoutCase {
    std::string name;
    BlkLayout layout;
    std::size_t read_buffers;   ///< of a read of 1024 bytes
    std::size_t write_buffers;  ///< of a write of 1024 bytes

    friend void PrintTo(const LayoutCase& test, std::ostream* out) { *out << test.name; }
};

class AnyLayout : public testing::TestWithParam<LayoutCase> {};

TEST_P(AnyLayout, CarriesTheSameRequest) {
    Bench bench({.slots = 2, .bytes_per_slot = 1U << 20U});
    const LayoutCase& test = GetParam();
    const auto data = pattern(1024, 9);
    // The cuts of the data are for the side that it is on.
    BlkLayout write_layout = test.layout;
    write_layout.writable = {};
    const auto wrote = bench.requests.run({.type = BlkType::write, .sector = 5, .out = data, .layout = write_layout});
    ASSERT_TRUE(wrote) << wrote.error().message;
    EXPECT_EQ(wrote->status, BlkStatus::ok);
    EXPECT_EQ(bench.device.requests()[0].buffers.size(), test.write_buffers);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), bench.device.disk().begin() + 5 * 512));

    BlkLayout read_layout = test.layout;
    read_layout.readable.clear();
    std::uint32_t header_left = sizeof(BlkHeader);
    for (const std::uint32_t cut : test.layout.readable) {
        if (header_left != 0) {
            read_layout.readable.push_back(std::min(cut, header_left));
            header_left -= read_layout.readable.back();
        }
    }
    std::vector<std::byte> found(1024);
    const auto read = bench.requests.run({.type = BlkType::read, .sector = 5, .in = found, .layout = read_layout});
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->status, BlkStatus::ok);
    EXPECT_EQ(read->used_length, 1025U);
    EXPECT_EQ(bench.device.requests()[1].buffers.size(), test.read_buffers);
    EXPECT_EQ(found, data);
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, AnyLayout,
    testing::Values(
        LayoutCase{"Usual", {}, 3, 3}, LayoutCase{"HeaderSplit", {.readable = {1, 7, 8}}, 5, 5},
        LayoutCase{"HeaderWithData", {.readable = {1040}}, 3, 2},
        LayoutCase{"StatusWithData", {.writable = {1025}}, 2, 3},
        LayoutCase{"DataSplitOddly", {.readable = {16, 1, 510, 3}, .writable = {100, 923, 1}}, 5, 6},
        LayoutCase{"StatusInThePieceAfterMost", {.writable = {1000}}, 3, 3},
        LayoutCase{"OddAddresses", {.alignment = 1, .shift = 3}, 3, 3},
        LayoutCase{"Indirect", {.indirect = true}, 3, 3},
        LayoutCase{"IndirectBehindDirect", {.readable = {4, 12}, .indirect = true, .direct_pieces = 2}, 4, 4},
        LayoutCase{"ManySmall", {.writable = std::vector<std::uint32_t>(205, 5), .indirect = true}, 206, 3}),
    [](const auto& test) { return test.param.name; });

TEST(BlkRequests, ManyAreInFlightAtOnce) {
    Bench bench({.slots = 16});
    const auto data = pattern(512 * 16, 1);
    std::set<std::uint64_t> waiting;
    for (std::size_t i = 0; i < 16; ++i) {
        const auto ticket =
            bench.requests.submit({.type = BlkType::write, .sector = i, .out = std::span(data).subspan(i * 512, 512)});
        ASSERT_TRUE(ticket) << ticket.error().message;
        waiting.insert(*ticket);
    }
    EXPECT_EQ(waiting.size(), 16U);
    const auto one_more = bench.requests.submit({.type = BlkType::flush});
    ASSERT_FALSE(one_more);
    EXPECT_EQ(one_more.error().kind, ErrorKind::out_of_range);
    EXPECT_EQ(bench.requests.in_flight(), 16U);
    bench.queue.publish();
    while (!waiting.empty()) {
        const auto finished = bench.requests.collect();
        ASSERT_TRUE(finished) << finished.error().message;
        for (const BlkFinished& one : *finished) {
            EXPECT_EQ(one.status, BlkStatus::ok);
            EXPECT_EQ(waiting.erase(one.ticket), 1U);
        }
    }
    EXPECT_EQ(bench.requests.in_flight(), 0U);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), bench.device.disk().begin()));
}

TEST(BlkRequests, PollingNeedsNoCalls) {
    Bench bench({.slots = 2, .polling = true});
    const auto data = pattern(512, 4);
    for (unsigned i = 0; i < 100; ++i) {
        ASSERT_TRUE(bench.requests.write(i % DiskDevice::sectors, data));
    }
    EXPECT_EQ(bench.queue.statistics().calls_received, 0U);
}

TEST(BlkRequests, ADeviceThatWritesElsewhereIsFoundOut) {
    Bench bench({}, {.write_too_much = 1});
    std::vector<std::byte> data(512);
    const auto read = bench.requests.read(0, data);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, ErrorKind::protocol_violation);
    EXPECT_NE(read.error().message.find("outside of the buffers"), std::string::npos) << read.error().message;
}

TEST(BlkRequests, ADeviceThatSaysNothingIsGivenUp) {
    Bench bench({.timeout = 20ms}, {.silent = true});
    const auto flushed = bench.requests.flush();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().kind, ErrorKind::timed_out);
}

TEST(BlkRequests, WhatDoesNotFitIsRefused) {
    Bench bench({.slots = 1, .bytes_per_slot = 8192});
    std::vector<std::byte> data(8192);
    const auto big = bench.requests.read(0, data);
    ASSERT_FALSE(big);
    EXPECT_EQ(big.error().kind, ErrorKind::out_of_range);
    const auto wrong = bench.requests.run({.type = BlkType::flush, .layout = {.readable = {17}}});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().kind, ErrorKind::invalid_argument);
    EXPECT_TRUE(bench.requests.flush()) << "the slot is still there";
}

}  // namespace
}  // namespace sidecore::frontend
