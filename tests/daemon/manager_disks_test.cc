// SPDX-License-Identifier: Apache-2.0
// SCSI devices in the daemon, their units, and the disks that they share.

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/manager_fixture.hh"

namespace sidecore::daemon {
namespace {

using control::UnitAddress;
using control::UnitSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

UnitSpec memory_unit(std::optional<std::uint16_t> lun = {}) {
    UnitSpec unit;
    unit.lun = lun;
    unit.disk.storage.kind = control::StorageKind::memory;
    unit.disk.storage.size_bytes = 1U << 20U;
    return unit;
}

UnitSpec shared_unit(std::uint16_t lun, const std::string& disk) {
    UnitSpec unit;
    unit.lun = lun;
    unit.shared_disk = disk;
    return unit;
}

class ManagerDisks : public ManagerTest {
protected:
    control::DeviceSpec scsi(const std::string& name, std::vector<UnitSpec> units = {},
                             std::uint16_t request_queues = 1) const {
        control::DeviceSpec spec;
        spec.name = name;
        spec.type = "scsi";
        spec.socket = folder_ / (name + ".sock");
        spec.scsi.request_queues = request_queues;
        spec.scsi.units = std::move(units);
        spec.queues = static_cast<std::uint16_t>(request_queues + 2);
        return spec;
    }

    void add_disk(const std::string& name) {
        control::SharedDiskSpec spec{name, memory_unit().disk};
        const auto added = manager_->add_disk(spec);
        ASSERT_TRUE(added) << added.error().message;
        EXPECT_EQ(added->name, name);
    }

