// SPDX-License-Identifier: Apache-2.0
// What each type of request does, over each storage back-end that needs no file, and the used length of each outcome
// (VIRTIO 1.3, 5.2.6 and 2.7.8.2).
#include <array>
#include <cstring>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"
#include "storage/memory_backend.hh"
#include "storage/null_backend.hh"

namespace sidecore::device {
namespace {

using frontend::BlkFinished;
using frontend::BlkStatus;
using frontend::BlkType;
using storage::FakeDisk;
using storage::FaultAction;

constexpr std::uint64_t sectors = mebibyte / 512;

enum class Kind : std::uint8_t { fake, memory, null };

void PrintTo(Kind kind, std::ostream* out) {
    *out << std::array{"fake", "memory", "null"}.at(static_cast<std::size_t>(kind));
}

std::unique_ptr<storage::BlockBackend> make_backend(Kind kind) {
    switch (kind) {
        case Kind::fake:
            return FakeDisk::create(mebibyte)->open();
        case Kind::memory:
            return must(storage::MemoryBackend::create({.capacity_bytes = mebibyte}));
        case Kind::null:
            return must(storage::NullBackend::create({.capacity_bytes = mebibyte}));
    }
    return nullptr;
}

class RequestTypes : public testing::TestWithParam<Kind> {
protected:
    DrivenDisk disk{make_backend(GetParam()), {.device = {.name = "types", .serial = "serial-of-it"}}};
    bool keeps_data() const { return GetParam() != Kind::null; }
};

INSTANTIATE_TEST_SUITE_P(Storage, RequestTypes, testing::Values(Kind::fake, Kind::memory, Kind::null),
                         testing::PrintToStringParamName());

void expect(const BlkFinished& finished, BlkStatus status, std::uint32_t used_length) {
    EXPECT_EQ(static_cast<int>(finished.status), static_cast<int>(status));
    EXPECT_EQ(finished.used_length, used_length);
}

TEST_P(RequestTypes, ReadGivesWhatWriteGot) {
    for (const std::size_t bytes : {512U, 4096U, 65536U}) {
        const auto written = pattern(bytes, bytes);
        expect(disk.write(7, written), BlkStatus::ok, 1);
        std::vector<std::byte> read(bytes);
        expect(disk.read(7, read), BlkStatus::ok, static_cast<std::uint32_t>(bytes) + 1);
        EXPECT_EQ(read == written, keeps_data());
    }
}

TEST_P(RequestTypes, TheLastSectorIsThereAndTheOneBehindIsNot) {
    std::array<std::byte, 512> sector{};
    expect(disk.read(sectors - 1, sector), BlkStatus::ok, 513);
    expect(disk.write(sectors - 1, sector), BlkStatus::ok, 1);
    expect(disk.read(sectors, sector), BlkStatus::io_error, 0);
    expect(disk.write(sectors, sector), BlkStatus::io_error, 1);
}

TEST_P(RequestTypes, FlushSucceeds) {
    expect(disk.flush(), BlkStatus::ok, 1);
}

TEST_P(RequestTypes, GetIdGivesTheSerialPaddedWithZeroes) {
    std::array<std::byte, 20> id{};
    id.fill(std::byte{0xee});
    expect(disk.run({.type = BlkType::get_id, .in = id}), BlkStatus::ok, 21);
    std::array<char, 20> expected{};
    std::memcpy(expected.data(), "serial-of-it", 12);
    EXPECT_EQ(std::memcmp(id.data(), expected.data(), id.size()), 0);
}

TEST_P(RequestTypes, WriteZeroesMakesZeroesWithAndWithoutUnmap) {
    for (const std::uint32_t flags : {0U, frontend::blk_range_unmap}) {
        const auto written = pattern(16 * 512, 3);
        expect(disk.write(100, written), BlkStatus::ok, 1);
        const std::array range{frontend::BlkRange{std::uint64_t{104}, std::uint32_t{4}, flags}};
        expect(disk.ranges(BlkType::write_zeroes, range), BlkStatus::ok, 1);
        if (keeps_data()) {
            std::vector<std::byte> read(written.size());
            expect(disk.read(100, read), BlkStatus::ok, 16 * 512 + 1);
            auto expected = written;
            std::fill_n(expected.begin() + 4 * 512, 4 * 512, std::byte{0});
            EXPECT_EQ(read, expected);
        }
    }
}

TEST_P(RequestTypes, DiscardLeavesTheRestAlone) {
    const auto written = pattern(16 * 512, 4);
    expect(disk.write(200, written), BlkStatus::ok, 1);
    const std::array range{frontend::BlkRange{std::uint64_t{208}, std::uint32_t{8}, std::uint32_t{0}}};
    expect(disk.ranges(BlkType::discard, range), BlkStatus::ok, 1);
    if (keeps_data()) {
        std::vector<std::byte> read(8 * 512);
        expect(disk.read(200, read), BlkStatus::ok, 8 * 512 + 1);
        EXPECT_TRUE(std::equal(read.begin(), read.end(), written.begin()));
    }
}

TEST_P(RequestTypes, OtherTypesAreUnsupported) {
    for (const std::uint32_t type : {2U, 3U, 5U, 7U, 10U, 12U, 14U, 15U, 16U, 26U, 0x8000'0000U, 0xffff'ffffU}) {
        std::array<std::byte, 6> room{};
        expect(disk.run({.type = static_cast<BlkType>(type)}), BlkStatus::unsupported, 1);
        expect(disk.run({.type = static_cast<BlkType>(type), .in = room}), BlkStatus::unsupported, 0);
    }
}

// ---- what needs to look at the storage, or to be somewhere else ----

class Requests : public testing::Test {
protected:
    std::shared_ptr<FakeDisk> storage = FakeDisk::create(mebibyte);
    DrivenDisk disk{storage->open()};
};

TEST_F(Requests, OneRequestIsOneRequestToTheStorage) {
    disk.write(8, pattern(1024, 1));
    std::array<std::byte, 1536> room{};
    disk.read(16, room);
    disk.flush();
    const auto seen = storage->seen();
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0], (storage::SeenRequest{storage::BlockOperation::write, false, 8 * 512, 1024, 1, 0}));
    EXPECT_EQ(seen[1], (storage::SeenRequest{storage::BlockOperation::read, false, 16 * 512, 1536, 1, 1}));
    EXPECT_EQ(seen[2], (storage::SeenRequest{storage::BlockOperation::flush, false, 0, 0, 0, 2}));
}

