// SPDX-License-Identifier: Apache-2.0
#include "control/scsi_spec.hh"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/device_spec.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

std::string device_with(const std::string& members) {
    return R"({"name": "scsi0", "type": "scsi", "socket": "/run/s")" + (members.empty() ? "" : ", " + members) + "}";
}

std::string error_of(const std::string& members) {
    const auto spec = parse_device_spec(device_with(members));
    return spec ? "no error" : spec.error().message;
}

std::string unit_error(std::string_view body) {
    const auto spec = parse_unit_spec(body);
    return spec ? "no error" : spec.error().message;
}

constexpr std::string_view null_storage = R"("storage": {"kind": "null", "size": 512})";

std::string with_storage(const std::string& members) {
    return "{" + members + (members.empty() ? "" : ", ") + std::string(null_storage) + "}";
}

TEST(UnitAddress, IsATargetAndALun) {
    EXPECT_EQ(parse_unit_address("0:0").value(), UnitAddress());
    EXPECT_EQ(parse_unit_address("255:16383").value(), (UnitAddress{255, 16383}));
    EXPECT_EQ(to_string(UnitAddress{3, 12}), "3:12");
    for (const std::string_view wrong :
         {"", ":", "0", "0:", ":0", "256:0", "0:16384", "0:1:2", "-1:0", "0:-1", "0: 1", "a:b", "0x1:0", "0:65536"}) {
        EXPECT_EQ(parse_unit_address(wrong).error().message,
                  "\"" + std::string(wrong) + "\" is no unit; write TARGET:LUN, 0 to 255 and 0 to 16383, like \"0:1\"");
    }
}

TEST(ScsiSpec, HasDefaultsForAll) {
    const auto spec = parse_device_spec(device_with(""));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(spec->is_scsi());
    EXPECT_FALSE(spec->is_disk());
    EXPECT_EQ(spec->scsi, ScsiSpec());
    EXPECT_EQ(spec->scsi.request_queues, 1);
    EXPECT_EQ(spec->scsi.seg_max, 126);
    EXPECT_EQ(spec->queues, 3) << "the control and the event queue among them";
    EXPECT_EQ(to_json(*spec).dump(), R"({"name":"scsi0","type":"scsi","socket":"/run/s"})");
}

TEST(ScsiSpec, RoundTripsInFull) {
    DeviceSpec spec;
    spec.name = "scsi0";
    spec.type = "scsi";
    spec.socket = "/run/s";
    spec.vm = "web1";
    spec.scsi.request_queues = 64;
    spec.scsi.seg_max = 1024;
    spec.queues = 66;
    spec.queue_specs = {{0, "io1", {}}, {65, {}, {{Setting::kind, "always"}}}};
    UnitSpec own;
    own.target = 255;
    own.lun = 16383;
    own.disk.read_only = true;
    own.disk.serial = "a serial of exactly 32 letters..";
    own.disk.vendor = "ACME";
    own.disk.product = "spinning thing";
    own.disk.revision = "1.2";
    own.disk.rotational = true;
    own.disk.reservations_file = "/var/lib/r.json";
    own.disk.state_file = "/var/lib/s.json";
    own.disk.storage = {StorageKind::file, "/d.img", 0, true, FileEngine::threads, 4};
    UnitSpec shared;
    shared.lun = 0;
    shared.shared_disk = "quorum";
    spec.scsi.units = {own, shared};
    EXPECT_EQ(parse_device_spec(to_text(to_json(spec))).value(), spec);
}

TEST(ScsiSpec, GivesUnitsTheLowestLunThatIsLeft) {
    const std::string unit = with_storage("");
    const auto spec =
        parse_device_spec(device_with(R"("unit": [)" + unit + ", " + with_storage(R"("lun": 1)") + ", " + unit + ", " +
                                      with_storage(R"("target": 1)") + ", " + with_storage(R"("lun": 0)") + "]"));
    ASSERT_TRUE(spec) << spec.error().message;
    std::vector<std::string> addresses;
    for (const UnitSpec& each : spec->scsi.units) {
        addresses.push_back(to_string(UnitAddress{each.target, each.lun.value()}));
    }
    EXPECT_THAT(addresses, ::testing::ElementsAre("0:2", "0:1", "0:3", "1:0", "0:0"));
}

TEST(ScsiSpec, RefusesImpossibleDevices) {
    EXPECT_EQ(error_of(R"("queues": 65)"), "queues: queues cannot be 65; allowed are 1 to 64");
    EXPECT_EQ(
        error_of(R"("queues": 65, "queue": [{"index": 66}])"),
        "queues: queues cannot be 65; allowed are 1 to 64; queue[0].index: index cannot be 66; allowed are 0 to 65");
    EXPECT_EQ(error_of(R"("queue": [{"index": 3}])"), "queue[0].index: index cannot be 3; allowed are 0 to 2");
    EXPECT_EQ(error_of(R"("queues": 2, "queue": [{"index": 3}])"), "no error");
    EXPECT_EQ(error_of(R"("seg_max": 0)"), "seg_max: seg_max cannot be 0; allowed are 1 to 1024");
    EXPECT_EQ(error_of(R"("seg_max": 1025)"), "seg_max: seg_max cannot be 1025; allowed are 1 to 1024");
    EXPECT_EQ(error_of(R"("unit": {})"), "unit: unit is an array, not a table");
    EXPECT_EQ(error_of(R"("unit": [1])"), "unit[0]: unit is a table, not an integer");
    const std::string twice = with_storage(R"("target": 2, "lun": 7)");
    EXPECT_EQ(error_of(R"("unit": [)" + twice + ", " + twice + "]"), "unit[1]: the unit 2:7 is there twice");
}

