// SPDX-License-Identifier: Apache-2.0
// The program itself, against a server with made-up devices.

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/run_program.hh"
#include "daemon/control_server.hh"
#include "daemon/fake_service.hh"

namespace sidecore::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SidecoreCommand : public ::testing::Test {
protected:
    SidecoreCommand() {
        std::string name = (std::filesystem::temp_directory_path() / "sidecore-cli-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        socket_ = folder_ / "control.sock";
        server_ = daemon::ControlServer::create({socket_, 0600, ""}, service_).value();
    }
    ~SidecoreCommand() override {
        server_.reset();
        std::filesystem::remove_all(folder_);
    }

    test::Program::Ended run(std::vector<std::string> words, const std::string& input = {}) {
        words.insert(words.begin(), SIDECORE_PROGRAM);
        return test::Program(std::move(words), input, -1, {{"SIDECORE_SOCKET", socket_}}).wait();
    }

    void expect_usage_error(std::vector<std::string> words, const std::string& message) {
        const auto ended = run(std::move(words));
        EXPECT_EQ(ended.status, 2) << ended.out;
        EXPECT_THAT(ended.err, HasSubstr(message));
        EXPECT_EQ(ended.out, "");
    }

    std::filesystem::path folder_;
    std::string socket_;
    test::FakeService service_;
    std::unique_ptr<daemon::ControlServer> server_;
};

TEST_F(SidecoreCommand, ListsDevices) {
    const auto ended = run({"list"});
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.out, AllOf(StartsWith("NAME "), HasSubstr("\ndisk0  blk   running  10GiB ")));
    EXPECT_EQ(ended.err, "");
}

TEST_F(SidecoreCommand, PrintsWhatTheDaemonSaidWithJson) {
    const auto before = run({"--json", "list"});
    EXPECT_EQ(before.status, 0) << before.err;
    EXPECT_EQ(before.out, control::to_text(control::to_json(service_.devices())) + "\n");
    EXPECT_EQ(run({"list", "--json"}).out, before.out);
    EXPECT_THAT(run({"show", "disk0", "--json"}).out, StartsWith(R"({"name":"disk0",)"));
    EXPECT_THAT(run({"show", "--json"}).out, HasSubstr(R"("process_id":4711)"));
    EXPECT_THAT(run({"workers", "--json"}).out, HasSubstr(R"("thread_id":4712)"));
    EXPECT_THAT(run({"set", "policy=never", "--json"}).out, HasSubstr(R"("kind":"never")"));
    EXPECT_THAT(run({"stats", "--json"}).out, HasSubstr(R"("cycles_per_ns":2.5)"));
    EXPECT_THAT(run({"version", "--json"}).out, HasSubstr(R"("api":"v1")"));
}

TEST_F(SidecoreCommand, TakesTheNameOfACommandForTheNameOfADevice) {
    for (const std::string name : {"disk", "disks", "unit", "switch", "show"}) {
        const auto ended = run({"show", name});
        EXPECT_EQ(ended.status, 1);
        EXPECT_THAT(ended.err, HasSubstr("\"" + name + "\""));
    }
}

TEST_F(SidecoreCommand, ShowsDevicesDaemonAndWorkers) {
    EXPECT_THAT(run({"show", "disk0"}).out, HasSubstr("state       running\n"));
    EXPECT_THAT(run({"show", "disk0", "--counters"}).out, StartsWith("COUNTER "));
    EXPECT_THAT(run({"show"}).out, StartsWith("sidecored 0.1.0, process 4711"));
    EXPECT_THAT(run({"workers"}).out, HasSubstr("\nio0     3    4712 "));
    EXPECT_THAT(run({"version"}).out, AllOf(StartsWith("command 0."), HasSubstr("daemon 0.")));
    EXPECT_THAT(run({"--version"}).out, StartsWith("sidecore 0."));
    EXPECT_THAT(run({"--help"}).out, AllOf(HasSubstr("resize"), HasSubstr("sidecore blk")));
}

TEST_F(SidecoreCommand, ChangesSettings) {
    const auto ended = run({"set", "policy=always", "poll_start_rate=8"});
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.out, HasSubstr("policy             always (daemon)\n"));
    EXPECT_EQ(run({"set", "--device", "disk0", "poll_stop_idle=500ms"}).status, 0);
    EXPECT_EQ(run({"set", "tick=inherit", "--device", "disk0", "--queue", "1"}).status, 0);
    EXPECT_THAT(service_.log(), ElementsAre(R"(set */* {"policy":{"kind":"always","poll_start_rate":8}})",
                                            R"(set disk0/* {"policy":{"poll_stop_idle":"500ms"}})",
                                            R"(set disk0/1 {"policy":{"tick":null}})"));
}

