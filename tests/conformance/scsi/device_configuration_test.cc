// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 5.6.4.2 "Device Requirements: Device configuration layout" and 5.6.5.1 "Device Requirements: Device Initialization", clause by
// clause.
#include <array>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::ScsiResponse;

// "On reset, the device MUST set sense_size to 96 and cdb_size to 32."
TEST(ScsiDeviceConfiguration, AResetSetsTheSizesBack) {
    DrivenScsi scsi;
    EXPECT_EQ(scsi.config().sense_size, 96U);
    EXPECT_EQ(scsi.config().cdb_size, 32U);
    for (const auto& [at, value] : {std::pair{20U, 18U}, std::pair{24U, 16U}}) {
        const LittleEndian<std::uint32_t> field(value);
        must(scsi.device().write_config(at, std::as_bytes(std::span(&field, 1)), false));
    }
    ASSERT_EQ(scsi.config().sense_size, 18U);
    ASSERT_EQ(scsi.config().cdb_size, 16U);
    scsi.device().reset();
    EXPECT_EQ(scsi.config().sense_size, 96U);
    EXPECT_EQ(scsi.config().cdb_size, 32U);
}

// "The driver MAY immediately issue requests or task management functions."
TEST(ScsiDeviceInitialization, RequestsAreServedAtOnce) {
    DrivenScsi scsi({.with_unit = false});
    EXPECT_EQ(scsi.run({.cdb = frontend::scsi_test_unit_ready()}).response, ScsiResponse::bad_target);
    DrivenScsi with_unit;
    EXPECT_TRUE(with_unit.run({.cdb = frontend::scsi_test_unit_ready()}).good());
}

TEST(ScsiDeviceInitialization, TaskManagementIsServedAtOnce) {
    DrivenScsi scsi;
    EXPECT_EQ(scsi.run(frontend::ScsiFunction::i_t_nexus_reset, frontend::scsi_lun(0, 0)), ScsiResponse::ok);
}

}  // namespace
}  // namespace sidecore::device
