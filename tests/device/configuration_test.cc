// SPDX-License-Identifier: Apache-2.0
// What a block device offers and what its configuration space says (VIRTIO 1.3, 5.2.3 to 5.2.5).
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using storage::BlockGeometry;
using storage::FakeDisk;

std::unique_ptr<BlkDevice> make_disk(const BlockGeometry& geometry, BlkDevice::Options options = {}) {
    return must(BlkDevice::create(FakeDisk::create(geometry)->open(), std::move(options)));
}

BlockGeometry plain(std::uint64_t capacity_bytes = mebibyte) {
    BlockGeometry geometry;
    geometry.capacity_bytes = capacity_bytes;
    return geometry;
}

frontend::BlkConfig config_of(const BlkDevice& disk) {
    std::array<std::byte, sizeof(frontend::BlkConfig)> bytes{};
    disk.read_config(0, bytes);
    frontend::BlkConfig config{};
    std::memcpy(&config, bytes.data(), sizeof config);
    return config;
}

bool offers(const BlkDevice& disk, std::uint64_t feature) {
    return (disk.features() & feature) != 0;
}

TEST(Features, OfEveryDisk) {
    const auto disk = make_disk(plain());
    EXPECT_EQ(disk->features(), blk::feature_version_1 | blk::feature_size_max | blk::feature_seg_max |
                                    blk::feature_block_size | blk::feature_topology | blk::feature_flush |
                                    blk::feature_config_wce | blk::feature_mq | blk::feature_event_index |
                                    blk::feature_indirect);
    EXPECT_EQ(disk->type(), "blk");
    EXPECT_EQ(disk->description(), "fake, 1 MiB");
}

TEST(Features, FollowTheOptions) {
    EXPECT_FALSE(offers(*make_disk(plain(), {.event_index = false}), blk::feature_event_index));
    EXPECT_FALSE(offers(*make_disk(plain(), {.indirect = false}), blk::feature_indirect));
    EXPECT_TRUE(offers(*make_disk(plain(), {.read_only = true}), blk::feature_read_only));
    EXPECT_FALSE(offers(*make_disk(plain()), blk::feature_read_only));
}

TEST(Features, FollowTheStorage) {
    BlockGeometry able = plain();
    able.can_discard = true;
    EXPECT_TRUE(offers(*make_disk(able), blk::feature_discard));
    EXPECT_FALSE(offers(*make_disk(able), blk::feature_write_zeroes));
    able.can_discard = false;
    able.can_write_zeroes = true;
    EXPECT_FALSE(offers(*make_disk(able), blk::feature_discard));
    EXPECT_TRUE(offers(*make_disk(able), blk::feature_write_zeroes));
    able.can_discard = able.read_only = true;
    const auto read_only = make_disk(able);
    EXPECT_TRUE(offers(*read_only, blk::feature_read_only));
    EXPECT_TRUE(read_only->read_only());
    EXPECT_FALSE(offers(*read_only, blk::feature_discard));
    EXPECT_FALSE(offers(*read_only, blk::feature_write_zeroes));
}

TEST(Options, ThatAreImpossibleAreRefusedWithTheReason) {
    const auto error_of = [](BlkDevice::Options options) {
        const auto made = BlkDevice::create(FakeDisk::create(mebibyte)->open(), std::move(options));
        EXPECT_FALSE(made);
        return made ? std::string() : made.error().message;
    };
    EXPECT_EQ(error_of({.queues = 0}), "a blk device has 1 to 64 queues, not 0");
    EXPECT_EQ(error_of({.queues = 65}), "a blk device has 1 to 64 queues, not 65");
    EXPECT_EQ(error_of({.seg_max = 0}), "seg_max is 1 to 1024, not 0");
    EXPECT_EQ(error_of({.seg_max = 1025}), "seg_max is 1 to 1024, not 1025");
    EXPECT_EQ(error_of({.serial = "123456789012345678901"}),
              "the serial \"123456789012345678901\" is longer than 20 bytes");
}

