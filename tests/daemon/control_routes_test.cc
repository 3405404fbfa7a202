// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_routes.hh"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/fake_service.hh"

namespace sidecore::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr std::string_view new_device =
    R"({"name": "disk1", "type": "blk", "socket": "/run/d", "storage": {"kind": "null", "size": 512}})";

class ControlRoutes : public ::testing::Test {
protected:
    ControlReply ask(std::string_view method, std::string_view path, std::string_view body = {}) {
        return answer(service_, method, path, body);
    }

    test::FakeService service_;
};

TEST_F(ControlRoutes, AnswerWhatIsAsked) {
    ControlReply reply = ask("GET", "/v1/version");
    EXPECT_EQ(reply.status, 200U);
    EXPECT_THAT(reply.body, HasSubstr(R"("api":"v1")"));

    reply = ask("GET", "/v1/devices");
    EXPECT_EQ(reply.status, 200U);
    EXPECT_EQ(control::parse_device_list(reply.body).value().size(), 1U);

    EXPECT_EQ(control::parse_device_info(ask("GET", "/v1/devices/disk0").body).value().name, "disk0");
    EXPECT_EQ(control::parse_worker_list(ask("GET", "/v1/workers").body).value().at(0).name, "io0");
    EXPECT_EQ(control::parse_statistics(ask("GET", "/v1/stats").body).value().devices.size(), 1U);
    EXPECT_EQ(control::parse_statistics(ask("GET", "/v1/devices/disk0/stats").body).value().devices.size(), 1U);
    EXPECT_EQ(control::parse_daemon_info(ask("GET", "/v1/daemon").body).value().process_id, 4711);
    EXPECT_EQ(ask("HEAD", "/v1/devices").status, 200U);
    EXPECT_THAT(service_.log(), ElementsAre("devices", "device disk0", "workers", "statistics *", "statistics disk0",
                                            "daemon", "devices"));
}

TEST_F(ControlRoutes, CarryOutChanges) {
    EXPECT_EQ(ask("POST", "/v1/devices", new_device).status, 201U);
    EXPECT_EQ(ask("POST", "/v1/devices/disk0/resize", R"({"size": "1GiB"})").status, 200U);
    EXPECT_EQ(ask("PATCH", "/v1/settings", R"({"policy": {"kind": "never"}})").status, 200U);
    EXPECT_EQ(ask("PATCH", "/v1/devices/disk0/settings", R"({"policy": {"kind": null}})").status, 200U);
    EXPECT_EQ(ask("PATCH", "/v1/devices/disk0/queues/1/settings", R"({"policy": {"tick": "2ms"}})").status, 200U);
    const ControlReply removed = ask("DELETE", "/v1/devices/disk1");
    EXPECT_EQ(removed.status, 204U);
    EXPECT_EQ(removed.body, "");
    EXPECT_THAT(
        service_.log(),
        ElementsAre(R"(add {"name":"disk1","type":"blk","socket":"/run/d","storage":{"kind":"null","size":512}})",
                    "resize disk0 1073741824", R"(set */* {"policy":{"kind":"never"}})",
                    R"(set disk0/* {"policy":{"kind":null}})", R"(set disk0/1 {"policy":{"tick":"2ms"}})",
                    "remove disk1"));
}

TEST_F(ControlRoutes, ChangeLimits) {
    EXPECT_EQ(ask("PATCH", "/v1/devices/disk0/limits", R"({"transmit_rate": "1 Gbit", "burst": null})").status, 200U);
    EXPECT_EQ(ask("PATCH", "/v1/devices/none/limits", R"({"receive_packets": 7})").status, 404U);
    EXPECT_THAT(service_.log(), ElementsAre(R"(limit disk0 {"transmit_rate":"1Gbit","burst":null})",
                                            R"(limit none {"receive_packets":7})"));
}