TEST_F(SidecoreCommand, ExplainsQueues) {
    EXPECT_EQ(run({"why", "disk0/1"}).out, "disk0, queue 1:\n  It is as it is.\n  It was as it was.\n");
    EXPECT_THAT(run({"why", "disk0"}).out, AllOf(HasSubstr("queue 0:"), HasSubstr("queue 1:")));
    EXPECT_THAT(run({"why", "disk0", "--json"}).out, StartsWith(R"({"device":"disk0","queues":[{"index":0,)"));
    EXPECT_EQ(run({"why", "none"}).err, "sidecore: there is no device \"none\"\n");
}

TEST_F(SidecoreCommand, ManagesWorkers) {
    EXPECT_THAT(run({"worker", "add", "io1", "--cpu", "1", "poll_budget=50"}).out,
                HasSubstr("poll_budget         50 (worker)\n"));
    EXPECT_THAT(run({"worker", "pin", "io1", "0"}).out, StartsWith("NAME  CPU "));
    EXPECT_EQ(run({"worker", "pin", "io1", "none"}).status, 0);
    EXPECT_EQ(run({"set", "--worker", "io1", "wait_max=1ms", "good_neighbour=inherit"}).status, 0);
    EXPECT_EQ(run({"set", "--workers", "wait_max=1ms"}).status, 0);
    EXPECT_THAT(run({"move", "disk0/1", "io1"}).out, StartsWith("name        disk0\n"));
    EXPECT_EQ(run({"move", "disk0", "io1"}).status, 0);
    const auto removed = run({"worker", "remove", "io1"});
    EXPECT_EQ(removed.status, 0);
    EXPECT_EQ(removed.out, "");
    EXPECT_THAT(service_.log(), ElementsAre("add worker io1 on 1 with 1 settings", "pin io1 0", "pin io1 none",
                                            R"(set io1 {"workers":{"wait_max":"1ms","good_neighbour":null}})",
                                            R"(set */* {"workers":{"wait_max":"1ms"}})", "move disk0/1 io1",
                                            "move disk0/* io1", "remove worker io1"));
}

TEST_F(SidecoreCommand, ManagesSwitches) {
    EXPECT_EQ(run({"announce", "vm1"}).status, 0);
    EXPECT_THAT(run({"switches"}).out, HasSubstr("tap lan0, 1 queue"));
    EXPECT_THAT(run({"switch", "show", "lan"}).out, HasSubstr("inbox_full 3"));
    EXPECT_THAT(run({"switch", "stations", "lan"}).out, HasSubstr("52:54:00:00:00:01"));
    EXPECT_EQ(run({"switch", "add", "dmz", "--uplink-tap", "dmz0", "--uplink-mtu", "9000", "--worker", "io1", "--age",
                   "1m", "--stations", "100"})
                  .status,
              0);
    EXPECT_EQ(run({"switch", "add", "plain"}).status, 0);
    EXPECT_EQ(run({"switch", "move", "dmz", "io0"}).status, 0);
    EXPECT_EQ(run({"switch", "remove", "dmz"}).status, 0);
    EXPECT_THAT(service_.log(),
                ElementsAre("announce vm1", "switches", "switch lan", "stations lan",
                            R"(add switch {"name":"dmz","age":"60s","stations":100,"uplink":)"
                            R"({"kind":"tap","interface":"dmz0"},"mtu":9000,"worker":"io1"})",
                            R"(add switch {"name":"plain"})", "move switch dmz io0", "remove switch dmz"));
    EXPECT_THAT(run({"switch", "show", "../devices"}).err, HasSubstr("there is no switch"));
}

