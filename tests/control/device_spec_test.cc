// SPDX-License-Identifier: Apache-2.0
#include "control/device_spec.hh"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

/// A device with one member more, or with one in place of another of the same name.
std::string device_with(std::string_view key, std::string_view value) {
    Json json = Json::parse(
        R"({"name": "disk0", "type": "blk", "socket": "/run/d", "storage": {"kind": "null", "size": "1GiB"}})");
    json[std::string(key)] = Json::parse(value);
    return to_text(json);
}

std::string error_of(std::string_view body) {
    const auto parsed = parse_device_spec(body);
    return parsed ? "no error" : parsed.error().message;
}

TEST(DeviceSpec, HasDefaultsForAllButTheEssential) {
    const auto spec =
        parse_device_spec(R"({"name": "disk0", "socket": "/run/d", "storage": {"kind": "file", "path": "/d.img"}})");
    ASSERT_TRUE(spec) << spec.error().message;
    DeviceSpec expected;
    expected.name = "disk0";
    expected.socket = "/run/d";
    expected.storage.kind = StorageKind::file;
    expected.storage.path = "/d.img";
    EXPECT_EQ(*spec, expected);
    EXPECT_EQ(spec->type, "blk");
    EXPECT_EQ(spec->queues, 1);
    EXPECT_EQ(spec->mode, SocketMode::listen);
}

