// SPDX-License-Identifier: Apache-2.0
#include "control/info.hh"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/example_settings.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

constexpr auto max_value = std::numeric_limits<std::uint64_t>::max();

DeviceInfo example_device() {
    QueueInfo queue;
    queue.index = 3;
    queue.size = 256;
    queue.worker = "io0";
    queue.attached = true;
    queue.mode = "polled";
    queue.mode_age_ns = 1'234'567'890'123;
    queue.listed = true;
    queue.armed = true;
    queue.broken = true;
    queue.settings = example_settings();
    queue.wait_times = {{{100, 5}, {max_value, 1}}};
    queue.service_times = {{{2000, 7}}};
    queue.counters = {{"poll_kicks", max_value}, {"kicks", 0}};
    DeviceInfo device;
    device.name = "disk0";
    device.type = "blk";
    device.vm = "web1";
    device.cpu = {1, 2, 3};
    device.state = "running";
    device.socket = "/run/d\xc3\xa4";
    device.socket_mode = "listen";
    device.sessions = 3;
    device.last_error = "it went wrong";
    device.disk = DiskInfo{.read_only = true,
                           .serial = "serial",
                           .capacity_bytes = 1U << 30U,
                           .storage_kind = "file",
                           .storage_description = "/d.img, io_uring"};
    device.features = max_value;
    device.settings = example_settings();
    device.queues = {queue, queue};
    return device;
}

WorkerInfo example_worker() {
    return {"io0",
            3,
            4711,
            987'654'321,
            5,
            2,
            {"disk0", "disk1"},
            {"lan"},
            example_settings(false, true),
            {{"loops", 9}, {"switches", 1}}};
}

TEST(Info, DevicesRoundTrip) {
    const DeviceInfo device = example_device();
    EXPECT_EQ(parse_device_info(to_text(to_json(device))).value(), device);
    const std::vector<DeviceInfo> devices{device, device};
    EXPECT_EQ(parse_device_list(to_text(to_json(devices))).value(), devices);
    EXPECT_EQ(parse_device_list(to_text(to_json(std::vector<DeviceInfo>{}))).value(), std::vector<DeviceInfo>{});
    EXPECT_EQ(to_json(device)["features"], "0xffffffffffffffff");
}