TEST_F(Requests, WithoutDataAReadOrWriteIsDoneAtOnce) {
    expect(disk.run({.type = BlkType::read, .sector = 5}), BlkStatus::ok, 1);
    expect(disk.run({.type = BlkType::write, .sector = 5}), BlkStatus::ok, 1);
    expect(disk.run({.type = BlkType::read, .sector = sectors}), BlkStatus::ok, 1);
    expect(disk.run({.type = BlkType::read, .sector = sectors + 1}), BlkStatus::io_error, 1);
    EXPECT_TRUE(storage->seen().empty());
}

TEST_F(Requests, LengthsAreWholeSectors) {
    for (const std::size_t bytes : {1U, 511U, 513U, 1000U}) {
        std::vector<std::byte> data(bytes);
        expect(disk.read(0, data), BlkStatus::io_error, 0);
        expect(disk.write(0, data), BlkStatus::io_error, 1);
    }
    EXPECT_TRUE(storage->seen().empty());
}

TEST_F(Requests, RangesThatLeaveTheDiskOrWrapAroundAreRefused) {
    std::vector<std::byte> data(8 * 512);
    for (const std::uint64_t sector :
         {sectors - 7, sectors - 1, sectors, sectors + 1, std::uint64_t{1} << 55U, (std::uint64_t{1} << 55U) - 1,
          std::uint64_t{1} << 63U, UINT64_MAX - 7, UINT64_MAX}) {
        expect(disk.read(sector, data), BlkStatus::io_error, 0);
        expect(disk.write(sector, data), BlkStatus::io_error, 1);
    }
    EXPECT_TRUE(storage->seen().empty());
    expect(disk.read(sectors - 8, data), BlkStatus::ok, 8 * 512 + 1);
}

TEST_F(Requests, AFlushIgnoresSectorAndData) {
    const auto data = pattern(512, 1);
    std::array<std::byte, 64> room{};
    expect(disk.run({.type = BlkType::flush, .sector = 99'999'999, .out = data}), BlkStatus::ok, 1);
    // The status byte is not the first that the device could write, so nothing that it wrote counts.
    expect(disk.run({.type = BlkType::flush, .in = room}), BlkStatus::ok, 0);
    EXPECT_EQ(storage->seen().size(), 2U);
}

TEST_F(Requests, WriteWithRoomToWriteInKeepsToItsStatusByte) {
    const auto data = pattern(512, 2);
    std::array<std::byte, 100> room{};
    room.fill(std::byte{0x11});
    expect(disk.run({.type = BlkType::write, .sector = 1, .out = data, .in = room}), BlkStatus::ok, 0);
    EXPECT_EQ(storage->contents(512, 512), data);
}

TEST_F(Requests, ReadIgnoresWhatItCouldRead) {
    const auto stored = pattern(512, 3);
    storage->set_contents(512, stored);
    std::vector<std::byte> room(512);
    expect(disk.run({.type = BlkType::read, .sector = 1, .out = pattern(64, 1), .in = room}), BlkStatus::ok, 513);
    EXPECT_EQ(room, stored);
}