TEST(DeviceSpec, RoundTripsInFull) {
    DeviceSpec spec;
    spec.name = "disk-1.a_B";
    spec.socket = "/run/sidecore/disk1.sock";
    spec.mode = SocketMode::connect;
    spec.retry_interval_ns = 250'000'000;
    spec.queues = 64;
    spec.read_only = true;
    spec.serial = "serial of 20 letters";
    spec.worker = "io0";
    spec.vm = "web1";
    spec.storage = {StorageKind::file, "/dev/vg/disk1", 0, true, FileEngine::threads, 8};
    spec.settings = {{Setting::kind, "rate"}, {Setting::poll_start_rate, 8U}, {Setting::poll_stop_idle, 1'000'000'000U},
                     {Setting::weight, 200U}, {Setting::latency_class, true}, {Setting::call_max_delay, 20'000U}};
    spec.queue_specs = {{0, "io1", {{Setting::kind, "always"}}}, {63, {}, {}}};
    EXPECT_EQ(parse_device_spec(to_text(to_json(spec))).value(), spec);

    spec.mode = SocketMode::listen;
    spec.retry_interval_ns = DeviceSpec::default_retry_interval_ns;
    spec.socket_permissions = 0660;
    spec.socket_group = "kvm";
    spec.storage = {StorageKind::memory, "", 64U << 20U, false, FileEngine::automatic, {}};
    EXPECT_EQ(parse_device_spec(to_text(to_json(spec))).value(), spec);
}

TEST(DeviceSpec, SaysWhatIsMissing) {
    EXPECT_EQ(error_of("{}"),
              "request: device needs the key \"name\"; "
              "request: device needs the key \"socket\"; request: device needs the key \"storage\"");
    EXPECT_EQ(error_of(device_with("storage", R"({"kind": "file"})")), "storage: storage needs the key \"path\"");
    EXPECT_EQ(error_of(device_with("storage", R"({"kind": "null"})")), "storage: storage needs the key \"size\"");
    EXPECT_EQ(error_of(device_with("storage", "{}")), "storage: storage needs the key \"kind\"");
    EXPECT_EQ(error_of(device_with("queue", "[{}]")), "queue[0]: queue needs the key \"index\"");
}

TEST(DeviceSpec, RefusesNamesThatWouldNotFitEverywhere) {
    for (const std::string_view name : {"\"\"", "\"a/b\"", "\"..\"", "\".a\"", "\"-a\"", "\"a b\"", "\"\u00e4\""}) {
        EXPECT_THAT(error_of(device_with("name", name)), HasSubstr("name: name has to be 1 to 64 letters")) << name;
    }
    EXPECT_EQ(error_of(device_with("name", '"' + std::string(64, 'x') + '"')), "no error");
    EXPECT_NE(error_of(device_with("name", '"' + std::string(65, 'x') + '"')), "no error");
    EXPECT_EQ(error_of(device_with("name", "3")),
              "name: name is a string, not an integer; name: name has to be 1 to "
              "64 letters, digits, '.', '_' or '-', and not start with '.' or '-'");
}

TEST(DeviceSpec, RefusesImpossibleValues) {
    const auto expect = [](std::string_view key, std::string_view value, std::string_view error) {
        EXPECT_EQ(error_of(device_with(key, value)), error);
    };
    EXPECT_THAT(error_of(device_with("vm", "\"a b\"")), HasSubstr("vm: vm has to be 1 to 64 letters"));
    expect("type", "\"gpu\"", "type: type cannot be \"gpu\"; allowed are \"blk\", \"net\", \"scsi\"");
    expect("socket", "\"d.sock\"", "socket: socket has to be an absolute path");
    expect("socket", "\"/" + std::string(107, 'x') + '"', "socket: socket is longer than 107 bytes");
    expect("socket", "\"/a\\u0000b\"", "socket: socket contains a zero byte");
    expect("mode", "\"both\"", "mode: mode cannot be \"both\"; allowed are \"listen\", \"connect\"");
    expect("retry_interval", "\"1s\"", "retry_interval: retry_interval means nothing for mode = \"listen\"");
    expect("socket_permissions", "\"0800\"",
           "socket_permissions: socket_permissions: \"0800\" are no permissions; write \"0\" to \"0777\", in octal");
    expect("socket_permissions", "432", "socket_permissions: socket_permissions is a string, not an integer");
    expect("queues", "0", "queues: queues cannot be 0; allowed are 1 to 64");
    expect("queues", "65", "queues: queues cannot be 65; allowed are 1 to 64");
    expect("queues", "1.5", "queues: queues is an integer, not a number");
    expect("read_only", "1", "read_only: read_only is true or false, not an integer");
    expect("serial", "\"123456789012345678901\"", "serial: serial has to be at most 20 printable ASCII characters");
    expect("serial", "\"\\u0007\"", "serial: serial has to be at most 20 printable ASCII characters");
    expect("queue", "{}", "queue: queue is an array, not a table");
    expect("queue", R"([{"index": 1}])", "queue[0].index: index cannot be 1; allowed are 0 to 0");
    expect("queue", R"([{"index": 0}, {"index": 0}])", "queue[1].index: queue 0 is there twice");
    EXPECT_THAT(error_of(device_with("queue", R"([{"index": 0, "policy": {"kind": "x"}}])")),
                HasSubstr("queue[0].policy.kind: kind cannot be \"x\"; allowed are \"never\", "));
    EXPECT_EQ(error_of(device_with("policy", R"({"kind": null})")), "policy.kind: kind is a string, not null");
    expect("policy", "\"rate\"", "policy: policy is a table, not a string");
    expect("colour", "1",
           "colour: unknown key \"colour\"; device can have calls, limits, mac, mode, mtu, name, "
           "network, offloads, pairs, policy, queue, queues, read_only, "
           "retry_interval, schedule, seg_max, serial, socket, socket_group, socket_permissions, speed, storage, type, "
           "unit, vm, worker");
}

TEST(DeviceSpec, RefusesImpossibleStorage) {
    const auto expect = [](std::string_view storage, std::string_view error) {
        EXPECT_EQ(error_of(device_with("storage", storage)), error);
    };
    expect(R"({"kind": "cloud"})",
           "storage.kind: kind cannot be \"cloud\"; allowed are \"null\", \"memory\", \"file\"");
    expect(R"({"kind": "null", "size": 1000})", "storage.size: size has to be a multiple of 512 bytes");
    expect(R"({"kind": "null", "size": 0})", "storage.size: size cannot be 0; allowed are 512 to 4096PiB");
    expect(R"({"kind": "null", "size": "1XB"})",
           "storage.size: size: \"1XB\" is no size; write bytes, or a number and KiB, MiB, GiB, TiB or PiB, "
           "like "
           "\"64MiB\" or \"10G\"");
    expect(R"({"kind": "null", "size": -512})",
           "storage.size: size is a size: bytes, or a string like \"64MiB\", not an integer");
    expect(R"({"kind": "memory", "size": 512, "path": "/x"})",
           "storage.path: path means nothing for kind = \"memory\"");
    expect(R"({"kind": "memory", "size": 512, "direct": true, "engine": "auto"})",
           "storage.direct: direct means nothing for kind = \"memory\"; "
           "storage.engine: engine means nothing for kind = \"memory\"");
    expect(R"({"kind": "file", "path": "/x", "size": 512})",
           "storage.size: size means nothing for kind = \"file\", where the file gives it");
    expect(R"({"kind": "file", "path": "/x", "threads": 0})",
           "storage.threads: threads cannot be 0; allowed are 1 to 256");
    expect(R"({"kind": "file", "path": "/x", "engine": "io_uring", "threads": 1})",
           "storage.threads: threads means nothing for engine = \"io_uring\"");
    expect(R"({"kind": "file", "path": "x"})", "storage.path: path has to be an absolute path");
    expect(R"({"kind": "file", "path": "/x", "engine": "aio"})",
           "storage.engine: engine cannot be \"aio\"; allowed are \"auto\", \"io_uring\", \"threads\"");
}

}  // namespace
}  // namespace sidecore::control
