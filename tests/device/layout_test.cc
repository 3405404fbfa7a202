// SPDX-License-Identifier: Apache-2.0
// "The device MUST NOT make assumptions about the particular arrangement of descriptors" (VIRTIO 1.3, 2.7.4.1): a
// request is a string of bytes to read and one to write, however they are cut.
#include <algorithm>
#include <array>
#include <numeric>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using frontend::BlkLayout;
using frontend::BlkStatus;
using frontend::BlkType;
using storage::FakeDisk;

constexpr std::uint32_t data_bytes = 4096;

/// A way to cut strings of 16 bytes and more.
struct Cut {
    std::string name;
    std::vector<std::uint32_t> readable;  // lengths of the first pieces
    std::vector<std::uint32_t> writable;
};

void PrintTo(const Cut& cut, std::ostream* out) {
    *out << cut.name;
}

std::vector<std::uint32_t> ones(std::size_t count) {
    return std::vector<std::uint32_t>(count, 1);
}

std::vector<Cut> cuts() {
    return {
        {"usual", {16}, {}},
        {"header_with_data", {16 + 512}, {}},
        {"header_and_data_in_one", {16 + data_bytes}, {}},
        {"header_in_two", {8}, {512}},
        {"header_in_three_and_into_data", {4, 4, 100}, {1}},
        {"header_by_bytes", ones(16), ones(20)},
        {"status_with_data", {16}, {data_bytes - 100}},
        {"status_alone_behind_many", {16, 512, 512, 1024}, {512, 512, 512, 512, 2048}},
        {"odd_pieces", {7, 11, 13, 501, 1023}, {3, 509, 511, 513, 997}},
        {"by_bytes", ones(900), ones(900)},
    };
}

/// What fits a string of `bytes` of these lengths; all of it in one piece if nothing would be left to cut.
std::vector<std::uint32_t> clipped(const std::vector<std::uint32_t>& lengths, std::uint32_t bytes) {
    std::vector<std::uint32_t> kept;
    for (const std::uint32_t length : lengths) {
        const std::uint32_t part = std::min(length, bytes);
        if (part == 0) {
            break;
        }
        kept.push_back(part);
        bytes -= part;
    }
    return kept;
}

class Layout : public testing::TestWithParam<std::tuple<Cut, bool>> {
protected:
    /// `out` and `in`: bytes of the request behind its header and before its status.
    BlkLayout layout(std::size_t out, std::size_t in) const {
        const auto& [cut, indirect] = GetParam();
        BlkLayout made;
        made.readable = clipped(cut.readable, static_cast<std::uint32_t>(16 + out));
        made.writable = clipped(cut.writable, static_cast<std::uint32_t>(in + 1));
        if (made.writable.empty()) {
            made.writable = {static_cast<std::uint32_t>(in + 1)};
        }
        made.indirect = indirect;
        made.alignment = 8;
        made.shift = 3;
        return made;
    }

    frontend::BlkFinished run(BlkType type, std::uint64_t sector, std::span<const std::byte> out,
                              std::span<std::byte> in) {
        return disk.run(
            {.type = type, .sector = sector, .out = out, .in = in, .layout = layout(out.size(), in.size())});
    }

    std::shared_ptr<FakeDisk> storage = FakeDisk::create(1U << 20U);
    DrivenDisk disk{storage->open(), {.device = {.seg_max = 1024}, .queue = {.size = 2048}, .requests = {.slots = 2}}};
};

INSTANTIATE_TEST_SUITE_P(Cuts, Layout, testing::Combine(testing::ValuesIn(cuts()), testing::Bool()),
                         [](const auto& one) {
                             return std::get<0>(one.param).name + (std::get<1>(one.param) ? "_indirect" : "_direct");
                         });

TEST_P(Layout, Write) {
    const auto data = pattern(data_bytes, 1);
    const auto finished = run(BlkType::write, 3, data, {});
    EXPECT_EQ(finished.status, BlkStatus::ok);
    EXPECT_EQ(finished.used_length, 1U);
    EXPECT_EQ(storage->contents(3 * 512, data_bytes), data);
}