TEST_F(ControlRoutes, ExplainQueues) {
    EXPECT_EQ(control::parse_explanation(ask("GET", "/v1/devices/disk0/why").body).value().queues.size(), 2U);
    const auto one = control::parse_explanation(ask("GET", "/v1/devices/disk0/queues/1/why").body);
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_EQ(one->queues.at(0).index, 1);
    EXPECT_EQ(ask("GET", "/v1/devices/none/why").status, 404U);
    EXPECT_EQ(ask("GET", "/v1/devices/disk0/queues/x/why").status, 404U);
}

TEST_F(ControlRoutes, ManageWorkers) {
    EXPECT_EQ(ask("POST", "/v1/workers", R"({"name": "io1", "cpu": 1, "poll_budget": 50})").status, 201U);
    EXPECT_EQ(ask("POST", "/v1/workers/io1/pin", R"({"cpu": null})").status, 200U);
    const ControlReply changed = ask("PATCH", "/v1/workers/io1/settings", R"({"poll_budget": 20, "wait_max": null})");
    EXPECT_EQ(changed.status, 200U);
    EXPECT_THAT(changed.body, StartsWith(R"({"poll_budget":20,)"));
    EXPECT_EQ(ask("PATCH", "/v1/settings", R"({"workers": {"poll_budget": 30}})").status, 200U);
    EXPECT_EQ(ask("POST", "/v1/devices/disk0/move", R"({"worker": "io1"})").status, 200U);
    EXPECT_EQ(ask("POST", "/v1/devices/disk0/queues/1/move", R"({"worker": "io0"})").status, 200U);
    EXPECT_EQ(ask("DELETE", "/v1/workers/io1").status, 204U);
    EXPECT_THAT(service_.log(), ElementsAre("add worker io1 on 1 with 1 settings", "pin io1 none",
                                            R"(set io1 {"workers":{"poll_budget":20,"wait_max":null}})",
                                            R"(set */* {"workers":{"poll_budget":30}})", "move disk0/* io1",
                                            "move disk0/1 io0", "remove worker io1"));
}

TEST_F(ControlRoutes, AnnounceDevices) {
    EXPECT_EQ(ask("POST", "/v1/devices/net0/announce").status, 204U);
    EXPECT_THAT(service_.log(), ElementsAre("announce net0"));
    service_.fail_with(Error{ErrorKind::unsupported, "nobody knows it", 0});
    EXPECT_EQ(ask("POST", "/v1/devices/net0/announce").status, 422U);
}

TEST_F(ControlRoutes, ManageUnits) {
    EXPECT_EQ(control::parse_unit_list(ask("GET", "/v1/devices/scsi0/units").body).value().size(), 1U);
    EXPECT_EQ(control::parse_unit_info(ask("GET", "/v1/devices/scsi0/units/3:5").body).value().address,
              (control::UnitAddress{3, 5}));
    EXPECT_EQ(ask("POST", "/v1/devices/scsi0/units", R"({"target": 1, "disk": "quorum"})").status, 201U);
    const ControlReply resized = ask("POST", "/v1/devices/scsi0/units/0:1/resize", R"({"size": "1GiB"})");
    EXPECT_EQ(control::parse_unit_info(resized.body).value().disk.capacity_bytes, 1U << 30U);
    EXPECT_EQ(ask("POST", "/v1/devices/scsi0/units/0:1/resize", "{}").status, 200U);
    EXPECT_EQ(ask("DELETE", "/v1/devices/scsi0/units/0:1").status, 204U);
    EXPECT_THAT(service_.log(),
                ElementsAre("units scsi0", "unit scsi0 3:5", R"(add unit scsi0 {"target":1,"disk":"quorum"})",
                            "resize unit scsi0 0:1 1073741824", "resize unit scsi0 0:1 0", "remove unit scsi0 0:1"));

    for (const std::string_view address : {"0", "256:0", "a:b", "0:1:2"}) {
        const std::string path = "/v1/devices/scsi0/units/" + std::string(address);
        EXPECT_EQ(ask("GET", path).status, 404U);
        EXPECT_EQ(ask("DELETE", path).status, 404U);
        EXPECT_THAT(ask("POST", path + "/resize", "{}").body, HasSubstr("is no unit; write TARGET:LUN"));
    }
    EXPECT_EQ(ask("POST", "/v1/devices/scsi0/units", "{}").status, 400U);
    EXPECT_EQ(ask("POST", "/v1/devices/scsi0/units/0:1/resize", R"({"size": 1})").status, 400U);
    EXPECT_EQ(ask("PATCH", "/v1/devices/scsi0/units/0:1").allow, "GET, DELETE");
    service_.fail_with(Error{ErrorKind::timed_out, "its I/O has not ended", 0});
    EXPECT_EQ(ask("DELETE", "/v1/devices/scsi0/units/0:1").status, 504U);
    service_.fail_with(Error{ErrorKind::unsupported, "it has none", 0});
    EXPECT_EQ(ask("GET", "/v1/devices/disk0/units").status, 422U);
}

