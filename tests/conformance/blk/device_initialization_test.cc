// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 5.2.5.2 "Device Requirements: Device Initialization", clause by clause. Zoned devices are not offered, so of
// the clauses about them only the first applies.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using storage::BlockGeometry;
using storage::FakeDisk;

constexpr std::uint64_t feature_zoned = std::uint64_t{1} << 17U;

/// Disks of all sorts.
std::vector<BlockGeometry> geometries() {
    std::vector<BlockGeometry> all;
    for (const bool read_only : {false, true}) {
        for (const bool able : {false, true}) {
            for (const bool volatile_cache : {false, true}) {
                BlockGeometry geometry;
                geometry.capacity_bytes = 1U << 20U;
                geometry.read_only = read_only;
                geometry.can_discard = geometry.can_write_zeroes = geometry.write_zeroes_may_unmap = able;
                geometry.volatile_write_cache = volatile_cache;
                all.push_back(geometry);
            }
        }
    }
    return all;
}

frontend::BlkConfig config_of(const BlkDevice& disk) {
    frontend::BlkConfig config{};
    std::array<std::byte, sizeof config> bytes{};
    disk.read_config(0, bytes);
    std::memcpy(&config, bytes.data(), sizeof config);
    return config;
}

std::unique_ptr<BlkDevice> disk_with(const BlockGeometry& geometry) {
    return must(BlkDevice::create(FakeDisk::create(geometry)->open(), {}));
}

// "Devices SHOULD always offer VIRTIO_BLK_F_FLUSH, and MUST offer it if they offer VIRTIO_BLK_F_CONFIG_WCE."
TEST(BlkDeviceInitialization, FlushIsAlwaysOffered) {
    for (const BlockGeometry& geometry : geometries()) {
        EXPECT_NE(disk_with(geometry)->features() & blk::feature_flush, 0U);
    }
}

// "If VIRTIO_BLK_F_CONFIG_WCE is negotiated but VIRTIO_BLK_F_FLUSH is not, the device MUST initialize writeback to 0."
TEST(BlkDeviceInitialization, WritebackIsZeroWithConfigWceAndWithoutFlush) {
    for (const BlockGeometry& geometry : geometries()) {
        const auto disk = disk_with(geometry);
        disk->accept_features(disk->features() & ~std::uint64_t{blk::feature_flush});
        EXPECT_EQ(config_of(*disk).writeback, 0U);
        disk->accept_features(disk->features());
        EXPECT_EQ(config_of(*disk).writeback, 1U);
    }
}

// "The device MUST initialize padding bytes unused0 and unused1 to 0."
TEST(BlkDeviceInitialization, PaddingIsZero) {
    for (const BlockGeometry& geometry : geometries()) {
        const auto config = config_of(*disk_with(geometry));
        EXPECT_EQ(config.unused0, 0U);
        EXPECT_EQ(config.unused1, (std::array<std::uint8_t, 3>{}));
    }
}

// "If the device that is being initialized is a not a zoned device, the device SHOULD NOT offer the VIRTIO_BLK_F_ZONED
// feature."
TEST(BlkDeviceInitialization, ZonedIsNotOffered) {
    for (const BlockGeometry& geometry : geometries()) {
        EXPECT_EQ(disk_with(geometry)->features() & feature_zoned, 0U);
    }
}

}  // namespace
}  // namespace sidecore::device