TEST_P(Layout, Read) {
    const auto data = pattern(data_bytes, 2);
    storage->set_contents(9 * 512, data);
    std::vector<std::byte> room(data_bytes);
    const auto finished = run(BlkType::read, 9, {}, room);
    EXPECT_EQ(finished.status, BlkStatus::ok);
    EXPECT_EQ(finished.used_length, data_bytes + 1);
    EXPECT_EQ(room, data);
}

TEST_P(Layout, GetId) {
    std::array<std::byte, 20> id{};
    const auto finished = run(BlkType::get_id, 0, {}, id);
    EXPECT_EQ(finished.status, BlkStatus::ok);
    EXPECT_EQ(finished.used_length, 21U);
    EXPECT_EQ(id[0], std::byte{'b'});
    EXPECT_EQ(id[2], std::byte{'k'});
    EXPECT_EQ(id[3], std::byte{0});
}

TEST_P(Layout, Flush) {
    EXPECT_EQ(run(BlkType::flush, 0, {}, {}).status, BlkStatus::ok);
    EXPECT_EQ(storage->seen().size(), 1U);
}

TEST_P(Layout, WriteZeroesInSeveralRanges) {
    const auto data = pattern(64 * 512, 3);
    storage->set_contents(0, data);
    std::vector<frontend::BlkRange> ranges;
    for (std::uint64_t i = 0; i < 32; ++i) {
        ranges.push_back({i * 2, std::uint32_t{1}, std::uint32_t{0}});
    }
    const auto finished = run(BlkType::write_zeroes, 0, std::as_bytes(std::span(ranges)), {});
    EXPECT_EQ(finished.status, BlkStatus::ok);
    auto expected = data;
    for (std::size_t i = 0; i < 32; ++i) {
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(i * 1024), 512, std::byte{0});
    }
    EXPECT_EQ(storage->contents(0, expected.size()), expected);
}

TEST_P(Layout, ErrorsFindTheStatusByteToo) {
    std::vector<std::byte> room(data_bytes);
    EXPECT_EQ(run(BlkType::read, 1U << 20U, {}, room).status, BlkStatus::io_error);
    EXPECT_EQ(run(static_cast<BlkType>(77), 0, {}, room).status, BlkStatus::unsupported);
}