TEST_F(SidecoreCommand, ManagesUnits) {
    EXPECT_THAT(run({"units", "scsi0"}).out, HasSubstr("\n0:1   -     10GiB "));
    EXPECT_THAT(run({"unit",     "add",          "scsi0", "3:5",          "--path",      "/d.img",
                     "--direct", "--serial",     "S",     "--vendor",     "V",           "--product",
                     "P",        "--revision",   "R",     "--rotational", "--read-only", "--reservations-file",
                     "/r",       "--state-file", "/s"})
                    .out,
                HasSubstr("\n3:5   -     10GiB "));
    EXPECT_EQ(run({"unit", "add", "scsi0", "2", "--memory-size", "1MiB"}).status, 0);
    EXPECT_EQ(run({"unit", "add", "scsi0", "--disk", "quorum"}).status, 0);
    EXPECT_THAT(run({"resize", "scsi0", "3:5", "1GiB"}).out, HasSubstr("\n3:5   -     1GiB "));
    EXPECT_EQ(run({"resize", "scsi0", "3:5", "--json"}).status, 0);
    const auto removed = run({"unit", "remove", "scsi0", "3:5"});
    EXPECT_EQ(removed.status, 0) << removed.err;
    EXPECT_EQ(removed.out, "");
    EXPECT_THAT(
        service_.log(),
        ElementsAre("units scsi0",
                    R"(add unit scsi0 {"target":3,"lun":5,"read_only":true,"serial":"S","vendor":"V",)"
                    R"("product":"P","revision":"R","reservations_file":"/r","state_file":"/s","rotational":true,)"
                    R"("storage":{"kind":"file","path":"/d.img","direct":true}})",
                    R"(add unit scsi0 {"target":2,"storage":{"kind":"memory","size":1048576}})",
                    R"(add unit scsi0 {"disk":"quorum"})", "resize unit scsi0 3:5 1073741824",
                    "resize unit scsi0 3:5 0", "remove unit scsi0 3:5"));
    EXPECT_THAT(run({"units", "scsi0", "--json"}).out, StartsWith(R"({"units":[{"target":0,"lun":1,"disk":"",)"));
    expect_usage_error({"unit"}, "subcommand");
    expect_usage_error({"unit", "add", "scsi0"}, "one of --blk-file, --memory-size and --null-size is needed");
    expect_usage_error({"unit", "add", "scsi0", "0:x", "--disk", "q"}, "\"0:x\" is no unit");
    expect_usage_error({"unit", "add", "scsi0", "x", "--disk", "q"}, "\"x\" is no place for a unit");
    expect_usage_error({"unit", "add", "scsi0", "--disk", "q", "--direct"}, "--disk excludes");
    expect_usage_error({"unit", "remove", "scsi0"}, "TARGET:LUN");
    expect_usage_error({"unit", "remove", "scsi0", "5"}, "\"5\" is no unit");
    expect_usage_error({"resize", "scsi0", "0:1", "1G", "2G"}, "one word too many");
    expect_usage_error({"units"}, "DEVICE");
    service_.fail_with(Error{ErrorKind::timed_out, "its I/O has not ended", 0});
    const auto failed = run({"unit", "remove", "scsi0", "3:5"});
    EXPECT_EQ(failed.status, 1);
    EXPECT_EQ(failed.err, "sidecore: its I/O has not ended\n");
}

TEST_F(SidecoreCommand, ManagesSharedDisks) {
    EXPECT_THAT(run({"disks"}).out, HasSubstr("vm1 0:1, vm2 0:1"));
    EXPECT_THAT(run({"disk", "add", "q", "--null-size", "1GiB", "--serial", "S"}).out, StartsWith("DISK "));
    EXPECT_THAT(run({"disk", "resize", "q", "20GiB"}).out, HasSubstr("\nq     20GiB "));
    EXPECT_EQ(run({"disk", "resize", "q"}).status, 0);
    EXPECT_EQ(run({"disk", "remove", "q"}).status, 0);
    EXPECT_THAT(
        service_.log(),
        ElementsAre("disks", R"(add disk {"name":"q","serial":"S","storage":{"kind":"null","size":1073741824}})",
                    "resize disk q 21474836480", "resize disk q 0", "remove disk q"));
    EXPECT_THAT(run({"disks", "--json"}).out, StartsWith(R"({"disks":[{"name":"quorum",)"));
    EXPECT_THAT(run({"disk", "remove", "../devices"}).err, HasSubstr("there is no disk"));
    expect_usage_error({"disk", "add", "q"}, "one of --blk-file, --memory-size and --null-size is needed");
    expect_usage_error({"disk"}, "subcommand");
}