TEST_F(ControlRoutes, ManageSharedDisks) {
    EXPECT_EQ(control::parse_shared_disk_list(ask("GET", "/v1/disks").body).value().at(0).name, "quorum");
    EXPECT_EQ(control::parse_shared_disk_info(ask("GET", "/v1/disks/quorum").body).value().units.size(), 2U);
    EXPECT_EQ(ask("POST", "/v1/disks", R"({"name": "d", "storage": {"kind": "null", "size": 512}})").status, 201U);
    EXPECT_EQ(ask("POST", "/v1/disks/d/resize", R"({"size": 1024})").status, 200U);
    EXPECT_EQ(ask("DELETE", "/v1/disks/d").status, 204U);
    EXPECT_THAT(service_.log(),
                ElementsAre("disks", "disk quorum", R"(add disk {"name":"d","storage":{"kind":"null","size":512}})",
                            "resize disk d 1024", "remove disk d"));
    EXPECT_EQ(ask("POST", "/v1/disks", R"({"name": "d"})").status, 400U);
    EXPECT_EQ(ask("POST", "/v1/disks/d/resize", R"({"size": 1})").status, 400U);
    service_.fail_with(Error{ErrorKind::not_found, "there is none", 0});
    EXPECT_EQ(ask("GET", "/v1/disks/x").status, 404U);
    EXPECT_EQ(ask("DELETE", "/v1/disks/x").status, 404U);
}

TEST_F(ControlRoutes, ManageSwitches) {
    EXPECT_EQ(control::parse_switch_list(ask("GET", "/v1/switches").body).value().at(0).name, "lan");
    EXPECT_EQ(control::parse_switch_info(ask("GET", "/v1/switches/lan").body).value().ports.size(), 2U);
    EXPECT_EQ(control::parse_station_list(ask("GET", "/v1/switches/lan/stations").body).value().at(0).port, "vm1");
    EXPECT_EQ(ask("POST", "/v1/switches", R"({"name": "dmz", "age": "10s"})").status, 201U);
    EXPECT_EQ(ask("POST", "/v1/switches/dmz/move", R"({"worker": "io1"})").status, 200U);
    EXPECT_EQ(ask("DELETE", "/v1/switches/dmz").status, 204U);
    EXPECT_THAT(service_.log(),
                ElementsAre("switches", "switch lan", "stations lan", R"(add switch {"name":"dmz","age":"10s"})",
                            "move switch dmz io1", "remove switch dmz"));
    service_.fail_with(Error{ErrorKind::not_found, "no such switch", 0});
    EXPECT_EQ(ask("GET", "/v1/switches/x").status, 404U);
    EXPECT_EQ(ask("GET", "/v1/switches/x/stations").status, 404U);
    EXPECT_EQ(ask("DELETE", "/v1/switches/x").status, 404U);
}