TEST(Info, NetworkDevicesRoundTrip) {
    DeviceInfo device = example_device();
    device.type = "net";
    device.disk.reset();
    device.net = NetInfo{.mac = "52:54:00:12:34:56",
                         .mtu = 9000,
                         .pairs = 4,
                         .pairs_in_use = 2,
                         .network_kind = "tap",
                         .network_description = "tap vm1-net0",
                         .limits = {.transmit_rate_bits = 1'500'000'000, .receive_packets = 7, .burst_ns = 5'000'000},
                         .transmitted = {{"packets", 1}, {"throttled", 2}},
                         .received = {{"packets", max_value}}};
    EXPECT_EQ(parse_device_info(to_text(to_json(device))).value(), device);
    EXPECT_EQ(to_json(device)["limits"].dump(), R"({"transmit_rate":"1500Mbit","receive_packets":7,"burst":"5ms"})");
}

TEST(Info, WorkersRoundTrip) {
    std::vector<WorkerInfo> workers{example_worker(), example_worker()};
    workers[1].cpu.reset();
    workers[1].devices.clear();
    EXPECT_EQ(parse_worker_list(to_text(to_json(workers))).value(), workers);
    EXPECT_EQ(parse_worker_info(to_text(to_json(workers[0]))).value(), workers[0]);
    EXPECT_TRUE(to_json(workers[1])["cpu"].is_null());
}

TEST(Info, StatisticsAndDaemonRoundTrip) {
    const Statistics statistics{
        123'456, 2.594, {example_worker()}, {example_device()}, {{"web1", {"disk0"}, {1, 2, 3}}}};
    EXPECT_EQ(parse_statistics(to_text(to_json(statistics))).value(), statistics);
    const DaemonInfo daemon{"0.1.0",
                            4711,
                            5'000'000'000,
                            example_settings(true, true),
                            {{{"kick", 600.5, 500, 700, "a write"}, {"wake", 1, 2, 3, "a wake-up"}},
                             {{"balanced", 5440}, {"cpu", 2440.5}}}};
    EXPECT_EQ(parse_daemon_info(to_text(to_json(daemon))).value(), daemon);
}

TEST(Info, VirtualMachinesAreSumsOfTheirDevices) {
    std::vector<DeviceInfo> devices(4);
    devices[0].name = "a";
    devices[0].vm = "web";
    devices[0].cpu = {1, 2, 3};
    devices[1].name = "b";
    devices[1].vm = "db";
    devices[1].cpu = {10, 20, 30};
    devices[2].name = "c";
    devices[2].vm = "web";
    devices[2].cpu = {100, 200, 300};
    devices[3].name = "d";
    EXPECT_EQ(vms_of(devices),
              (std::vector<VmInfo>{{"db", {"b"}, {10, 20, 30}}, {"web", {"a", "c"}, {101, 202, 303}}}));
    EXPECT_EQ(devices[2].cpu.total_ns(), 600U);
    EXPECT_EQ(cpu_of({{"cpu_serving_ns", 1}, {"cpu_polling_ns", 2}, {"cpu_waking_ns", 3}}), (CpuInfo{1, 2, 3}));
}

TEST(Info, CountersKeepTheirOrderAndAreFoundByName) {
    const Counters counters{{"z", 1}, {"a", 2}};
    EXPECT_EQ(counter(counters, "a"), 2U);
    EXPECT_EQ(counter(counters, "b"), 0U);
    DeviceInfo device = example_device();
    device.queues[0].counters = counters;
    EXPECT_THAT(to_text(to_json(device)), HasSubstr(R"("counters":{"z":1,"a":2})"));
}

TEST(Info, RepliesOfANewerDaemonAreUnderstood) {
    Json json = to_json(example_device());
    json["colour"] = "blue";
    json["queues"][0]["depth"] = 7;
    EXPECT_EQ(parse_device_info(to_text(json)).value(), example_device());
}

TEST(Info, RepliesThatMakeNoSenseAreErrorsWithTheirPlace) {
    Json json = to_json(example_device());
    json.erase("name");
    json["queues"][1]["armed"] = "yes";
    json["queues"][1]["counters"]["kicks"] = -1;
    json["features"] = "0xyz";
    const auto parsed = parse_device_info(to_text(json));
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().message,
              "reply: device needs the key \"name\"; features: features is no hexadecimal number; "
              "queues[1].armed: armed is true or false, not a string; "
              "queues[1].counters.kicks: a counter is an integer, 0 or more");
    EXPECT_FALSE(parse_device_list("{}"));
    EXPECT_FALSE(parse_worker_list(R"({"workers": 1})"));
    EXPECT_FALSE(parse_statistics("null"));
}

TEST(Info, ErrorsRoundTripWithTheirKind) {
    for (auto kind = ErrorKind::invalid_argument; kind <= ErrorKind::timed_out;
         kind = static_cast<ErrorKind>(static_cast<int>(kind) + 1)) {
        const Error error = parse_error_reply(to_text(to_json(Error{kind, "what happened", 0})));
        EXPECT_EQ(error.kind, kind);
        EXPECT_EQ(error.message, "what happened");
    }
    EXPECT_EQ(parse_error_reply("<html>").kind, ErrorKind::protocol_violation);
    EXPECT_THAT(parse_error_reply("<html>").message, HasSubstr("<html>"));
    EXPECT_EQ(parse_error_reply(R"({"error": 1})").kind, ErrorKind::protocol_violation);
}

}  // namespace
}  // namespace sidecore::control