    std::vector<std::string> addresses(const std::string& device) {
        std::vector<std::string> found;
        const auto units = manager_->units(device).value();
        for (const control::UnitInfo& unit : units) {
            found.push_back(control::to_string(unit.address));
        }
        return found;
    }
};

TEST_F(ManagerDisks, ADeviceHasItsQueuesAndUnits) {
    start({{"io0"}, {"io1"}});
    control::DeviceSpec spec = scsi("scsi0", {memory_unit(0), memory_unit(7)}, 4);
    spec.vm = "vm1";
    spec.queue_specs = {{5, "io1", {{control::Setting::kind, "always"}}}};
    add(spec);
    const control::DeviceInfo info = manager_->device("scsi0").value();
    EXPECT_EQ(info.type, "scsi");
    EXPECT_EQ(info.state, "waiting");
    ASSERT_EQ(info.queues.size(), 6U);
    EXPECT_EQ(info.queues[5].worker, "io1");
    EXPECT_EQ(info.queues[5].settings.text(control::Setting::kind), "always");
    EXPECT_FALSE(info.disk);
    EXPECT_FALSE(info.net);
    ASSERT_TRUE(info.scsi);
    ASSERT_EQ(info.scsi->units.size(), 2U);
    EXPECT_EQ(info.scsi->units[1].address, (UnitAddress{0, 7}));
    EXPECT_EQ(info.scsi->units[1].disk.serial, "scsi0-0-7");
    EXPECT_EQ(manager_->unit("scsi0", {0, 7}).value(), info.scsi->units[1]);

    // What all devices have.
    EXPECT_EQ(manager_->statistics("scsi0").value().devices.at(0).queues.size(), 6U);
    EXPECT_EQ(manager_->statistics({}).value().vms.at(0).devices, std::vector<std::string>{"scsi0"});
    EXPECT_EQ(manager_->explain({"scsi0"}).value().queues.size(), 6U);
    EXPECT_TRUE(manager_->move({"scsi0", 2}, {"io1"}));
    EXPECT_EQ(queue("scsi0", 2).worker, "io1");
    EXPECT_TRUE(manager_->change_settings({.device = "scsi0", .queue = 0}, change(R"({"policy": {"kind": "never"}})")));
    EXPECT_TRUE(manager_->remove_worker("io1"));
    EXPECT_EQ(manager_->explain({"scsi0", 6}).error().kind, ErrorKind::not_found);
}

TEST_F(ManagerDisks, UnitsComeGoAndChangeTheirSize) {
    start();
    add(scsi("scsi0"));
    EXPECT_THAT(addresses("scsi0"), IsEmpty());
    EXPECT_EQ(manager_->add_unit("scsi0", memory_unit()).value().address, UnitAddress());
    EXPECT_EQ(manager_->add_unit("scsi0", memory_unit()).value().address, (UnitAddress{0, 1}));
    EXPECT_EQ(manager_->add_unit("scsi0", memory_unit(1)).error().kind, ErrorKind::already_exists);
    EXPECT_EQ(manager_->resize_unit("scsi0", {0, 1}, {2U << 20U}).value().disk.capacity_bytes, 2U << 20U);
    EXPECT_EQ(manager_->unit("scsi0", {0, 1}).value().disk.capacity_bytes, 2U << 20U);
    EXPECT_EQ(manager_->resize_unit("scsi0", {0, 2}, {512}).error().kind, ErrorKind::not_found);
    EXPECT_TRUE(manager_->remove_unit("scsi0", {0, 0}));
    EXPECT_THAT(addresses("scsi0"), ElementsAre("0:1"));
    EXPECT_EQ(manager_->remove_unit("scsi0", {0, 0}).error().message, "the device \"scsi0\" has no unit 0:0");
    EXPECT_TRUE(manager_->remove_device("scsi0"));
    EXPECT_EQ(manager_->units("scsi0").error().message, "there is no device \"scsi0\"");
}

TEST_F(ManagerDisks, OtherDevicesHaveNoUnits) {
    start();
    add(spec("disk0"));
    const std::string message = "disk0: a blk device has no logical units";
    EXPECT_EQ(manager_->units("disk0").error().message, message);
    EXPECT_EQ(manager_->unit("disk0", {}).error().kind, ErrorKind::unsupported);
    EXPECT_EQ(manager_->add_unit("disk0", memory_unit()).error().message, message);
    EXPECT_EQ(manager_->remove_unit("disk0", {}).error().message, message);
    EXPECT_EQ(manager_->resize_unit("disk0", {}, {512}).error().message, message);
}

TEST_F(ManagerDisks, AScsiDeviceHasNeitherSizeNorPackets) {
    start();
    add(scsi("scsi0"));
    EXPECT_EQ(manager_->resize_device("scsi0", {512}).error().message,
              "scsi0: a scsi device has no size; say which of its units to resize");
    EXPECT_EQ(manager_->limit_device("scsi0", {}).error().message, "scsi0: a scsi device has no rate limits");
    EXPECT_EQ(manager_->announce_device("scsi0").error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(manager_->capture("scsi0", {}).error().message, "scsi0: a scsi device has no packets");
}

TEST_F(ManagerDisks, ADeviceOneOfWhoseUnitsCannotBeIsNotThere) {
    start();
    const auto added = manager_->add_device(scsi("scsi0", {memory_unit(0), shared_unit(1, "quorum")}));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().message, "scsi0 unit 0:1: there is no disk \"quorum\"");
    EXPECT_THAT(manager_->devices(), IsEmpty());
    EXPECT_EQ(manager_->add_unit("scsi0", memory_unit()).error().kind, ErrorKind::not_found);
}

TEST_F(ManagerDisks, SeveralDevicesShareADisk) {
    start();
    add_disk("quorum");
    EXPECT_EQ(manager_->add_disk({"quorum", memory_unit().disk}).error().message, "there is a disk \"quorum\" already");
    add(scsi("vm1", {shared_unit(0, "quorum")}));
    add(scsi("vm2"));
    EXPECT_EQ(manager_->add_unit("vm2", shared_unit(3, "quorum")).value().shared_disk, "quorum");
    EXPECT_EQ(manager_->add_unit("vm2", shared_unit(4, "none")).error().message,
              "vm2 unit 0:4: there is no disk \"none\"");
    EXPECT_THAT(manager_->disk("quorum").value().units, ElementsAre("vm1 0:0", "vm2 0:3"));
    EXPECT_EQ(manager_->disks().at(0), manager_->disk("quorum").value());

    const auto resized = manager_->resize_disk("quorum", {4U << 20U});
    ASSERT_TRUE(resized) << resized.error().message;
    EXPECT_EQ(resized->disk.capacity_bytes, 4U << 20U);
    EXPECT_EQ(manager_->unit("vm2", {0, 3}).value().disk.capacity_bytes, 4U << 20U);
    EXPECT_EQ(manager_->unit("vm1", {0, 0}).value().disk.identity, resized->disk.identity);
    EXPECT_THAT(manager_->resize_disk("quorum", {1000}).error().message, HasSubstr("disk quorum: "));

    const auto refused = manager_->remove_disk("quorum");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(refused.error().message, "the disk \"quorum\" is in use: remove the units vm1 0:0, vm2 0:3 first");
    EXPECT_TRUE(manager_->remove_device("vm1"));
    EXPECT_EQ(manager_->remove_disk("quorum").error().message,
              "the disk \"quorum\" is in use: remove the unit vm2 0:3 first");
    EXPECT_TRUE(manager_->remove_unit("vm2", {0, 3}));
    EXPECT_TRUE(manager_->remove_disk("quorum"));
    EXPECT_THAT(manager_->disks(), IsEmpty());
    EXPECT_EQ(manager_->remove_disk("quorum").error().message, "there is no disk \"quorum\"");
    EXPECT_EQ(manager_->disk("quorum").error().kind, ErrorKind::not_found);
    EXPECT_EQ(manager_->resize_disk("quorum", {512}).error().kind, ErrorKind::not_found);
}

TEST_F(ManagerDisks, ADiskThatCannotBeOpenedIsNotThere) {
    start();
    control::SharedDiskSpec spec{"quorum", {}};
    spec.disk.storage = {
        control::StorageKind::file, folder_ / "none.img", 0, false, control::FileEngine::automatic, {}};
    EXPECT_THAT(manager_->add_disk(spec).error().message, ::testing::StartsWith("disk quorum: "));
    EXPECT_THAT(manager_->disks(), IsEmpty());
}

TEST_F(ManagerDisks, TheDaemonEndsWithUnitsInPlace) {
    start();
    add_disk("quorum");
    add(scsi("vm1", {shared_unit(0, "quorum"), memory_unit(1)}));
    manager_.reset();
}

}  // namespace
}  // namespace sidecore::daemon