TEST_F(Requests, GetIdFillsLessRoomAndLeavesMore) {
    const DrivenDisk::Options options{.device = {.serial = "01234567890123456789"}};
    DrivenDisk other(storage->open(), options);
    std::array<std::byte, 10> less{};
    expect(other.run({.type = BlkType::get_id, .in = less}), BlkStatus::ok, 11);
    EXPECT_EQ(std::memcmp(less.data(), "0123456789", 10), 0);

    std::array<std::byte, 30> more{};
    expect(other.run({.type = BlkType::get_id, .in = more}), BlkStatus::ok, 20);
    EXPECT_EQ(std::memcmp(more.data(), "01234567890123456789", 20), 0);

    expect(other.run({.type = BlkType::get_id}), BlkStatus::ok, 1);
    EXPECT_TRUE(storage->seen().empty());
}

TEST_F(Requests, WithoutASerialTheNameServes) {
    DrivenDisk other(storage->open(), {.device = {.name = "a-name-of-more-than-twenty-letters"}});
    std::array<std::byte, 20> id{};
    expect(other.run({.type = BlkType::get_id, .in = id}), BlkStatus::ok, 21);
    EXPECT_EQ(std::memcmp(id.data(), "a-name-of-more-than-", 20), 0);
}

TEST_F(Requests, WhatTheStorageSaysDecidesTheStatus) {
    struct Case {
        int error;
        BlkStatus status;
    };
    for (const Case& one : {Case{EIO, BlkStatus::io_error}, Case{ENOSPC, BlkStatus::io_error},
                            Case{EROFS, BlkStatus::io_error}, Case{EINVAL, BlkStatus::io_error},
                            Case{EOPNOTSUPP, BlkStatus::unsupported}, Case{EFAULT, BlkStatus::io_error}}) {
        storage->clear_faults();
        storage->add_fault({.action = FaultAction::fail, .error = one.error});
        std::vector<std::byte> data(1024);
        const std::array range{frontend::BlkRange{std::uint64_t{0}, std::uint32_t{8}, std::uint32_t{0}}};
        expect(disk.read(0, data), one.status, 0);
        expect(disk.write(0, data), one.status, 1);
        expect(disk.flush(), one.status, 1);
        expect(disk.ranges(BlkType::discard, range), one.status, 1);
        expect(disk.ranges(BlkType::write_zeroes, range), one.status, 1);
    }
}

TEST_F(Requests, AReadTornInTheMiddleIsAnErrorThatClaimsNothing) {
    storage->add_fault({.action = FaultAction::short_transfer, .error = EIO, .transfer_bytes = 700, .times = 1});
    std::vector<std::byte> data(1024);
    expect(disk.read(0, data), BlkStatus::io_error, 0);
    expect(disk.read(0, data), BlkStatus::ok, 1025);
}

TEST_F(Requests, AReadOnlyDiskReadsAndFlushesAndChangesNothing) {
    const auto stored = pattern(4096, 9);
    storage->set_contents(0, stored);
    DrivenDisk read_only(storage->open(), {.device = {.read_only = true}});
    const std::array range{frontend::BlkRange{std::uint64_t{0}, std::uint32_t{8}, std::uint32_t{0}}};
    std::vector<std::byte> room(4096);
    expect(read_only.read(0, room), BlkStatus::ok, 4097);
    EXPECT_EQ(room, stored);
    expect(read_only.flush(), BlkStatus::ok, 1);
    expect(read_only.write(0, pattern(512, 1)), BlkStatus::io_error, 1);
    expect(read_only.run({.type = BlkType::write}), BlkStatus::io_error, 1);
    expect(read_only.ranges(BlkType::discard, range), BlkStatus::io_error, 1);
    expect(read_only.ranges(BlkType::write_zeroes, range), BlkStatus::io_error, 1);
    EXPECT_EQ(storage->contents(0, 4096), stored);
    EXPECT_EQ(storage->seen().size(), 2U);
}

TEST_F(Requests, LogicalBlocksOf4096AreTheSmallestUnit) {
    storage::BlockGeometry geometry;
    geometry.capacity_bytes = mebibyte;
    geometry.logical_block_bytes = geometry.physical_block_bytes = 4096;
    const auto large = FakeDisk::create(geometry);
    DrivenDisk other(large->open());
    std::vector<std::byte> block(4096);
    expect(other.write(8, block), BlkStatus::ok, 1);
    expect(other.write(1, block), BlkStatus::io_error, 1);
    expect(other.read(8, std::span(block).first(512)), BlkStatus::io_error, 0);
}

}  // namespace
}  // namespace sidecore::device
