// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 5.2.6.2 "Device Requirements: Device Operation", clause by clause. Secure erase, lifetime and zoned storage
// are not offered, so of the clauses about them those apply that say so.
#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using frontend::BlkRange;
using frontend::BlkStatus;
using frontend::BlkType;
using storage::BlockOperation;
using storage::FakeDisk;
using storage::FaultAction;

constexpr std::uint32_t unmap = frontend::blk_range_unmap;

BlkRange range(std::uint64_t sector, std::uint32_t sectors, std::uint32_t flags = 0) {
    return {sector, sectors, flags};
}

class BlkDeviceOperation : public testing::Test {
protected:
    BlkStatus run(DrivenDisk& disk, BlkType type, const std::vector<BlkRange>& ranges) {
        return disk.ranges(type, ranges).status;
    }
    std::shared_ptr<FakeDisk> storage = FakeDisk::create(mebibyte);
};

// "A device MUST set the status byte to VIRTIO_BLK_S_IOERR for a write request if the VIRTIO_BLK_F_RO feature if offered,
// and MUST NOT write any data."
TEST_F(BlkDeviceOperation, AWriteToAReadOnlyDeviceFailsAndWritesNothing) {
    const auto stored = pattern(mebibyte, 1);
    storage->set_contents(0, stored);
    DrivenDisk disk(storage->open(), {.device = {.read_only = true}});
    ASSERT_NE(disk.disk().features() & blk::feature_read_only, 0U);
    for (const std::size_t bytes : {0U, 512U, 65536U}) {
        EXPECT_EQ(disk.write(0, pattern(bytes, 2)).status, BlkStatus::io_error);
    }
    EXPECT_EQ(storage->contents(0, mebibyte), stored);
}

// "The device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard, secure erase and write zeroes commands if any
// unknown flag is set."
TEST_F(BlkDeviceOperation, AnUnknownFlagIsUnsupported) {
    DrivenDisk disk(storage->open());
    for (const BlkType type : {BlkType::discard, BlkType::write_zeroes, BlkType::secure_erase}) {
        for (unsigned bit = 1; bit < 32; ++bit) {
            EXPECT_EQ(run(disk, type, {range(0, 1), range(1, 1, 1U << bit)}), BlkStatus::unsupported);
        }
    }
    EXPECT_TRUE(storage->seen().empty());
}

// "Furthermore, the device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard commands if the unmap flag is set."
TEST_F(BlkDeviceOperation, UnmapInADiscardIsUnsupported) {
    DrivenDisk disk(storage->open());
    EXPECT_EQ(run(disk, BlkType::discard, {range(0, 1, unmap)}), BlkStatus::unsupported);
    EXPECT_EQ(run(disk, BlkType::discard, {range(0, 1), range(4, 1, unmap)}), BlkStatus::unsupported);
    EXPECT_TRUE(storage->seen().empty());
}

// "After a write zeroes command is completed, reads of the specified ranges of sectors MUST return zeroes. This is true
// independent of whether unmap was set or clear."
TEST_F(BlkDeviceOperation, AfterWriteZeroesReadsReturnZeroes) {
    DrivenDisk disk(storage->open());
    for (const std::uint32_t flags : {0U, unmap}) {
        ASSERT_EQ(disk.write(0, pattern(64 * 512, 3)).status, BlkStatus::ok);
        EXPECT_EQ(run(disk, BlkType::write_zeroes, {range(2, 5, flags), range(40, 20, flags)}), BlkStatus::ok);
        for (const auto& [sector, sectors] : {std::pair{2U, 5U}, std::pair{40U, 20U}}) {
            std::vector<std::byte> read(std::size_t{sectors} * 512, std::byte{0xee});
            ASSERT_EQ(disk.read(sector, read).status, BlkStatus::ok);
            EXPECT_EQ(read, std::vector<std::byte>(read.size()));
        }
    }
}

// "The device SHOULD clear the write_zeroes_may_unmap field of the virtio configuration space if and only if a write
// zeroes request cannot result in deallocating one or more sectors."
TEST_F(BlkDeviceOperation, WriteZeroesMayUnmapSaysWhatTheStorageMayDo) {
    for (const bool may_unmap : {false, true}) {
        storage::BlockGeometry geometry;
        geometry.capacity_bytes = mebibyte;
        geometry.can_write_zeroes = true;
        geometry.write_zeroes_may_unmap = may_unmap;
        DrivenDisk disk(FakeDisk::create(geometry)->open());
        EXPECT_EQ(disk.config().at(56), static_cast<std::byte>(may_unmap ? 1 : 0));
    }
}