TEST_F(SidecoreCommand, AddsDevices) {
    const auto ended = run({"add", "disk1", "--socket-path", "/run/d1", "--null-size", "1GiB", "--num-queues", "2",
                            "policy=rate", "tick=2ms"});
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.out, StartsWith("name        disk1\n"));
    EXPECT_THAT(service_.log(),
                ElementsAre(R"(add {"name":"disk1","type":"blk","socket":"/run/d1","queues":2,)"
                            R"("storage":{"kind":"null","size":1073741824},"policy":{"kind":"rate","tick":"2ms"}})"));
}

TEST_F(SidecoreCommand, AddsDevicesFromJson) {
    const std::string device = R"({"name": "disk2", "socket": "/run/d2", "storage": {"kind": "null", "size": 512}})";
    auto ended = run({"add", "--from", "-"}, device);
    EXPECT_EQ(ended.status, 0) << ended.err;
    std::ofstream(folder_ / "device.json") << device;
    ended = run({"add", "--from", folder_ / "device.json"});
    EXPECT_EQ(ended.status, 1);
    EXPECT_EQ(ended.err, "sidecore: there is a device \"disk2\" already\n");
    EXPECT_EQ(run({"add", "--from", "-"}, "{").status, 2);
    EXPECT_EQ(run({"add", "--from", folder_ / "none"}).status, 2);
}

TEST_F(SidecoreCommand, ResizesAndRemoves) {
    EXPECT_THAT(run({"resize", "disk0", "20G"}).out, HasSubstr("size        21474836480 bytes (20GiB)\n"));
    EXPECT_EQ(run({"resize", "disk0"}).status, 0);
    EXPECT_EQ(run({"add", "disk1", "--socket-path", "/run/d1", "--memory-size", "1M"}).status, 0);
    const auto ended = run({"remove", "disk0", "disk1"});
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_EQ(ended.out, "");
    EXPECT_THAT(service_.devices(), IsEmpty());
    const std::vector<std::string> log = service_.log();
    EXPECT_EQ(log[0], "resize disk0 21474836480");
    EXPECT_EQ(log[1], "resize disk0 0");
}

TEST_F(SidecoreCommand, ChangesLimits) {
    EXPECT_THAT(run({"limit", "disk0", "--transmit-rate", "1Gbit", "--receive-packets", "none"}).out,
                StartsWith("name        disk0\n"));
    EXPECT_EQ(run({"limit", "disk0", "--burst", "5ms", "--json"}).status, 0);
    EXPECT_THAT(service_.log(), ElementsAre(R"(limit disk0 {"transmit_rate":"1Gbit","receive_packets":null})",
                                            R"(limit disk0 {"burst":"5ms"})"));
    expect_usage_error({"limit", "disk0"}, "which limit?");
    expect_usage_error({"limit", "disk0", "--receive-packets", "many"}, "is no number of packets");
    EXPECT_THAT(run({"limit", "disk0", "--receive-rate", "many"}).err, HasSubstr("is no rate"));
}

TEST_F(SidecoreCommand, ShowsStatistics) {
    EXPECT_THAT(run({"stats"}).out, StartsWith("DEVICE  QUEUE  MODE "));
    EXPECT_THAT(run({"stats", "disk0"}).out, StartsWith("DEVICE  QUEUE  MODE "));
    EXPECT_THAT(service_.log(), ElementsAre("statistics *", "statistics disk0"));

    EXPECT_THAT(run({"stats", "--by", "vm"}).out,
                AllOf(StartsWith("VM "), HasSubstr("\nweb1 "), HasSubstr("\n(all) ")));
    EXPECT_THAT(run({"stats", "--by", "device", "--watch", "0.01", "--count", "1"}).out,
                StartsWith("DEVICE      QUEUES "));

    const auto watched = run({"stats", "--watch", "0.05", "--count", "3"});
    EXPECT_EQ(watched.status, 0) << watched.err;
    // The made-up service is always one second and 50 turns further.
    const std::string first_queue = "disk0       0  polled             0    0.0        0             50 ";
    std::size_t shown = 0;
    for (auto at = watched.out.find(first_queue); at != std::string::npos; at = watched.out.find(first_queue, at + 1)) {
        ++shown;
    }
    EXPECT_EQ(shown, 3U) << watched.out;

    const auto json = run({"stats", "--watch", "0.01", "--count", "2", "--json"});
    EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 2) << json.out;
}

