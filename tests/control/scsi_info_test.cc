// SPDX-License-Identifier: Apache-2.0
#include "control/scsi_info.hh"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/example_settings.hh"
#include "control/info.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

ScsiDiskInfo example_disk() {
    return {true, true, "S/N 1", "naa.3000000000000001", 1ULL << 40U, "file", "/d.img, io_uring", "write_exclusive", 7};
}

UnitInfo example_unit() {
    return {{255, 16383}, "quorum", example_disk()};
}

TEST(UnitInfo, IsWrittenAndReadAgain) {
    EXPECT_EQ(parse_unit_info(to_text(to_json(example_unit()))).value(), example_unit());
    const std::vector<UnitInfo> units{example_unit(), {{0, 0}, "", {}}};
    EXPECT_EQ(parse_unit_list(to_text(to_json(units))).value(), units);
    EXPECT_TRUE(parse_unit_list(R"({"units": []})").value().empty());
}

TEST(UnitInfo, OfANewerDaemonMayHaveMoreButNotLess) {
    Json json = to_json(example_unit());
    json["colour"] = "green";
    EXPECT_EQ(parse_unit_info(json.dump()).value(), example_unit());
    json.erase("lun");
    json.erase("identity");
    EXPECT_THAT(parse_unit_info(json.dump()).error().message,
                ::testing::AllOf(HasSubstr("\"lun\""), HasSubstr("\"identity\"")));
}

TEST(SharedDiskInfo, IsWrittenAndReadAgain) {
    const SharedDiskInfo disk{"quorum", {"vm1 0:1", "vm2 0:1"}, example_disk()};
    EXPECT_EQ(parse_shared_disk_info(to_text(to_json(disk))).value(), disk);
    EXPECT_EQ(parse_shared_disk_list(to_text(to_json(std::vector{disk, disk}))).value(), (std::vector{disk, disk}));
    EXPECT_FALSE(parse_shared_disk_info(R"({"name": "quorum", "units": [1]})"));
}

TEST(ScsiInfo, IsPartOfItsDevice) {
    DeviceInfo device;
    device.name = "scsi0";
    device.type = "scsi";
    device.state = "waiting";
    device.socket_mode = "listen";
    device.settings = example_settings();
    device.scsi = ScsiInfo{{example_unit()}};
    const auto read = parse_device_info(to_text(to_json(device)));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, device);
    Json json = to_json(device);
    json["units"][0]["lun"] = 16384;
    EXPECT_EQ(parse_device_info(to_text(json)).error().message,
              "units[0].lun: lun cannot be 16384; allowed are 0 to 16383");
}

}  // namespace
}  // namespace sidecore::control
