// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.hh"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Each problem as "where: what".
std::vector<std::string> problems_of(std::string_view text) {
    std::vector<std::string> lines;
    const auto config = parse_config(text, "f.toml");
    if (!config) {
        for (const control::Problem& problem : config.error()) {
            lines.push_back(problem.where + ": " + problem.what);
        }
    }
    return lines;
}

constexpr std::string_view one_device = R"(
[[device]]
name = "disk0"
type = "blk"
socket = "/run/d0"
storage = { kind = "null", size = "1GiB" }
)";

TEST(Config, OfNothingIsAllDefaults) {
    const auto config = parse_config("", "f.toml");
    ASSERT_TRUE(config);
    EXPECT_EQ(config->control_socket, "/run/sidecore/control.sock");
    EXPECT_EQ(config->control_socket_permissions, 0600U);
    EXPECT_FALSE(config->log_level);
    EXPECT_TRUE(config->settings.empty());
    EXPECT_THAT(config->workers, ElementsAre(control::WorkerSpec{"worker0"}));
    EXPECT_TRUE(config->devices.empty());
}

TEST(Config, OfOneDeviceNeedsFiveLines) {
    const auto config = parse_config(one_device, "f.toml");
    ASSERT_TRUE(config);
    ASSERT_EQ(config->devices.size(), 1U);
    EXPECT_EQ(config->devices[0].name, "disk0");
    EXPECT_EQ(config->devices[0].storage.size_bytes, 1ULL << 30U);
}