// "the device MUST ensure that stable writes are committed to it, before reporting completion of the write (cases 1 and
// 2)": case 1, "neither VIRTIO_BLK_F_CONFIG_WCE nor VIRTIO_BLK_F_FLUSH feature were negotiated, but VIRTIO_BLK_F_FLUSH was
// offered by the device".
TEST_F(BlkDeviceOperation, WithoutFlushAndConfigWceACompletedWriteIsStable) {
    DrivenDisk disk(storage->open(),
                    {.refused_features = std::uint64_t{blk::feature_flush} | std::uint64_t{blk::feature_config_wce}});
    ASSERT_EQ(disk.write(0, pattern(512, 1)).status, BlkStatus::ok);
    EXPECT_TRUE(storage->seen().back().durable);
    ASSERT_EQ(run(disk, BlkType::write_zeroes, {range(0, 1)}), BlkStatus::ok);
    EXPECT_TRUE(storage->seen().back().durable);
}

// Case 2, "the VIRTIO_BLK_F_CONFIG_WCE feature was negotiated and the writeback field in configuration space was 0 all the
// time between the submission of the write and its completion".
TEST_F(BlkDeviceOperation, WithWritebackZeroACompletedWriteIsStable) {
    DrivenDisk disk(storage->open());
    must(disk.disk().write_config(32, std::array{std::byte{0}}, false));
    ASSERT_EQ(disk.write(0, pattern(512, 1)).status, BlkStatus::ok);
    EXPECT_TRUE(storage->seen().back().durable);
}

// Case 3, "a VIRTIO_BLK_T_FLUSH request is sent after the write is completed and is completed itself": the flush completes
// no earlier than the storage's, which comes after the write's end.
TEST_F(BlkDeviceOperation, AFlushIsCompletedWhenTheStorageHasFlushed) {
    storage->add_fault({.action = FaultAction::hold, .operation = BlockOperation::flush});
    DrivenDisk disk(storage->open());
    ASSERT_EQ(disk.write(0, pattern(512, 1)).status, BlkStatus::ok);
    EXPECT_FALSE(storage->seen().back().durable);
    disk.offer({.type = BlkType::flush});
    disk.work();
    EXPECT_FALSE(disk.driver().has_used());
    ASSERT_EQ(storage->held().size(), 1U);
    storage->release_all();
    disk.work();
    const auto finished = must(disk.requests().collect());
    ASSERT_EQ(finished.size(), 1U);
    EXPECT_EQ(finished.front().status, BlkStatus::ok);
    // And one that failed is not reported as done.
    storage->clear_faults();
    storage->add_fault({.action = FaultAction::fail, .operation = BlockOperation::flush});
    EXPECT_EQ(disk.flush().status, BlkStatus::io_error);
}

// "The flag MUST NOT be offered if the device is backed by storage for which the lifetime metrics described in this
// document cannot be obtained" (VIRTIO_BLK_F_LIFETIME, bit 15).
TEST_F(BlkDeviceOperation, LifetimeIsNotOffered) {
    DrivenDisk disk(storage->open());
    EXPECT_EQ(disk.disk().features() & (std::uint64_t{1} << 15U), 0U);
    std::array<std::byte, 6> room{};
    EXPECT_EQ(disk.run({.type = BlkType::get_lifetime, .in = room}).status, BlkStatus::unsupported);
}

// "If the VIRTIO_BLK_F_ZONED feature is not negotiated, the device MUST reject VIRTIO_BLK_T_ZONE_REPORT,
// VIRTIO_BLK_T_ZONE_OPEN, VIRTIO_BLK_T_ZONE_CLOSE, VIRTIO_BLK_T_ZONE_FINISH, VIRTIO_BLK_T_ZONE_APPEND,
// VIRTIO_BLK_T_ZONE_RESET and VIRTIO_BLK_T_ZONE_RESET_ALL requests with VIRTIO_BLK_S_UNSUPP status."
TEST_F(BlkDeviceOperation, ZoneRequestsAreUnsupported) {
    DrivenDisk disk(storage->open());
    for (const std::uint32_t type : {15U, 16U, 18U, 20U, 22U, 24U, 26U}) {
        std::vector<std::byte> room(512);
        EXPECT_EQ(disk.run({.type = static_cast<BlkType>(type), .in = room}).status, BlkStatus::unsupported) << type;
    }
    EXPECT_TRUE(storage->seen().empty());
}

}  // namespace
}  // namespace sidecore::device
