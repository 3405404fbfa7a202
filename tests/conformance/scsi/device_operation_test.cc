// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.3, 5.6.6.1.1 "Device Requirements: Device Operation: Request Queues", the requirements in 5.6.6.2 "Device Operation: controlq", and 5.6.6.3.2
// "Device Requirements: Device Operation: eventq", clause by clause. There is no link between us and the storage that could be severed, no other path
// and no MMC device, so that of the clauses about those nothing applies.
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::scsi_lun;
using frontend::ScsiFunction;
using frontend::ScsiResponse;
using storage::FaultAction;

class ScsiDeviceOperation : public testing::Test {
protected:
    /// A write that the storage keeps.
    void offer_held(std::uint64_t id, std::uint16_t lun = 0) {
        scsi.offer({.cdb = frontend::scsi_write_10(0, 1), .lun = scsi_lun(0, lun), .out = data, .id = id});
        scsi.work();
    }

    const std::vector<std::byte> data = pattern(512, 1);
    DrivenScsi scsi;
};

// "The device MUST write the status byte as the status code as defined in SAM."
// "VIRTIO_SCSI_S_OK when the request was completed and the status byte is filled with a SCSI status code (not necessarily "GOOD")."
TEST_F(ScsiDeviceOperation, StatusIsThatOfSam) {
    const auto good = scsi.run({.cdb = frontend::scsi_test_unit_ready()});
    EXPECT_EQ(good.response, ScsiResponse::ok);
    EXPECT_EQ(good.status, 0x00);
    const auto check_condition = scsi.run({.cdb = {std::byte{0xff}}});
    EXPECT_EQ(check_condition.response, ScsiResponse::ok);
    EXPECT_EQ(check_condition.status, 0x02);
    scsi.disk().fail_next_open_queue(EMFILE);
    const auto busy = scsi.run({.cdb = frontend::scsi_write_10(0, 1), .out = data});
    EXPECT_EQ(busy.response, ScsiResponse::ok);
    EXPECT_EQ(busy.status, 0x08);
}

// "VIRTIO_SCSI_S_OVERRUN if the content of the CDB (such as the allocation length, parameter length or transfer size) requires more data than is
// available in the datain and dataout buffers."
TEST_F(ScsiDeviceOperation, TooLittleDataIsAnOverrun) {
    std::vector<std::byte> room(512);
    EXPECT_EQ(scsi.run({.cdb = frontend::scsi_read_10(0, 2), .in = room}).response, ScsiResponse::overrun);
    EXPECT_EQ(scsi.run({.cdb = frontend::scsi_write_10(0, 2), .out = data}).response, ScsiResponse::overrun);
}

// "VIRTIO_SCSI_S_ABORTED if the request was cancelled due to an ABORT TASK or ABORT TASK SET task management function."
TEST_F(ScsiDeviceOperation, WhatIsAbortedSaysSo) {
    scsi.disk().add_fault({.action = FaultAction::hold});
    offer_held(1);
    EXPECT_EQ(scsi.run(ScsiFunction::abort_task, scsi_lun(0, 0), 1), ScsiResponse::ok);
    EXPECT_EQ(scsi.finished().at(0).response, ScsiResponse::aborted);
    offer_held(2);
    EXPECT_EQ(scsi.run(ScsiFunction::abort_task_set, scsi_lun(0, 0)), ScsiResponse::ok);
    EXPECT_EQ(scsi.finished().at(0).response, ScsiResponse::aborted);
}

// "VIRTIO_SCSI_S_BAD_TARGET if the request was never processed because the target indicated by lun does not exist."
TEST_F(ScsiDeviceOperation, ATargetThatDoesNotExistIsBad) {
    EXPECT_EQ(scsi.run({.cdb = frontend::scsi_test_unit_ready(), .lun = scsi_lun(9, 0)}).response,
              ScsiResponse::bad_target);
}

