// SPDX-License-Identifier: Apache-2.0
// What a SCSI device offers, and its configuration space (VIRTIO 1.3, 5.6.4).
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

constexpr std::uint32_t sense_size_at = 20;
constexpr std::uint32_t cdb_size_at = 24;
constexpr std::uint32_t config_bytes = 36;

Result<void> write_field(ScsiDevice& device, std::uint32_t at, std::uint32_t value, bool migration = false) {
    const LittleEndian<std::uint32_t> field(value);
    return device.write_config(at, std::as_bytes(std::span(&field, 1)), migration);
}

TEST(ScsiDevice, every_field_of_the_configuration_space_has_its_place) {
    const DrivenScsi scsi({.device = {.queues = 3, .seg_max = 200}});
    const frontend::ScsiConfig config = scsi.config();
    EXPECT_EQ(config.request_queues, 3U);
    EXPECT_EQ(config.seg_max, 200U);
    EXPECT_EQ(config.max_sectors, 16384U);
    EXPECT_EQ(config.commands_per_lun, 128U);
    EXPECT_EQ(config.event_bytes, 16U);
    EXPECT_EQ(config.sense_size, 96U);
    EXPECT_EQ(config.cdb_size, 32U);
    EXPECT_EQ(config.max_channel, 0U);
    EXPECT_EQ(config.max_target, 255U);
    EXPECT_EQ(config.max_lun, 16383U);
}

TEST(ScsiDevice, reads_beyond_the_configuration_space_get_zeroes) {
    DrivenScsi scsi;
    std::array<std::byte, 64> all{};
    scsi.device().read_config(0, all);
    for (const std::uint32_t offset : {0U, 1U, 20U, 33U, 35U, 36U, 4000U, UINT32_MAX}) {
        std::vector<std::byte> part(24, std::byte{0xee});
        scsi.device().read_config(offset, part);
        for (std::size_t i = 0; i < part.size(); ++i) {
            const std::uint64_t at = std::uint64_t{offset} + i;
            EXPECT_EQ(part[i], at < config_bytes ? all.at(at) : std::byte{0}) << offset << " " << i;
        }
    }
    scsi.device().read_config(0, {});
}

TEST(ScsiDevice, the_driver_writes_sense_size_and_cdb_size_and_nothing_else) {
    DrivenScsi scsi;
    must(write_field(scsi.device(), sense_size_at, 252));
    must(write_field(scsi.device(), cdb_size_at, 16));
    EXPECT_EQ(scsi.config().sense_size, 252U);
    EXPECT_EQ(scsi.config().cdb_size, 16U);
    // Byte by byte, as a driver may.
    must(scsi.device().write_config(sense_size_at, std::array{std::byte{64}}, false));
    EXPECT_EQ(scsi.config().sense_size, 64U);
    for (std::uint32_t at = 0; at < config_bytes + 4; ++at) {
        if (at < sense_size_at || at >= cdb_size_at + 4) {
            EXPECT_FALSE(scsi.device().write_config(at, std::array{std::byte{1}}, false)) << at;
        }
    }
    EXPECT_FALSE(write_field(scsi.device(), cdb_size_at + 2, 0)) << "partly theirs";
    EXPECT_FALSE(scsi.device().write_config(UINT32_MAX, std::array{std::byte{1}}, false));
    EXPECT_EQ(scsi.config().sense_size, 64U);
    EXPECT_EQ(scsi.config().cdb_size, 16U);
}

TEST(ScsiDevice, impossible_sizes_are_refused) {
    DrivenScsi scsi;
    for (const std::uint32_t size : {253U, 65536U, UINT32_MAX}) {
        EXPECT_FALSE(write_field(scsi.device(), sense_size_at, size)) << size;
        EXPECT_FALSE(write_field(scsi.device(), sense_size_at, size, true)) << size;
    }
    for (const std::uint32_t size : {0U, 5U, 261U, UINT32_MAX}) {
        EXPECT_FALSE(write_field(scsi.device(), cdb_size_at, size)) << size;
    }
    EXPECT_EQ(scsi.config().sense_size, 96U);
    EXPECT_EQ(scsi.config().cdb_size, 32U);
}

TEST(ScsiDevice, a_migration_brings_the_sizes_along_with_everything_else) {
    DrivenScsi source;
    must(write_field(source.device(), sense_size_at, 18));
    must(write_field(source.device(), cdb_size_at, 12));
    std::array<std::byte, config_bytes> space{};
    source.device().read_config(0, space);
    DrivenScsi destination({.device = {.queues = 2}});
    must(destination.device().write_config(0, space, true));
    EXPECT_EQ(destination.config().sense_size, 18U);
    EXPECT_EQ(destination.config().cdb_size, 12U);
    EXPECT_EQ(destination.config().request_queues, 2U) << "what the device is, is not the source's to say";
}

TEST(ScsiDevice, it_offers_what_it_does) {
    const auto features = [](const ScsiDevice::Options& options) {
        return must(ScsiDevice::create(options))->features();
    };
    constexpr std::uint64_t always = 0b111 | std::uint64_t{1} << 32U;
    EXPECT_EQ(features({}), always | std::uint64_t{1} << 28U | std::uint64_t{1} << 29U);
    EXPECT_EQ(features({.event_index = false}), always | std::uint64_t{1} << 28U);
    EXPECT_EQ(features({.indirect = false}), always | std::uint64_t{1} << 29U);
    EXPECT_EQ(must(ScsiDevice::create({.queues = 5}))->max_queues(), 7U);
    EXPECT_EQ(must(ScsiDevice::create({}))->type(), "scsi");
}

TEST(ScsiDevice, impossible_options_are_refused) {
    EXPECT_FALSE(ScsiDevice::create({.queues = 0}));
    EXPECT_FALSE(ScsiDevice::create({.queues = 65}));
    EXPECT_TRUE(ScsiDevice::create({.queues = 64}));
    EXPECT_FALSE(ScsiDevice::create({.seg_max = 0}));
    EXPECT_FALSE(ScsiDevice::create({.seg_max = 1025}));
    EXPECT_TRUE(ScsiDevice::create({.seg_max = 1024}));
}

TEST(ScsiDevice, it_says_how_many_logical_units_it_has) {
    DrivenScsi scsi;
    EXPECT_EQ(scsi.device().description(), "1 logical unit");
    scsi.add(3, 7);
    EXPECT_EQ(scsi.device().description(), "2 logical units");
}

TEST(ScsiDevice, queues_have_names) {
    DrivenScsi scsi({.device = {.name = "disks", .queues = 2}});
    EXPECT_EQ(scsi.vring(0).device->name(), "disks control queue");
    EXPECT_EQ(scsi.vring(1).device->name(), "disks event queue");
    EXPECT_EQ(scsi.vring(2).device->name(), "disks queue 2");
    EXPECT_EQ(scsi.vring(3).device->name(), "disks queue 3");
}

TEST(ScsiDevice, a_reset_is_a_loss_of_all_nexuses) {
    DrivenScsi scsi;
    scsi.device().reset();
    scsi.device().accept_features(scsi.device().features());
    const auto finished = scsi.run({.cdb = frontend::scsi_test_unit_ready()});
    EXPECT_TRUE(failed_with(finished, scsi::SenseKey::unit_attention, scsi::AdditionalSense::i_t_nexus_loss_occurred));
    EXPECT_TRUE(scsi.run({.cdb = frontend::scsi_test_unit_ready()}).good());
}

}  // namespace
}  // namespace sidecore::device
