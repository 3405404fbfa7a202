// SPDX-License-Identifier: Apache-2.0
// sidecored as a process.

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "cli/run_program.hh"
#include "control/http_client.hh"
#include "control/info.hh"
#include "daemon/guest.hh"
#include "daemon/scratch_folder.hh"

namespace sidecore::daemon {
namespace {

using test::eventually;
using test::Program;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Sidecored : public ::testing::Test {
protected:
    std::string write_config(const std::string& text) {
        std::string path = folder_ / "sidecored.toml";
        std::ofstream(path) << fmt::format("[daemon]\ncontrol_socket = \"{}\"\n", control_socket()) << text;
        return path;
    }

    std::string control_socket() const { return folder_ / "control.sock"; }
    std::string socket(int disk) const { return folder_ / fmt::format("disk{}.sock", disk); }

    /// Configuration of so many disks in memory.
    std::string disks(int count) const {
        std::string text;
        for (int i = 0; i < count; ++i) {
            text += fmt::format(
                "[[device]]\nname = \"disk{}\"\ntype = \"blk\"\nsocket = \"{}\"\nstorage = {{ kind = \"memory\", size "
                "= "
                "\"1MiB\" }}\n",
                i, socket(i));
        }
        return text;
    }

    /// Starts it and waits until it serves.
    void start(const std::string& config, const std::vector<std::pair<std::string, std::string>>& environment = {}) {
        daemon_ = std::make_unique<Program>(
            std::vector<std::string>{SIDECORED_PROGRAM, "--config", write_config(config)}, "", -1, environment);
        ASSERT_TRUE(daemon_->wait_for_error_output("control socket")) << daemon_->wait().err;
    }

    std::string ask(std::string_view method, const std::string& path, const std::string& body = {}) {
        auto reply = control::HttpClient::create(control_socket()).value().request(method, path, body);
        return reply ? *reply : "error: " + reply.error().message;
    }

    control::Statistics statistics() { return control::parse_statistics(ask("GET", "/v1/stats")).value(); }

    Program::Ended run(std::vector<std::string> words) {
        words.insert(words.begin(), SIDECORED_PROGRAM);
        return Program(std::move(words)).wait();
    }

    test::ScratchFolder folder_;
    std::unique_ptr<Program> daemon_;
};

TEST_F(Sidecored, ChecksAConfiguration) {
    const auto good = run({"--check", "--config", write_config(disks(2))});
    EXPECT_EQ(good.status, 0);
    EXPECT_EQ(good.out + good.err, "");
    const std::string path = write_config("log_level = \"loud\"\nspeed = 1\n");
    const auto bad = run({"--check", "--config", path});
    EXPECT_EQ(bad.status, 1);
    EXPECT_EQ(bad.err,
              path + ":3:13: log_level: \"loud\" is no log level; use trace, debug, info, warn, error or off\n" + path +
                  ":4:1: unknown key \"speed\"; daemon can have control_socket, control_socket_group, "
                  "control_socket_permissions, log_level\n");
    EXPECT_EQ(run({"--config", path}).status, 1) << "nor does it start with it";
    EXPECT_EQ(run({"--check", "--config", folder_ / "none.toml"}).status, 1);
}

TEST_F(Sidecored, CalibratesAtStartUnlessAllIsGiven) {
    start("[costs]\nwake = \"7us\"\n");
    const control::DaemonInfo info = control::parse_daemon_info(ask("GET", "/v1/daemon")).value();
    ASSERT_EQ(info.costs.values.size(), 6U);
    EXPECT_EQ(info.costs.values.front().name, "check");
    EXPECT_GT(info.costs.values.front().value_ns, 0);
    EXPECT_EQ(info.costs.values.back().name, "wake");
    EXPECT_EQ(info.costs.values.back().value_ns, 7000);

    const auto printed = run({"--calibrate"});
    EXPECT_EQ(printed.status, 0) << printed.err;
    EXPECT_EQ(control::parse_costs(printed.out).value().values.size(), 6U);
}

TEST_F(Sidecored, WrongUseIsStatusTwo) {
    EXPECT_EQ(run({"--frobnicate"}).status, 2);
    EXPECT_EQ(run({"extra"}).status, 2);
    EXPECT_EQ(run({"--log-level", "loud"}).status, 2);
    EXPECT_THAT(run({"--version"}).out, testing::StartsWith("sidecored 0."));
    EXPECT_THAT(run({"--help"}).out, HasSubstr("--config"));
}

TEST_F(Sidecored, ServesItsDevicesAndStopsInOrder) {
    start(disks(2));
    frontend::BlkDriver driver = frontend::BlkDriver::start(socket(1), test::small_driver()).value();
    test::expect_disk_works(driver.requests(), 1);
    EXPECT_EQ(control::parse_device_list(ask("GET", "/v1/devices")).value().size(), 2U);
    EXPECT_EQ(control::parse_daemon_info(ask("GET", "/v1/daemon")).value().process_id, daemon_->pid());
    daemon_->send(SIGHUP);  // has no effect
    test::expect_disk_works(driver.requests(), 2);

    daemon_->send(SIGTERM);
    const auto ended = daemon_->wait();
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.err, AllOf(HasSubstr("TERM: stopping"), HasSubstr("stopped")));
    EXPECT_FALSE(driver.config()) << "the session has ended";
    EXPECT_FALSE(std::filesystem::exists(control_socket()));
    EXPECT_FALSE(std::filesystem::exists(socket(0)));
    EXPECT_FALSE(std::filesystem::exists(socket(1)));
}

TEST_F(Sidecored, ServesScsiDevicesWhoseUnitsComeAndGo) {
    start(
        fmt::format("[[disk]]\nname = \"quorum\"\nstorage = {{ kind = \"memory\", size = \"1MiB\" }}\n"
                    "[[device]]\nname = \"scsi0\"\ntype = \"scsi\"\nsocket = \"{}\"\nqueues = 2\n"
                    "[[device.unit]]\ndisk = \"quorum\"\n",
                    socket(0)));
    const std::string units = "/v1/devices/scsi0/units";
    EXPECT_EQ(control::parse_device_info(ask("GET", "/v1/devices/scsi0")).value().queues.size(), 4U);

    const std::string image = folder_ / "d.img";
    std::ofstream(image) << std::string(4096, 'x');
    const std::string own = fmt::format(R"({{"target": 1, "storage": {{"kind": "file", "path": "{}"}}}})", image);
    const auto added = control::parse_unit_info(ask("POST", units, own));
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_EQ(control::to_string(added->address), "1:0");
    EXPECT_EQ(added->disk.capacity_bytes, 4096U);
    EXPECT_EQ(
        control::parse_unit_info(ask("POST", units + "/1:0/resize", R"({"size": 8192})")).value().disk.capacity_bytes,
        8192U);
    EXPECT_EQ(std::filesystem::file_size(image), 8192U);
    EXPECT_EQ(control::parse_unit_list(ask("GET", units)).value().size(), 2U);

    // A device that is added at run time shares the disk.
    const std::string device = fmt::format(
        R"({{"name": "scsi1", "type": "scsi", "socket": "{}", "unit": [{{"lun": 7, "disk": "quorum"}}]}})", socket(1));
    ASSERT_TRUE(control::parse_device_info(ask("POST", "/v1/devices", device)));
    EXPECT_EQ(control::parse_shared_disk_info(ask("POST", "/v1/disks/quorum/resize", R"({"size": "2MiB"})"))
                  .value()
                  .units.size(),
              2U);
    EXPECT_EQ(control::parse_unit_info(ask("GET", "/v1/devices/scsi1/units/0:7")).value().disk.capacity_bytes,
              2U << 20U);
    EXPECT_THAT(ask("DELETE", "/v1/disks/quorum"), HasSubstr("in use: remove the units scsi0 0:0, scsi1 0:7 first"));

    EXPECT_EQ(ask("DELETE", units + "/1:0"), "");
    EXPECT_TRUE(control::parse_unit_info(ask("POST", units, own))) << "the file is free again";
    EXPECT_EQ(ask("DELETE", units + "/0:0"), "");
    EXPECT_EQ(ask("DELETE", "/v1/devices/scsi1"), "");
    EXPECT_EQ(ask("DELETE", "/v1/disks/quorum"), "");
    EXPECT_THAT(ask("GET", units + "/0:0"), HasSubstr("has no unit 0:0"));
    daemon_->send(SIGTERM);
    EXPECT_EQ(daemon_->wait().status, 0);
}

TEST_F(Sidecored, StopsOnAnInterruptToo) {
    start("");
    daemon_->send(SIGINT);
    EXPECT_EQ(daemon_->wait().status, 0);
}

TEST_F(Sidecored, StartsAgainAfterItWasKilled) {
    start(disks(1));
    frontend::BlkDriver before = frontend::BlkDriver::start(socket(0), test::small_driver()).value();
    daemon_.reset();  // SIGKILL: the sockets stay
    EXPECT_TRUE(std::filesystem::exists(socket(0)));
    start(disks(1));
    frontend::BlkDriver driver = frontend::BlkDriver::start(socket(0), test::small_driver()).value();
    test::expect_disk_works(driver.requests(), 1);
}

TEST_F(Sidecored, DevicesThatCannotBeServedKeepItFromStarting) {
    const auto ended =
        run({"--config", write_config(disks(1) + "[[device]]\nname = \"a\"\nsocket = \"" + folder_.path().string() +
                                      "/a\"\nstorage = { kind = \"file\", path = \"/nonexistent/a\" }\n"
                                      "[[device]]\nname = \"b\"\nsocket = \"" +
                                      folder_.path().string() +
                                      "/b\"\nstorage = { kind = \"file\", path = \"/nonexistent/b\" }\n")});
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(ended.err, AllOf(HasSubstr("/nonexistent/a"), HasSubstr("/nonexistent/b")));
    EXPECT_FALSE(std::filesystem::exists(socket(0)));
}

TEST_F(Sidecored, ASecondOneOnTheSameSocketsDoesNotStart) {
    start(disks(1));
    const auto second = run({"--config", folder_ / "sidecored.toml"});
    EXPECT_EQ(second.status, 1);
    EXPECT_THAT(second.err, HasSubstr(socket(0)));
    EXPECT_THAT(ask("GET", "/v1/version"), HasSubstr("sidecore"));
    frontend::BlkDriver driver = frontend::BlkDriver::start(socket(0), test::small_driver()).value();
    test::expect_disk_works(driver.requests(), 1);
}

TEST_F(Sidecored, TellsTheServiceManagerWhenItIsReady) {
    const std::string path = folder_ / "notify.sock";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const auto receive = [&socket] {
        std::array<char, 64> text{};
        pollfd waiting{socket.get(), POLLIN, 0};
        constexpr int patience_ms = 20'000;
        const bool there = ::poll(&waiting, 1, patience_ms) > 0;
        const auto bytes = there ? ::recv(socket.get(), text.data(), text.size(), 0) : 0;
        return std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
    };
    start("", {{"NOTIFY_SOCKET", path}});
    EXPECT_EQ(receive(), "READY=1");
    daemon_->send(SIGTERM);
    EXPECT_EQ(receive(), "STOPPING=1");
    EXPECT_EQ(daemon_->wait().status, 0);
}

/// What the threads of a process have cost so far.
struct Cost {
    std::uint64_t switches = 0;
    std::uint64_t cpu_ns = 0;
    std::size_t threads = 0;