TEST(Configuration, SaysWhatTheStorageIsLike) {
    BlockGeometry geometry = plain(std::uint64_t{3} << 40U);
    geometry.logical_block_bytes = 512;
    geometry.physical_block_bytes = 4096;
    geometry.optimal_io_bytes = 1U << 20U;
    geometry.discard_granularity_bytes = 65536;
    geometry.can_discard = geometry.can_write_zeroes = geometry.write_zeroes_may_unmap = true;
    // A disk of 3 TiB that nobody keeps: only its geometry is asked for.
    class Described final : public storage::BlockBackend {
    public:
        explicit Described(const BlockGeometry& geometry) : geometry_(geometry) {}
        std::string_view kind() const noexcept override { return "described"; }
        std::string description() const override { return "described"; }
        BlockGeometry geometry() const override { return geometry_; }
        Result<std::unique_ptr<storage::BlockQueue>> open_queue(std::uint32_t) override {
            return failure(ErrorKind::unsupported, "no queues");
        }
        Result<void> resize(std::uint64_t) override { return failure(ErrorKind::unsupported, "no other size"); }

    private:
        const BlockGeometry geometry_;
    };
    const auto disk = must(BlkDevice::create(std::make_unique<Described>(geometry), {.queues = 5, .seg_max = 254}));
    const auto config = config_of(*disk);
    EXPECT_EQ(config.capacity, (std::uint64_t{3} << 40U) / 512);
    EXPECT_EQ(config.seg_max, 254U);
    EXPECT_GE(config.size_max, 65536U);
    EXPECT_EQ(config.cylinders, 0U);
    EXPECT_EQ(config.blk_size, 512U);
    EXPECT_EQ(config.physical_block_exp, 3U);
    EXPECT_EQ(config.alignment_offset, 0U);
    EXPECT_EQ(config.min_io_size, 8U);
    EXPECT_EQ(config.opt_io_size, 2048U);
    EXPECT_EQ(config.writeback, 1U);
    EXPECT_EQ(config.num_queues, 5U);
    EXPECT_EQ(config.max_discard_sectors, 1U << 21U);
    EXPECT_EQ(config.max_discard_seg, 32U);
    EXPECT_EQ(config.discard_sector_alignment, 128U);
    EXPECT_EQ(config.max_write_zeroes_sectors, 1U << 21U);
    EXPECT_EQ(config.max_write_zeroes_seg, 32U);
    EXPECT_EQ(config.write_zeroes_may_unmap, 1U);
    const auto no_queue = disk->resize(0);
    ASSERT_FALSE(no_queue);
    EXPECT_EQ(no_queue.error().message, "no other size");
}

TEST(Configuration, OfLargeLogicalBlocks) {
    BlockGeometry geometry = plain();
    geometry.logical_block_bytes = geometry.physical_block_bytes = 4096;
    geometry.optimal_io_bytes = 65536;
    const auto config = config_of(*make_disk(geometry));
    EXPECT_EQ(config.capacity, mebibyte / 512);
    EXPECT_EQ(config.blk_size, 4096U);
    EXPECT_EQ(config.physical_block_exp, 0U);
    EXPECT_EQ(config.min_io_size, 1U);
    EXPECT_EQ(config.opt_io_size, 16U);
}

TEST(Configuration, FieldsOfFeaturesThatAreNotOfferedAreZero) {
    const auto config = config_of(*make_disk(plain()));
    EXPECT_EQ(config.max_discard_sectors, 0U);
    EXPECT_EQ(config.max_discard_seg, 0U);
    EXPECT_EQ(config.discard_sector_alignment, 0U);
    EXPECT_EQ(config.max_write_zeroes_sectors, 0U);
    EXPECT_EQ(config.max_write_zeroes_seg, 0U);
    EXPECT_EQ(config.write_zeroes_may_unmap, 0U);
}

/// SeaBIOS up to 1.16.2 keeps size_max * seg_max, in sectors, in 16 bits.
TEST(Configuration, TheLongestRequestFits16BitsOfSectors) {
    for (const unsigned seg_max : {1U, 2U, 126U, 127U, 128U, 254U, 1000U, 1024U}) {
        const auto config = config_of(*make_disk(plain(), {.seg_max = static_cast<std::uint16_t>(seg_max)}));
        EXPECT_EQ(config.seg_max, seg_max);
        const std::uint64_t longest = std::uint64_t{config.size_max} * config.seg_max / 512;
        EXPECT_LE(longest, 0xffffU) << seg_max;
        EXPECT_GE(longest, 0x4000U) << seg_max;  // 8 MiB
    }
}

TEST(Configuration, EveryPartOfItReadsAsTheWhole) {
    const auto disk = make_disk(plain(), {.queues = 7});
    std::array<std::byte, 80> whole{};
    whole.fill(std::byte{0xee});
    disk->read_config(0, whole);
    EXPECT_TRUE(std::all_of(whole.begin() + 60, whole.end(), [](std::byte byte) { return byte == std::byte{0}; }));
    for (std::uint32_t offset = 0; offset <= whole.size(); ++offset) {
        for (std::size_t size = 0; offset + size <= whole.size(); ++size) {
            std::vector<std::byte> part(size, std::byte{0xee});
            disk->read_config(offset, part);
            ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + offset)) << offset << " " << size;
        }
    }
    std::array<std::byte, 8> beyond{};
    beyond.fill(std::byte{0xee});
    disk->read_config(UINT32_MAX, beyond);
    EXPECT_EQ(beyond, (std::array<std::byte, 8>{}));
}