/// Requests of random cuts, sizes and types against a model of the disk.
TEST(LayoutAtRandom, NothingIsEverElsewhere) {
    constexpr std::uint64_t disk_sectors = 256;
    const auto storage = FakeDisk::create(disk_sectors * 512);
    DrivenDisk disk(storage->open(), {.queue = {.size = 512, .first_index = 65'000},
                                      .requests = {.slots = 1, .bytes_per_slot = 400 * 1024}});
    std::vector<std::byte> model(disk_sectors * 512);
    std::mt19937_64 random(20'260'131);
    const auto below = [&random](std::uint64_t limit) { return random() % limit; };
    const auto random_cuts = [&](std::uint64_t bytes) {
        std::vector<std::uint32_t> lengths;
        const std::uint64_t largest = std::uint64_t{1} << below(13);
        while (bytes != 0 && lengths.size() < 200) {
            const std::uint64_t length = std::min(bytes, 1 + below(largest));
            lengths.push_back(static_cast<std::uint32_t>(length));
            bytes -= length;
        }
        return lengths;
    };
    for (int i = 0; i < 3'000; ++i) {
        const std::uint64_t count = below(32);
        const std::uint64_t sector = below(disk_sectors + 4);
        const bool fits = sector + count <= disk_sectors;
        const bool write = below(2) == 0;
        const auto data = pattern(count * 512, random());
        std::vector<std::byte> room(write ? 0 : count * 512);
        BlkLayout layout;
        layout.readable = random_cuts(16 + (write ? data.size() : 0));
        layout.writable = random_cuts(room.size() + 1);
        layout.indirect = below(2) == 0;
        layout.direct_pieces = below(5);
        layout.alignment = 1U << below(8);
        layout.shift = static_cast<std::uint32_t>(below(8));
        const auto finished = disk.run({.type = write ? BlkType::write : BlkType::read,
                                        .sector = sector,
                                        .out = write ? std::span<const std::byte>(data) : std::span<const std::byte>(),
                                        .in = room,
                                        .layout = layout});
        ASSERT_EQ(finished.status, fits ? BlkStatus::ok : BlkStatus::io_error) << "request " << i;
        if (!fits) {
            continue;
        }
        const auto place = model.begin() + static_cast<std::ptrdiff_t>(sector * 512);
        if (write) {
            std::copy(data.begin(), data.end(), place);
            ASSERT_EQ(storage->contents(sector * 512, data.size()), data) << "request " << i;
        } else {
            ASSERT_TRUE(std::equal(room.begin(), room.end(), place)) << "request " << i;
        }
    }
    EXPECT_EQ(storage->contents(0, model.size()), model);
}

/// The most that a driver may send: seg_max segments of data, with a header and a status in as many pieces as there are
/// bytes.
TEST(LayoutAtItsLargest, SegMaxSegmentsBesideHeaderAndStatus) {
    const auto storage = FakeDisk::create(1U << 20U);
    DrivenDisk disk(storage->open(), {.device = {.seg_max = BlkDevice::seg_max_possible},
                                      .queue = {.size = 2048},
                                      .requests = {.slots = 1, .bytes_per_slot = 4U << 20U}});
    const auto data = pattern(std::size_t{BlkDevice::seg_max_possible} * 512, 1);
    std::vector<std::uint32_t> lengths = ones(16);
    lengths.insert(lengths.end(), BlkDevice::seg_max_possible, 512);
    const auto finished = disk.run(
        {.type = BlkType::write, .sector = 0, .out = data, .layout = {.readable = lengths, .alignment = 1024}});
    EXPECT_EQ(finished.status, BlkStatus::ok);
    EXPECT_EQ(storage->contents(0, data.size()), data);
    ASSERT_EQ(storage->seen().size(), 1U);
    EXPECT_EQ(storage->seen().front().segment_count, BlkDevice::seg_max_possible);
}

/// Two regions that follow each other for the guest and lie apart here: one buffer, two pieces of memory.
TEST(LayoutAcrossRegions, ABufferMayLieInTwo) {
    constexpr std::uint64_t region = 1U << 20U;
    const auto storage = FakeDisk::create(1U << 20U);
    DrivenDisk disk(
        storage->open(),
        {.queue = {.region = 0},
         .requests = {.slots = 1},
         .memory = {
             {.guest_address = {0x10'0000}, .size = region, .user_address = {}},
             {.guest_address = {0x10'0000 + region}, .size = region, .user_address = {}, .file_gap = 1U << 16U}}});
    frontend::GuestMemoryFile& memory = disk.memory();
    const memory::GuestAddress edge{0x10'0000 + region};
    const auto data = pattern(2048, 5);
    const std::uint32_t before = 700;  // of the data in the first region
    const frontend::BlkHeader header{std::uint32_t{1}, std::uint32_t{0}, std::uint64_t{4}};
    const memory::GuestAddress start{edge.value - before - 10};  // the header ends in the middle, too
    ASSERT_TRUE(memory.write(start, std::as_bytes(std::span(&header, 1)).first(10)));
    const auto rest = memory.allocate(16, 16, 0).value();
    ASSERT_TRUE(memory.write(rest.address, std::as_bytes(std::span(&header, 1)).subspan(10)));
    const memory::GuestAddress data_start = start + 10;
    ASSERT_TRUE(memory.write(data_start, data));
    ASSERT_TRUE(memory.allocate(8192, 16, 1));  // where the data goes on
    const auto status = memory.allocate(1, 1, 1).value();
    *status.host = std::byte{0xff};
    const std::array pieces{frontend::Piece{start, 10}, frontend::Piece{rest.address, 6},
                            frontend::Piece{data_start, 2048}, frontend::Piece{status.address, 1, true}};
    disk.offer_raw(pieces);
    disk.work();
    EXPECT_EQ(*status.host, std::byte{0});
    EXPECT_EQ(storage->contents(4 * 512, data.size()), data);
    EXPECT_EQ(storage->seen().front().segment_count, 2U);
}

}  // namespace
}  // namespace sidecore::device