TEST(ScsiSpec, KeysOfOtherTypesMeanNothing) {
    for (const std::string key :
         {"read_only", "serial", "storage", "pairs", "mac", "mtu", "speed", "offloads", "network", "limits"}) {
        EXPECT_EQ(error_of('"' + key + R"(": 1)"), key + ": " + key + " means nothing for type = \"scsi\"");
    }
    for (const std::string key : {"seg_max", "unit"}) {
        EXPECT_EQ(parse_device_spec(R"({"name": "d", "socket": "/d", )" + std::string(null_storage) + ", \"" + key +
                                    R"(": 1})")
                      .error()
                      .message,
                  key + ": " + key + " means nothing for type = \"blk\"");
    }
    EXPECT_THAT(parse_device_spec(R"({"name": "d", "type": "net", "socket": "/d", "network": {"kind": "null"},)"
                                  R"( "queues": 1, "unit": []})")
                    .error()
                    .message,
                ::testing::AllOf(HasSubstr("queues means nothing for type = \"net\""),
                                 HasSubstr("unit means nothing for type = \"net\"")));
}

TEST(UnitSpec, MayLeaveItsLunOpen) {
    const auto spec = parse_unit_spec(with_storage(""));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->target, 0);
    EXPECT_FALSE(spec->lun);
    EXPECT_EQ(to_json(*spec).dump(), R"({"storage":{"kind":"null","size":512}})");
    EXPECT_EQ(parse_unit_spec(R"({"disk": "quorum"})").value().shared_disk, "quorum");
}

TEST(UnitSpec, SaysWhatIsWrong) {
    EXPECT_EQ(unit_error("{}"), "request: unit needs the key \"storage\"");
    EXPECT_EQ(unit_error(with_storage(R"("target": 256)")), "target: target cannot be 256; allowed are 0 to 255");
    EXPECT_EQ(unit_error(with_storage(R"("lun": 16384)")), "lun: lun cannot be 16384; allowed are 0 to 16383");
    EXPECT_EQ(unit_error(with_storage(R"("lun": -1)")), "lun: lun cannot be -1; allowed are 0 to 16383");
    EXPECT_EQ(unit_error(with_storage(R"("serial": "123456789012345678901234567890123")")),
              "serial: serial has to be at most 32 printable ASCII characters");
    EXPECT_EQ(unit_error(with_storage(R"("vendor": "123456789")")),
              "vendor: vendor has to be at most 8 printable ASCII characters");
    EXPECT_EQ(unit_error(with_storage(R"("product": "12345678901234567")")),
              "product: product has to be at most 16 printable ASCII characters");
    EXPECT_EQ(unit_error(with_storage(R"("revision": "1\u00e4")")),
              "revision: revision has to be at most 4 printable ASCII characters");
    EXPECT_EQ(unit_error(with_storage(R"("rotational": 1)")),
              "rotational: rotational is true or false, not an integer");
    EXPECT_EQ(unit_error(with_storage(R"("reservations_file": "r")")),
              "reservations_file: reservations_file has to be an absolute path");
    EXPECT_EQ(unit_error(R"({"reservations_file": "/d", "storage": {"kind": "file", "path": "/d"}})"),
              "reservations_file: reservations_file is the disk's own path; it has to be another file");
    EXPECT_EQ(unit_error(R"({"state_file": "/d", "storage": {"kind": "file", "path": "/d"}})"),
              "state_file: state_file is the disk's own path; it has to be another file");
    EXPECT_EQ(unit_error(with_storage(R"("state_file": "/r", "reservations_file": "/r")")),
              "state_file: state_file is the reservations_file; it has to be another file");
    EXPECT_EQ(unit_error(R"({"storage": {"kind": "null", "size": 1000}})"),
              "storage.size: size has to be a multiple of 512 bytes");
    EXPECT_EQ(unit_error(with_storage(R"("colour": 1)")),
              "colour: unknown key \"colour\"; unit can have disk, lun, product, read_only, reservations_file, "
              "revision, rotational, serial, state_file, storage, target, vendor");
}

TEST(UnitSpec, OfASharedDiskSaysNothingElseOfIt) {
    for (const std::string key : {"read_only", "serial", "vendor", "product", "revision", "rotational",
                                  "reservations_file", "state_file", "storage"}) {
        EXPECT_EQ(unit_error(R"({"disk": "quorum", ")" + key + R"(": 1})"),
                  key + ": " + key + " means nothing for a unit with a \"disk\", which says it");
    }
    EXPECT_THAT(unit_error(R"({"disk": "a b"})"), HasSubstr("disk: disk has to be 1 to 64 letters"));
}

TEST(SharedDiskSpec, RoundTripsAndSaysWhatIsWrong) {
    SharedDiskSpec spec{"quorum", {}};
    spec.disk.serial = "Q";
    spec.disk.storage = {StorageKind::memory, "", 4096, false, FileEngine::automatic, {}};
    EXPECT_EQ(parse_shared_disk_spec(to_text(to_json(spec))).value(), spec);
    EXPECT_EQ(parse_shared_disk_spec("{}").error().message,
              "request: disk needs the key \"name\"; request: disk needs the key \"storage\"");
    EXPECT_EQ(parse_shared_disk_spec(with_storage(R"("name": "q", "lun": 1)")).error().message,
              "lun: unknown key \"lun\"; disk can have name, product, read_only, reservations_file, revision, "
              "rotational, serial, state_file, storage, vendor");
}

}  // namespace
}  // namespace sidecore::control