TEST(Configuration, OnlyTheCacheModeIsTheDriversToWrite) {
    const auto disk = make_disk(plain());
    for (std::uint32_t offset = 0; offset < 70; ++offset) {
        const std::array byte{std::byte{1}};
        const auto written = disk->write_config(offset, byte, false);
        EXPECT_EQ(written.has_value(), offset == 32) << offset;
        if (!written) {
            EXPECT_NE(written.error().message.find(std::to_string(offset)), std::string::npos);
        }
    }
    EXPECT_TRUE(disk->write_config(32, {}, false));
}

TEST(Configuration, ARefusedWriteChangesNothing) {
    const auto disk = make_disk(plain());
    disk->accept_features(disk->features());
    const std::array<std::byte, 2> zeroes{};
    EXPECT_FALSE(disk->write_config(32, zeroes, false));  // writeback and what is behind it
    EXPECT_EQ(config_of(*disk).writeback, 1U);
    EXPECT_FALSE(disk->write_config(31, zeroes, false));
    EXPECT_EQ(config_of(*disk).writeback, 1U);
}

TEST(Configuration, AMigrationWritesAllOfItAndKeepsTheCacheMode) {
    const auto disk = make_disk(plain());
    disk->accept_features(disk->features());
    std::vector<std::byte> foreign(256, std::byte{0xab});
    foreign[32] = std::byte{0};
    EXPECT_TRUE(disk->write_config(0, foreign, true));
    auto config = config_of(*disk);
    EXPECT_EQ(config.capacity, mebibyte / 512);
    EXPECT_EQ(config.num_queues, 1U);
    EXPECT_EQ(config.writeback, 0U);
}

TEST(Resize, ShowsInTheConfigurationAndHoldsForTheNextRequest) {
    const auto storage = FakeDisk::create(mebibyte);
    DrivenDisk disk(storage->open());
    const auto data = pattern(512, 1);
    EXPECT_EQ(disk.write(2048, data).status, frontend::BlkStatus::io_error);
    must(disk.disk().resize(2 * mebibyte));
    EXPECT_EQ(disk.disk().capacity_bytes(), 2 * mebibyte);
    EXPECT_EQ(config_of(disk.disk()).capacity, 4096U);
    EXPECT_EQ(disk.write(2048, data).status, frontend::BlkStatus::ok);
    must(disk.disk().resize(mebibyte / 2));
    EXPECT_EQ(config_of(disk.disk()).capacity, 1024U);
    EXPECT_EQ(disk.write(1024, data).status, frontend::BlkStatus::io_error);
    EXPECT_EQ(disk.write(1023, data).status, frontend::BlkStatus::ok);
}

TEST(Resize, ThatTheStorageRefusesChangesNothing) {
    const auto storage = FakeDisk::create(mebibyte);
    DrivenDisk disk(storage->open());
    storage->fail_next_resize(ENOSPC);
    const auto resized = disk.disk().resize(2 * mebibyte);
    ASSERT_FALSE(resized);
    EXPECT_EQ(resized.error().os_error, ENOSPC);
    EXPECT_EQ(disk.disk().capacity_bytes(), mebibyte);
    EXPECT_FALSE(disk.disk().resize(100));
    EXPECT_EQ(disk.disk().capacity_bytes(), mebibyte);
}

/// A request that was in flight when its place went away fails; it does not fall off the disk.
TEST(Resize, WhileARequestIsInFlight) {
    const auto storage = FakeDisk::create(mebibyte);
    storage->add_fault({.action = storage::FaultAction::hold});
    DrivenDisk disk(storage->open());
    const auto data = pattern(512, 1);
    disk.offer({.type = frontend::BlkType::write, .sector = 2000, .out = data});
    disk.work();
    ASSERT_EQ(storage->held().size(), 1U);
    must(disk.disk().resize(mebibyte / 2));
    storage->release_all();
    disk.work();
    const auto finished = must(disk.requests().collect());
    ASSERT_EQ(finished.size(), 1U);
    EXPECT_EQ(finished.front().status, frontend::BlkStatus::io_error);
}

TEST(Queues, ThatTheStorageCannotOpenAreAnError) {
    const auto storage = FakeDisk::create(mebibyte);
    DrivenDisk disk(storage->open());
    storage->fail_next_open_queue(EMFILE);
    EXPECT_THROW(disk.restart_queue({}), std::runtime_error);
    EXPECT_EQ(storage->open_queue_count(), 0U);
}

}  // namespace
}  // namespace sidecore::device