TEST_F(ControlRoutes, CheckRequestsBeforeTheServiceSeesThem) {
    const std::vector<std::pair<std::string_view, std::string_view>> posts{
        {"POST", "/v1/devices"},
        {"POST", "/v1/devices/disk0/resize"},
        {"PATCH", "/v1/settings"},
        {"PATCH", "/v1/devices/disk0/settings"},
        {"PATCH", "/v1/devices/disk0/limits"},
        {"PATCH", "/v1/devices/disk0/queues/0/settings"},
        {"PATCH", "/v1/workers/io0/settings"},
        {"POST", "/v1/workers"},
        {"POST", "/v1/workers/io0/pin"},
        {"POST", "/v1/devices/disk0/move"},
        {"POST", "/v1/devices/disk0/queues/0/move"},
        {"POST", "/v1/switches"},
        {"POST", "/v1/switches/lan/move"},
    };
    for (const auto& [method, path] : posts) {
        for (const std::string_view body : {"", "{", "7", R"({"nonsense": 1})"}) {
            const ControlReply reply = ask(method, path, body);
            EXPECT_EQ(reply.status, 400U) << path << body;
            EXPECT_EQ(control::parse_error_reply(reply.body).kind, ErrorKind::invalid_argument) << reply.body;
        }
    }
    EXPECT_THAT(service_.log(), IsEmpty());
}

TEST_F(ControlRoutes, UnknownPathsAreNotFound) {
    for (const std::string_view path :
         {"", "/", "/v1", "/v1/", "/v2/devices", "/v1/devices/", "/v1/devices//settings", "//v1/devices", "v1/devices",
          "/v1/devices/a/b", "/v1/devices/disk0/queues", "/v1/devices/disk0/queues/0", "/v1/version/x", "/v1//version",
          "/v1/versio", "/*", "/v1/devices/*/x"}) {
        const ControlReply reply = ask("GET", path);
        EXPECT_EQ(reply.status, 404U) << path;
        EXPECT_EQ(control::parse_error_reply(reply.body).kind, ErrorKind::not_found);
    }
    EXPECT_THAT(service_.log(), IsEmpty());
    for (const std::string_view queue : {"x", "-1", "65536", "0x0", "1 ", "99999999999"}) {
        EXPECT_EQ(
            ask("PATCH", fmt::format("/v1/devices/disk0/queues/{}/settings", queue), R"({"policy": {"kind": "never"}})")
                .status,
            404U);
    }
    EXPECT_EQ(ask("GET", "/v1/devices/none").status, 404U);
}

TEST_F(ControlRoutes, WrongMethodsAreToldTheRightOnes) {
    ControlReply reply = ask("PUT", "/v1/devices");
    EXPECT_EQ(reply.status, 405U);
    EXPECT_EQ(reply.allow, "GET, POST");
    reply = ask("POST", "/v1/devices/disk0");
    EXPECT_EQ(reply.status, 405U);
    EXPECT_EQ(reply.allow, "GET, DELETE");
    EXPECT_EQ(ask("", "/v1/version").allow, "GET");
}

TEST_F(ControlRoutes, ErrorsOfTheServiceKeepTheirKind) {
    const std::vector<std::pair<ErrorKind, unsigned>> cases{
        {ErrorKind::invalid_argument, 400}, {ErrorKind::out_of_range, 400},       {ErrorKind::not_found, 404},
        {ErrorKind::already_exists, 409},   {ErrorKind::unsupported, 422},        {ErrorKind::timed_out, 504},
        {ErrorKind::system, 500},           {ErrorKind::protocol_violation, 500}, {ErrorKind::closed, 500},
    };
    for (const auto& [kind, status] : cases) {
        service_.fail_with(Error{kind, "it went wrong", 0});
        for (const ControlReply& reply : {ask("POST", "/v1/devices", new_device), ask("DELETE", "/v1/devices/disk0"),
                                          ask("POST", "/v1/devices/disk0/resize", "{}"),
                                          ask("PATCH", "/v1/settings", R"({"policy": {"kind": "never"}})")}) {
            EXPECT_EQ(reply.status, status);
            EXPECT_EQ(control::parse_error_reply(reply.body).kind, kind);
            EXPECT_EQ(control::parse_error_reply(reply.body).message, "it went wrong");
        }
    }
}

}  // namespace
}  // namespace sidecore::daemon
