// SPDX-License-Identifier: Apache-2.0
#include "cli/render_scsi.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/render.hh"
#include "daemon/fake_service.hh"

namespace sidecore::cli {
namespace {

using test::FakeService;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(RenderScsi, ListsUnits) {
    control::UnitInfo shared = FakeService::make_unit({1, 300});
    shared.shared_disk = "quorum";
    shared.disk.read_only = true;
    shared.disk.reservation = "write_exclusive";
    shared.disk.registrants = 2;
    EXPECT_EQ(render_units({FakeService::make_unit({0, 1}), shared}),
              "UNIT   DISK     SIZE  READ-ONLY  SERIAL  IDENTITY              RESERVED                       STORAGE\n"
              "0:1    -       10GiB  no         S/N 1   naa.3000000000000001  -                              "
              "/srv/d.img, io_uring\n"
              "1:300  quorum  10GiB  yes        S/N 1   naa.3000000000000001  write exclusive, 2 registered  "
              "/srv/d.img, io_uring\n");
    EXPECT_EQ(render_units({}), "UNIT  DISK  SIZE  READ-ONLY  SERIAL  IDENTITY  RESERVED  STORAGE\n");
}

TEST(RenderScsi, ListsSharedDisks) {
    control::SharedDiskInfo alone = FakeService::make_disk("spare");
    alone.units.clear();
    alone.disk.registrants = 1;
    EXPECT_EQ(
        render_disks({FakeService::make_disk("quorum"), alone}),
        "DISK     SIZE  READ-ONLY  SERIAL  IDENTITY              RESERVED      UNITS             STORAGE\n"
        "quorum  10GiB  no         S/N 1   naa.3000000000000001  -             vm1 0:1, vm2 0:1  /srv/d.img, io_uring\n"
        "spare   10GiB  no         S/N 1   naa.3000000000000001  1 registered  -                 /srv/d.img, "
        "io_uring\n");
}

TEST(RenderScsi, ADeviceShowsItsUnits) {
    const control::DeviceInfo device = FakeService::make_scsi_device("scsi0");
    EXPECT_THAT(render_device(device),
                AllOf(StartsWith("name        scsi0\ntype        scsi\n"), HasSubstr("\nUNIT  DISK   SIZE "),
                      HasSubstr("\n0:1   -     10GiB "), HasSubstr("\nQUEUE  RING ")));
    EXPECT_THAT(render_devices({device}), AllOf(HasSubstr("\nscsi0  scsi  running     - "), HasSubstr(" 1 unit\n")));
}

}  // namespace
}  // namespace sidecore::cli