// "VIRTIO_SCSI_S_RESET if the request was cancelled due to a bus or device reset (including a task management function)."
// "the device MUST complete all active commands on a logical unit or target (possibly with a VIRTIO_SCSI_S_RESET response code) upon receiving a
// "logical unit reset" or "I_T nexus reset" TMF"
TEST_F(ScsiDeviceOperation, AResetEndsAllActiveCommands) {
    scsi.disk().add_fault({.action = FaultAction::hold});
    for (const ScsiFunction function : {ScsiFunction::logical_unit_reset, ScsiFunction::i_t_nexus_reset}) {
        offer_held(1);
        offer_held(2);
        EXPECT_EQ(scsi.run(function, scsi_lun(0, 0)), ScsiResponse::ok);
        const auto finished = scsi.finished();
        ASSERT_EQ(finished.size(), 2U);
        for (const auto& one : finished) {
            EXPECT_EQ(one.response, ScsiResponse::reset);
        }
        scsi.run({.cdb = frontend::scsi_test_unit_ready()});  // it is told of the reset
    }
}

// "if neither dataout nor datain is empty, and the VIRTIO_SCSI_F_INOUT feature has not been negotiated, the request will be immediately returned with a
// response equal to VIRTIO_SCSI_S_FAILURE."
TEST_F(ScsiDeviceOperation, WithoutInoutDataInBothDirectionsFails) {
    DrivenScsi without({.refused_features = scsi_host::feature_inout});
    std::vector<std::byte> room(512);
    EXPECT_EQ(without.run({.cdb = frontend::scsi_write_10(0, 1), .out = data, .in = room}).response,
              ScsiResponse::failure);
    EXPECT_TRUE(without.disk().seen().empty());
    EXPECT_TRUE(scsi.run({.cdb = frontend::scsi_write_10(0, 1), .out = data, .in = room}).good());
}

// "The virtio-scsi device SHOULD implement the REPORT LUNS well-known logical unit."
TEST_F(ScsiDeviceOperation, TheReportLunsLogicalUnitIsThere) {
    const auto finished = scsi.run({.cdb = frontend::scsi_read_10(0, 0), .lun = {0xc1, 0x01, 0, 0, 0, 0, 0, 0}});
    EXPECT_EQ(finished.response, ScsiResponse::ok);
    EXPECT_EQ(finished.status, 0x02) << "it has no blocks to read";
}

// "Such effects MUST take place before the TMF itself is successfully completed, and the device MUST use memory barriers appropriately in order to
// ensure that the driver sees these writes in the correct order."
TEST_F(ScsiDeviceOperation, AFunctionIsCompleteAfterTheCommandsThatItEnds) {
    scsi.disk().add_fault({.action = FaultAction::hold_fast});
    offer_held(1);
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 1);
    scsi.work();
    EXPECT_TRUE(scsi.answers().empty());
    scsi.disk().release_all();
    scsi.work(0);
    EXPECT_TRUE(scsi.answers().empty());
    scsi.work(2);
    EXPECT_TRUE(scsi.requests().queue().has_used());
    scsi.work(0);
    EXPECT_EQ(scsi.answers().size(), 1U);
    EXPECT_EQ(scsi.finished().size(), 1U);
}

// "The device MUST set bit 31 in event if events were lost due to missing buffers"
TEST_F(ScsiDeviceOperation, LostEventsAreTold) {
    for (std::uint64_t i = 0; i <= ScsiEvents::count_max; ++i) {
        must(scsi.unit().resize(mebibyte + (i % 2) * 4096));
    }
    scsi.add_event_buffers(1);
    scsi.work();
    EXPECT_TRUE(scsi.events().at(0).missed());
}

// "The device MUST NOT send VIRTIO_SCSI_T_TRANSPORT_RESET messages with reason set to VIRTIO_SCSI_EVT_RESET_REMOVED or VIRTIO_SCSI_EVT_RESET_RESCAN
// unless VIRTIO_SCSI_F_HOTPLUG was negotiated."
TEST_F(ScsiDeviceOperation, WithoutHotplugNothingIsSaidOfUnitsThatComeAndGo) {
    DrivenScsi without({.refused_features = scsi_host::feature_hotplug});
    without.add_event_buffers(4);
    without.add(0, 1);
    must(without.domain().remove(0, scsi::Lun(1)));
    without.work();
    EXPECT_TRUE(without.events().empty());
}

}  // namespace
}  // namespace sidecore::device