TEST_F(SidecoreCommand, ErrorsOfTheDaemonGoToStandardError) {
    for (const std::vector<std::string>& words : {std::vector<std::string>{"show", "none"},
                                                  {"remove", "none"},
                                                  {"resize", "none", "1G"},
                                                  {"stats", "none"},
                                                  {"set", "policy=rate", "--device", "none"},
                                                  {"show", "../policy"}}) {
        const auto ended = run(words);
        EXPECT_EQ(ended.status, 1);
        EXPECT_THAT(ended.err, StartsWith("sidecore: there is no device \""));
        EXPECT_EQ(ended.out, "");
    }
    auto ended = run({"set", "policy=magic"});
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(ended.err, StartsWith("sidecore: policy.kind: kind cannot be \"magic\"; allowed are \"never\", "));
    ended = run({"remove", "disk0", "none"});
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(service_.devices(), IsEmpty());
}

TEST_F(SidecoreCommand, ADaemonThatIsNotThereIsAnError) {
    const auto ended = run({"--socket", folder_ / "none.sock", "list"});
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(ended.err, AllOf(StartsWith("sidecore: asking the daemon at "), HasSubstr("none.sock")));
}

TEST_F(SidecoreCommand, WrongUseIsStatusTwo) {
    expect_usage_error({}, "what to do?");
    expect_usage_error({"dance"}, "dance");
    expect_usage_error({"list", "extra"}, "extra");
    expect_usage_error({"set"}, "SETTING");
    expect_usage_error({"set", "rate"}, "\"rate\" is no setting");
    expect_usage_error({"set", "policy=rate", "--queue", "1"}, "--device");
    expect_usage_error({"set", "policy=rate", "--device", "disk0", "--queue", "x"}, "x");
    expect_usage_error({"set", "weight=1", "--worker", "io0", "--device", "disk0"}, "--device");
    expect_usage_error({"set", "weight=1", "--worker", "io0"}, "\"weight=1\" is no setting");
    expect_usage_error({"stats", "--by", "colour"}, "--by");
    expect_usage_error({"why"}, "DEVICE");
    expect_usage_error({"why", "disk0/x"}, "\"disk0/x\" is no queue");
    expect_usage_error({"worker"}, "subcommand");
    expect_usage_error({"worker", "pin", "io0"}, "CPU");
    expect_usage_error({"worker", "pin", "io0", "any"}, "\"any\" is no CPU");
    expect_usage_error({"move", "disk0/x", "io0"}, "\"disk0/x\" is no queue");
    expect_usage_error({"add", "disk1"}, "--socket-path");
    expect_usage_error({"add", "disk1", "--socket-path", "/x"}, "--blk-file");
    expect_usage_error({"stats", "--watch", "0"}, "--watch");
    expect_usage_error({"stats", "--count", "1"}, "--watch");
    expect_usage_error({"show", "--counters"}, "DEVICE");
    expect_usage_error({"resize"}, "DEVICE");
    EXPECT_THAT(service_.log(), IsEmpty());
}

TEST_F(SidecoreCommand, CalibratesWithoutADaemon) {
    server_.reset();
    const auto printed = run({"calibrate"});
    EXPECT_EQ(printed.status, 0) << printed.err;
    EXPECT_THAT(printed.out, AllOf(StartsWith("COST "), HasSubstr("\nwake_latency "), HasSubstr("\nA worker's sleep")));
    std::ofstream(folder_ / "c.toml") << "[costs]\nkick = \"1234ns\"\n";
    const auto json = run({"calibrate", "--json", "--config", folder_ / "c.toml"});
    EXPECT_EQ(json.status, 0) << json.err;
    const auto costs = control::parse_costs(json.out);
    ASSERT_TRUE(costs) << costs.error().message;
    EXPECT_EQ(costs->values.size(), 6U);
    EXPECT_EQ(costs->values.back().value_ns, 1234);
    const auto wrong = run({"calibrate", "--config", folder_ / "none.toml"});
    EXPECT_EQ(wrong.status, 1);
    EXPECT_THAT(wrong.err, AllOf(HasSubstr("none.toml: cannot be opened"), HasSubstr("sidecore: sidecored failed")));
}

TEST_F(SidecoreCommand, StartsADiskByItself) {
    const auto capabilities = run({"blk", "--print-capabilities"});
    EXPECT_EQ(capabilities.status, 0) << capabilities.err;
    EXPECT_EQ(capabilities.out, "{\"type\":\"block\",\"features\":[\"read-only\",\"blk-file\"]}\n");
    EXPECT_EQ(run({"blk"}).status, 2);
}

}  // namespace
}  // namespace sidecore::cli