TEST(Config, EveryKeyIsRead) {
    const auto config = parse_config(R"(
[daemon]
control_socket = "/tmp/c.sock"
control_socket_permissions = "0660"
control_socket_group = "kvm"
log_level = "debug"

[policy]
kind = "rate"
poll_start_rate = 8
poll_stop_idle = "500ms"
tick = "2ms"

[schedule]
weight = 200

[calls]
max_delay = "20us"

[workers]
poll_budget = 80

[[worker]]
name = "io0"
cpu = 2
wait_max = "50us"

[[worker]]
name = "io1"

[[device]]
name = "disk0"
type = "blk"
socket = "/run/d0"
mode = "connect"
retry_interval = "250ms"
queues = 4
read_only = true
serial = "S/N 1"
vm = "web1"
worker = "io1"
[device.storage]
kind = "file"
path = "/dev/vg/d0"
direct = true
engine = "threads"
threads = 4
[device.policy]
kind = "always"
poll_budget = 20
[device.schedule]
turn_requests = 16
[device.calls]
max_requests = 8
[[device.queue]]
index = 3
worker = "io0"
policy = { kind = "never" }
schedule = { weight = 50 }

[[device]]
name = "disk1"
type = "blk"
socket = "/run/d1"
socket_permissions = "0666"
socket_group = "kvm"
storage = { kind = "memory", size = 4096 }
)",
                                     "f.toml");
    ASSERT_TRUE(config) << config.error().front().what;
    EXPECT_EQ(config->control_socket, "/tmp/c.sock");
    EXPECT_EQ(config->control_socket_permissions, 0660U);
    EXPECT_EQ(config->control_socket_group, "kvm");
    EXPECT_EQ(config->log_level, spdlog::level::debug);
    EXPECT_EQ(config->settings, (control::SettingValues{{control::Setting::kind, "rate"},
                                                        {control::Setting::poll_start_rate, 8U},
                                                        {control::Setting::poll_stop_idle, 500'000'000U},
                                                        {control::Setting::tick, 2'000'000U},
                                                        {control::Setting::weight, 200U},
                                                        {control::Setting::call_max_delay, 20'000U},
                                                        {control::Setting::worker_poll_budget, 80U}}));
    EXPECT_THAT(config->workers, ElementsAre(control::WorkerSpec{"io0", 2, {{control::Setting::wait_max, 50'000U}}},
                                             control::WorkerSpec{"io1"}));
    ASSERT_EQ(config->devices.size(), 2U);

    control::DeviceSpec disk0;
    disk0.name = "disk0";
    disk0.socket = "/run/d0";
    disk0.mode = control::SocketMode::connect;
    disk0.retry_interval_ns = 250'000'000;
    disk0.queues = 4;
    disk0.read_only = true;
    disk0.serial = "S/N 1";
    disk0.vm = "web1";
    disk0.worker = "io1";
    disk0.settings[control::Setting::turn_requests] = 16U;
    disk0.settings[control::Setting::call_max_requests] = 8U;
    disk0.settings[control::Setting::device_poll_budget] = 20U;
    disk0.storage = {control::StorageKind::file, "/dev/vg/d0", 0, true, control::FileEngine::threads, 4};
    disk0.settings[control::Setting::kind] = "always";
    disk0.queue_specs.push_back({3, "io0", {}});
    disk0.queue_specs[0].settings = {{control::Setting::kind, "never"}, {control::Setting::weight, 50U}};
    EXPECT_EQ(config->devices[0], disk0);
    EXPECT_EQ(config->devices[1].socket_permissions, 0666U);
    EXPECT_EQ(config->devices[1].storage.size_bytes, 4096U);
}

TEST(Config, WrongSyntaxIsAnErrorWithItsPlace) {
    EXPECT_THAT(problems_of("[daemon\n"), ElementsAre(HasSubstr("f.toml:1:8: ")));
    EXPECT_THAT(problems_of("\n\na = = 1\n"), ElementsAre(HasSubstr("f.toml:3:5: ")));
    EXPECT_THAT(problems_of("a = 1\na = 2\n"), ElementsAre(HasSubstr("f.toml:2:")));
    EXPECT_THAT(problems_of("a = \"\xff\"\n"), ElementsAre(HasSubstr("f.toml:1:")));
}

TEST(Config, UnknownKeysAreErrorsAtTheKey) {
    EXPECT_THAT(problems_of("  colour = 1\n"),
                ElementsAre("f.toml:1:3: unknown key \"colour\"; the configuration can "
                            "have calls, costs, daemon, device, disk, placement, policy, "
                            "schedule, switch, worker, workers"));
    EXPECT_THAT(problems_of("[daemon]\n sokcet = 1\n"),
                ElementsAre("f.toml:2:2: unknown key \"sokcet\"; daemon can have control_socket, control_socket_group, "
                            "control_socket_permissions, log_level"));
    EXPECT_THAT(
        problems_of("[policy]\nrate = 1\n"),
        ElementsAre(HasSubstr("f.toml:2:1: unknown key \"rate\"; policy can have grow_max, grow_start, kind, ")));
    EXPECT_THAT(problems_of("[[worker]]\nname = \"a\"\npin = 1\n"),
                ElementsAre("f.toml:3:1: unknown key \"pin\"; worker can have cpu, good_neighbour, name, poll_budget, "
                            "stuck_after, stuck_pending, wait_max"));
    EXPECT_THAT(problems_of(std::string(one_device) + "[device.policy]\nspeed = 1\n"),
                ElementsAre(HasSubstr("f.toml:8:1: unknown key \"speed\"")));
    EXPECT_THAT(
        problems_of(std::string(one_device) + "[[device.queue]]\nindex = 0\nspeed = 1\n"),
        ElementsAre("f.toml:9:1: unknown key \"speed\"; queue can have calls, index, policy, schedule, worker"));
}

TEST(Config, WrongTypesAreErrorsAtTheValue) {
    EXPECT_THAT(problems_of("daemon = 1\n"), ElementsAre("f.toml:1:10: daemon is a table, not an integer"));
    EXPECT_THAT(problems_of("[device]\nname = \"a\"\n"), ElementsAre("f.toml:1:1: device is an array, not a table"));
    EXPECT_THAT(problems_of("device = [1]\n"), ElementsAre("f.toml:1:11: device is a table, not an integer"));
    EXPECT_THAT(problems_of("[daemon]\ncontrol_socket = true\n"),
                ElementsAre("f.toml:2:18: control_socket is a string, not a boolean"));
    EXPECT_THAT(problems_of("[policy]\npoll_start_rate = 2.5\n"),
                ElementsAre("f.toml:2:19: poll_start_rate is an integer, not a number"));
    EXPECT_THAT(problems_of("[policy]\ntick = 1979-05-27\n"),
                ElementsAre("f.toml:2:8: tick is a duration in a string, like \"3s\", not a date"));
    EXPECT_THAT(problems_of("[policy]\ntick = 07:32:00\n"), ElementsAre(HasSubstr("not a time")));
    EXPECT_THAT(problems_of("[policy]\ntick = 1979-05-27T07:32:00Z\n"), ElementsAre(HasSubstr("not a date and time")));
}

TEST(Config, ImpossibleValuesAreErrorsAtTheValue) {
    EXPECT_THAT(problems_of("[daemon]\ncontrol_socket = \"c.sock\"\n"),
                ElementsAre("f.toml:2:18: control_socket has to be an absolute path"));
    EXPECT_THAT(problems_of("[daemon]\ncontrol_socket_permissions = \"rw\"\n"),
                ElementsAre(HasSubstr("f.toml:2:30: control_socket_permissions: \"rw\" are no permissions")));
    EXPECT_THAT(problems_of("[daemon]\nlog_level = \"loud\"\n"),
                ElementsAre("f.toml:2:13: log_level: \"loud\" is no log level; use trace, debug, info, warn, error or "
                            "off"));
    EXPECT_THAT(
        problems_of("[policy]\nkind = \"magic\"\n"),
        ElementsAre(HasSubstr("f.toml:2:8: kind cannot be \"magic\"; allowed are \"never\", \"always\", \"rate\"")));
    EXPECT_THAT(problems_of("[policy]\npoll_stop_idle = \"3\"\n"), ElementsAre(HasSubstr("f.toml:2:18: ")));
    EXPECT_THAT(problems_of("[[worker]]\nname = \"a\"\ncpu = -1\n"),
                ElementsAre("f.toml:3:7: cpu cannot be -1; allowed are 0 to 1023"));
    EXPECT_THAT(problems_of("[[worker]]\nname = \"a b\"\n"), ElementsAre(HasSubstr("f.toml:2:8: name has to be")));
    EXPECT_THAT(problems_of("[[worker]]\ncpu = 0\n"), ElementsAre("f.toml:1:1: worker needs the key \"name\""));
    EXPECT_THAT(problems_of(std::string(one_device) + "queues = 65\n"),
                ElementsAre("f.toml:7:10: queues cannot be 65; allowed are 1 to 64"));
    EXPECT_THAT(problems_of(std::string(one_device) + "[[device.queue]]\nindex = 1\n"),
                ElementsAre("f.toml:8:9: index cannot be 1; allowed are 0 to 0"));
}

TEST(Config, NamesAndSocketsHaveToDiffer) {
    EXPECT_THAT(problems_of(std::string(one_device) + std::string(one_device)),
                ElementsAre("f.toml:9:8: the device name \"disk0\" is taken, at f.toml:3:8",
                            "f.toml:11:10: the socket \"/run/d0\" is taken, at f.toml:5:10"));
    EXPECT_THAT(problems_of("daemon.control_socket = \"/run/d0\"\n" + std::string(one_device)),
                ElementsAre("f.toml:6:10: the socket \"/run/d0\" is taken, at the control socket"));
    EXPECT_THAT(problems_of("[[worker]]\nname = \"a\"\n[[worker]]\nname = \"a\"\n"),
                ElementsAre("f.toml:4:8: the worker name \"a\" is taken, at f.toml:2:8"));
}

TEST(Config, WorkersHaveToExist) {
    EXPECT_THAT(problems_of(std::string(one_device) + "worker = \"io9\"\n"),
                ElementsAre("f.toml:7:10: there is no worker \"io9\"; there are worker0"));
    EXPECT_THAT(problems_of("[[worker]]\nname = \"a\"\n[[worker]]\nname = \"b\"\n" + std::string(one_device) +
                            "queues = 2\n[[device.queue]]\nindex = 0\nworker = \"b\"\n"
                            "[[device.queue]]\nindex = 1\nworker = \"worker0\"\n"),
                ElementsAre("f.toml:17:10: there is no worker \"worker0\"; there are a, b"));
    EXPECT_TRUE(problems_of(std::string(one_device) + "worker = \"worker0\"\n").empty());
}

TEST(Config, HasSwitchesAndPortsOfThem) {
    const auto config = parse_config(R"(
[[switch]]
name = "lan"
age = "1m"
uplink = { kind = "tap", interface = "lan0" }
[[device]]
name = "net0"
type = "net"
socket = "/run/n0"
network = { kind = "switch", switch = "lan", vlan = 7 }
)",
                                     "f.toml");
    ASSERT_TRUE(config) << config.error().front().what;
    ASSERT_EQ(config->switches.size(), 1U);
    EXPECT_EQ(config->switches[0].age_s, 60U);
    EXPECT_EQ(config->switches[0].uplink->interface, "lan0");
    EXPECT_EQ(config->devices.at(0).net.network.switch_name, "lan");
}

TEST(Config, SwitchesHaveToExistAndDiffer) {
    const std::string device =
        "[[device]]\nname = \"n\"\ntype = \"net\"\nsocket = \"/run/n\"\nnetwork = { kind = \"switch\", switch = "
        "\"lan\" }\n";
    EXPECT_THAT(problems_of(device), ElementsAre("f.toml:5:39: there is no switch \"lan\"; there are none"));
    EXPECT_THAT(problems_of("[[switch]]\nname = \"a\"\n" + device),
                ElementsAre("f.toml:7:39: there is no switch \"lan\"; there are a"));
    EXPECT_THAT(problems_of("[[switch]]\nname = \"a\"\n[[switch]]\nname = \"a\"\n"),
                ElementsAre("f.toml:4:8: the switch name \"a\" is taken, at f.toml:2:8"));
    EXPECT_THAT(problems_of("[[switch]]\nname = \"a\"\nworker = \"w\"\nuplink = { kind = \"null\" }\n"),
                ElementsAre("f.toml:3:10: there is no worker \"w\"; there are worker0"));
}

TEST(Config, HasScsiDevicesAndDisksThatTheyShare) {
    const auto config = parse_config(R"(
[[disk]]
name = "quorum"
serial = "Q1"
reservations_file = "/var/lib/sidecore/quorum.json"
storage = { kind = "file", path = "/srv/quorum.img" }
[[device]]
name = "vm1-scsi"
type = "scsi"
socket = "/run/s0"
queues = 4
seg_max = 256
[[device.unit]]
storage = { kind = "memory", size = "1GiB" }
rotational = true
[[device.unit]]
target = 1
lun = 5
disk = "quorum"
[[device.queue]]
index = 5
policy = { kind = "always" }
)",
                                     "f.toml");
    ASSERT_TRUE(config) << config.error().front().where << config.error().front().what;
    ASSERT_EQ(config->disks.size(), 1U);
    EXPECT_EQ(config->disks[0].name, "quorum");
    EXPECT_EQ(config->disks[0].disk.serial, "Q1");
    EXPECT_EQ(config->disks[0].disk.storage.path, "/srv/quorum.img");
    const control::DeviceSpec& device = config->devices.at(0);
    EXPECT_EQ(device.queues, 6);
    EXPECT_EQ(device.scsi.seg_max, 256);
    ASSERT_EQ(device.scsi.units.size(), 2U);
    EXPECT_EQ(device.scsi.units[0].lun, 0);
    EXPECT_TRUE(device.scsi.units[0].disk.rotational);
    EXPECT_EQ(device.scsi.units[1].target, 1);
    EXPECT_EQ(device.scsi.units[1].lun, 5);
    EXPECT_EQ(device.scsi.units[1].shared_disk, "quorum");
}

TEST(Config, MistakesOfScsiDevicesHaveTheirPlaces) {
    const std::string device = "[[device]]\nname = \"s\"\ntype = \"scsi\"\nsocket = \"/run/s\"\n";
    EXPECT_THAT(problems_of(device + "[[device.unit]]\ndisk = \"q\"\n"),
                ElementsAre("f.toml:6:8: there is no disk \"q\"; there are none"));
    const std::string disk = "[[disk]]\nname = \"a\"\nstorage = { kind = \"null\", size = 512 }\n";
    EXPECT_THAT(problems_of(disk + device + "[[device.unit]]\ndisk = \"q\"\n"),
                ElementsAre("f.toml:9:8: there is no disk \"q\"; there are a"));
    EXPECT_THAT(problems_of(disk + disk), ElementsAre("f.toml:5:8: the disk name \"a\" is taken, at f.toml:2:8"));
    EXPECT_THAT(problems_of(disk + device +
                            "[[device.unit]]\ndisk = \"a\"\n[[device.unit]]\nlun = 0\ndisk = \"a\"\n"
                            "[[device.unit]]\nlun = 0\ndisk = \"a\"\n"),
                ElementsAre("f.toml:13:1: the unit 0:0 is there twice"));
    EXPECT_THAT(problems_of(device + "[[device.unit]]\nlun = 20000\ncolour = 1\n"),
                ElementsAre(HasSubstr("f.toml:6:7: lun cannot be 20000"),
                            HasSubstr("f.toml:5:1: unit needs the key \"storage\""),
                            HasSubstr("f.toml:7:1: unknown key \"colour\"")));
    const std::string file = "reservations_file = \"/r\"\n";
    const std::string unit = "[[device.unit]]\n" + file + "storage = { kind = \"null\", size = 512 }\n";
    EXPECT_THAT(problems_of(disk + file + device + unit + unit),
                ElementsAre("f.toml:10:21: the file \"/r\" is taken, at f.toml:4:21",
                            "f.toml:13:21: the file \"/r\" is taken, at f.toml:4:21"));
    EXPECT_THAT(problems_of(device + "unit = 1\n"), ElementsAre("f.toml:5:8: unit is an array, not an integer"));
    EXPECT_THAT(problems_of("[[disk]]\nstorage = { kind = \"null\", size = 512 }\n"),
                ElementsAre("f.toml:1:1: disk needs the key \"name\""));
    EXPECT_THAT(problems_of("disk = 1\n"), ElementsAre("f.toml:1:8: disk is an array, not an integer"));
}

TEST(Config, AllProblemsAreReportedAtOnce) {
    const auto problems = problems_of(R"([daemon]
log_level = 3
[policy]
kind = "x"
tick = "0"
[[device]]
name = "a/b"
type = "blk"
socket = "d"
queues = 0
storage = { kind = "null" }
[other]
)");
    EXPECT_THAT(problems,
                ElementsAre(HasSubstr("f.toml:2:13: log_level is a string"), HasSubstr("f.toml:4:8: kind cannot be"),
                            HasSubstr("f.toml:5:8: tick cannot be 0"), HasSubstr("f.toml:7:8: name has to be"),
                            HasSubstr("f.toml:9:10: socket has to be"), HasSubstr("f.toml:10:10: queues cannot be 0"),
                            HasSubstr("f.toml:11:11: storage needs the key \"size\""),
                            HasSubstr("f.toml:12:2: unknown key \"other\"")));
}

class ConfigFile : public ::testing::Test {
protected:
    ConfigFile() {
        std::string name = (std::filesystem::temp_directory_path() / "sidecore-config-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
    }
    ~ConfigFile() override { std::filesystem::remove_all(folder_); }

    std::filesystem::path folder_;
};

TEST_F(ConfigFile, IsReadAndNamedInProblems) {
    const std::string path = folder_ / "c.toml";
    std::ofstream(path) << one_device << std::string(10'000, '\n') << "colour = 1\n";
    const auto config = load_config(path);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().front().where, path + ":10007:1");
}

TEST_F(ConfigFile, ThatCannotBeReadIsAProblem) {
    const auto missing = load_config(folder_ / "none.toml");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().front().what, "cannot be opened: No such file or directory");
    const auto directory = load_config(folder_);
    ASSERT_FALSE(directory);
    EXPECT_THAT(directory.error().front().what, HasSubstr("cannot be read"));
    std::ofstream(folder_ / "empty.toml").flush();
    EXPECT_TRUE(load_config(folder_ / "empty.toml"));
}

TEST(Config, PlacementHasALeastAndAMostNumberOfWorkers) {
    EXPECT_FALSE(parse_config("", "f.toml")->placement);
    const auto config = parse_config("[placement]\nworkers_min = 2\nworkers_max = 8\n", "f.toml");
    ASSERT_TRUE(config);
    EXPECT_EQ(config->placement->workers_min, 2U);
    EXPECT_EQ(config->placement->workers_max, 8U);
    EXPECT_THAT(problems_of("[placement]\n"), ElementsAre(HasSubstr("workers_max")));
    EXPECT_THAT(problems_of("[placement]\nworkers_min = 3\nworkers_max = 2\n"),
                ElementsAre("f.toml:2:15: workers_min is 3, more than workers_max, which is 2"));
    EXPECT_THAT(problems_of("[placement]\nworkers_max = 1\n[[worker]]\nname = \"a\"\n[[worker]]\nname = \"b\"\n"),
                ElementsAre("f.toml:2:15: workers_max is 1, and there are 2 [[worker]]"));
}

}  // namespace
}  // namespace sidecore::daemon