    friend bool operator==(const Cost&, const Cost&) = default;
    friend void PrintTo(const Cost& cost, std::ostream* out) {
        *out << cost.switches << " switches, " << cost.cpu_ns << " ns, " << cost.threads << " threads";
    }
};

/// By name. A sanitizer's own thread, which has the program's name without being its main thread, is left out.
std::map<std::string, Cost> cost_by_thread(pid_t process) {
    std::map<std::string, Cost> costs;
    for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process))) {
        std::string name;
        std::getline(std::ifstream(task.path() / "comm"), name);
        if (name == "sidecored" && task.path().filename() != std::to_string(process)) {
            continue;
        }
        Cost& cost = costs[name];
        ++cost.threads;
        std::ifstream status(task.path() / "status");
        for (std::string key; status >> key;) {
            if (key == "voluntary_ctxt_switches:" || key == "nonvoluntary_ctxt_switches:") {
                std::uint64_t value = 0;
                status >> value;
                cost.switches += value;
            }
        }
        std::uint64_t cpu_ns = 0;
        std::ifstream(task.path() / "schedstat") >> cpu_ns;
        cost.cpu_ns += cpu_ns;
    }
    return costs;
}

class IdleSidecored : public Sidecored, public ::testing::WithParamInterface<int> {};

/// Connected devices under the default policy, each of which has done some I/O while polled, then nothing for 10 s.
TEST_P(IdleSidecored, CostsNothing) {
    const int devices = GetParam();
    start(disks(devices));
    std::vector<frontend::BlkDriver> drivers;
    for (int i = 0; i < devices; ++i) {
        drivers.push_back(frontend::BlkDriver::start(socket(i), test::small_driver()).value());
        test::expect_disk_works(drivers.back().requests(), 1);
    }
    ASSERT_TRUE(eventually([this] {
        for (const control::DeviceInfo& device : statistics().devices) {
            if (device.queues.at(0).mode != "notified" || !device.queues.at(0).armed) {
                return false;
            }
        }
        return true;
    }));
    // Two looks that agree: whatever was still going on, is over.
    std::map<std::string, Cost> before;
    ASSERT_TRUE(eventually([this, &before] {
        auto now = cost_by_thread(daemon_->pid());
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        before = cost_by_thread(daemon_->pid());
        return before == now;
    }));
    EXPECT_GE(before.size(), 3U + static_cast<std::size_t>(devices)) << "main, control, worker and one per device";

    std::this_thread::sleep_for(std::chrono::seconds(10));
    EXPECT_EQ(cost_by_thread(daemon_->pid()), before);

    for (frontend::BlkDriver& driver : drivers) {
        test::expect_disk_works(driver.requests(), 2);
    }
    daemon_->send(SIGTERM);
    EXPECT_EQ(daemon_->wait().status, 0);
}

INSTANTIATE_TEST_SUITE_P(Devices, IdleSidecored, ::testing::Values(1, 32));

}  // namespace
}  // namespace sidecore::daemon
