// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_server.hh"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "control/http_client.hh"
#include "daemon/context_switches.hh"
#include "daemon/fake_service.hh"
#include "daemon/raw_http.hh"

namespace sidecore::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ControlServerTest : public ::testing::Test {
protected:
    ControlServerTest() {
        std::string name = (std::filesystem::temp_directory_path() / "sidecore-server-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        path_ = folder_ / "run" / "control.sock";
        start();
    }
    ~ControlServerTest() override {
        server_.reset();
        std::filesystem::remove_all(folder_);
    }

    void start() {
        auto server = ControlServer::create({path_, 0600, ""}, service_);
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
    }

    Result<std::string> ask(std::string_view method, std::string_view path,
                            const std::optional<std::string>& body = std::nullopt) {
        return control::HttpClient::create(path_).value().request(method, path, body);
    }

    /// That the server is alive and well after what a test has done to it.
    void expect_alive() {
        const auto reply = ask("GET", "/v1/version");
        ASSERT_TRUE(reply) << reply.error().message;
        EXPECT_THAT(*reply, HasSubstr("\"sidecore\""));
    }

    std::filesystem::path folder_;
    std::string path_;
    test::FakeService service_;
    std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, AnswersOverTheSocket) {
    const auto list = ask("GET", "/v1/devices");
    ASSERT_TRUE(list) << list.error().message;
    EXPECT_EQ(control::parse_device_list(*list).value().at(0).name, "disk0");

    const auto changed = ask("PATCH", "/v1/devices/disk0/settings", R"({"policy": {"kind": "always"}})");
    ASSERT_TRUE(changed) << changed.error().message;
    EXPECT_THAT(*changed, HasSubstr(R"("kind":"always")"));

    const auto missing = ask("GET", "/v1/devices/none");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
    EXPECT_EQ(missing.error().message, "there is no device \"none\"");

    const auto removed = ask("DELETE", "/v1/devices/disk0");
    ASSERT_TRUE(removed) << removed.error().message;
    EXPECT_EQ(*removed, "");
}

TEST_F(ControlServerTest, OneConnectionServesManyRequests) {
    auto client = control::HttpClient::create(path_).value();
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(client.request("GET", "/v1/devices"));
    }
    EXPECT_FALSE(client.request("GET", "/v1/devices/none"));
    EXPECT_TRUE(client.request("GET", "/v1/devices/disk0"));
}

TEST_F(ControlServerTest, IgnoresAProxyOfTheEnvironment) {
    ::setenv("http_proxy", "http://127.0.0.1:1", 1);
    ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    const auto reply = ask("GET", "/v1/version");
    ::unsetenv("http_proxy");
    ::unsetenv("ALL_PROXY");
    EXPECT_TRUE(reply) << reply.error().message;
}

TEST_F(ControlServerTest, OnlyItsOwnerMayConnect) {
    struct stat status {};
    ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    server_.reset();
    EXPECT_FALSE(std::filesystem::exists(path_));

    const auto shared = ControlServer::create({path_, 0666, "root"}, service_);
    ASSERT_TRUE(shared) << shared.error().message;
    ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0666U);

    const auto no_group = ControlServer::create({path_ + "2", 0660, "no such group"}, service_);
    ASSERT_FALSE(no_group);
    EXPECT_EQ(no_group.error().kind, ErrorKind::not_found);
    EXPECT_FALSE(std::filesystem::exists(path_ + "2"));
}

TEST_F(ControlServerTest, ASecondOneLeavesTheFirstAlone) {
    const auto second = ControlServer::create({path_, 0600, ""}, service_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::already_exists);
    expect_alive();
}

TEST_F(ControlServerTest, ClientsOfADeadDaemonAreToldSo) {
    server_.reset();
    const auto reply = ask("GET", "/v1/version");
    ASSERT_FALSE(reply);
    EXPECT_THAT(reply.error().message, HasSubstr(path_));
    EXPECT_THAT(reply.error().message, HasSubstr("No such file or directory"));
}

TEST_F(ControlServerTest, NonsenseHurtsNobody) {
    const std::string long_line(100'000, 'x');
    for (const std::string& nonsense :
         {std::string("\r\n\r\n"), std::string("nonsense\r\n\r\n"), std::string(1, '\0'), long_line + "\r\n\r\n",
          "GET /" + long_line + " HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA: " + long_line + "\r\n\r\n",
          std::string("GET / HTTP/9.9\r\n\r\n"), std::string("GET /%00%zz%ff HTTP/1.1\r\nHost: x\r\n\r\n"),
          std::string("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
          std::string("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
          std::string("POST /v1/devices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
          std::string("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n") + std::string(5, '\0')}) {
        test::RawClient client(path_);
        client.send(nonsense);
        client.end_of_sending();
        client.receive(1000);
        expect_alive();
    }
    EXPECT_EQ(service_.log().size(), 0U);
}

TEST_F(ControlServerTest, BodiesThatAreTooLargeAreRefusedUnread) {
    test::RawClient announced(path_);
    ASSERT_TRUE(announced.send("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"));
    EXPECT_THAT(announced.receive_status(), StartsWith("HTTP/1.1 413 "));

    const std::string fits = "\"" + std::string(ControlServer::max_body_bytes - 2, 'x') + "\"";
    EXPECT_THAT(ask("PATCH", "/v1/settings", fits).error().message, HasSubstr("settings is a table, not a string"));
    // The daemon does not read what it refuses: the client may fail to send the rest before it sees the answer.
    EXPECT_THAT(ask("PATCH", "/v1/settings", fits + " ").error().message,
                testing::AnyOf(HasSubstr("larger than 65536 bytes"), HasSubstr("Broken pipe")));
    expect_alive();
}

TEST_F(ControlServerTest, BodiesWithoutEndAreCutOff) {
    test::RawClient client(path_);
    ASSERT_TRUE(client.send("POST /v1/devices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    const std::string chunk = "1000\r\n" + std::string(0x1000, ' ') + "\r\n";
    int sent = 0;
    constexpr int far_too_many = 10'000;
    while (sent < far_too_many && client.send(chunk)) {
        ++sent;
    }
    EXPECT_LT(sent, far_too_many);
    expect_alive();
}

TEST_F(ControlServerTest, ChunkedBodiesOfModerateSizeGetTheirAnswer) {
    test::RawClient client(path_);
    ASSERT_TRUE(client.send("PATCH /v1/settings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 17; ++i) {
        ASSERT_TRUE(client.send("1000\r\n" + std::string(0x1000, ' ') + "\r\n"));
    }
    ASSERT_TRUE(client.send("0\r\n\r\n"));
    EXPECT_THAT(client.receive_status(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(ControlServerTest, ClientsThatGoAwayInTheMiddleAreForgotten) {
    for (int i = 0; i < 200; ++i) {
        test::RawClient client(path_);
        client.send("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"name\":");
    }
    expect_alive();
}

TEST_F(ControlServerTest, SlowClientsHoldUpNobody) {
    std::vector<std::unique_ptr<test::RawClient>> slow;
    for (int i = 0; i < 20; ++i) {
        slow.push_back(std::make_unique<test::RawClient>(path_));
        ASSERT_TRUE(slow.back()->send("GET /v1/vers"));
    }
    expect_alive();
    for (const auto& client : slow) {
        ASSERT_TRUE(client->send("ion HTTP/1.1\r\nHost: x\r\n\r\n"));
        EXPECT_THAT(client->receive_status(), StartsWith("HTTP/1.1 200 "));
    }
}

TEST_F(ControlServerTest, ManyClientsAtOnceAllGetTheirAnswers) {
    constexpr int clients = 16;
    constexpr int requests = 50;
    std::atomic<int> answered = 0;
    std::vector<std::thread> threads;
    threads.reserve(clients);
    for (int i = 0; i < clients; ++i) {
        threads.emplace_back([this, &answered, i] {
            auto client = control::HttpClient::create(path_).value();
            for (int j = 0; j < requests; ++j) {
                const auto reply = client.request("PATCH", fmt::format("/v1/devices/disk0/queues/{}/settings", i),
                                                  fmt::format(R"({{"policy": {{"poll_start_rate": {}}}}})", j));
                answered += reply && reply->find(fmt::format("\"poll_start_rate\":{}", j)) != std::string::npos ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(answered, clients * requests);
    EXPECT_EQ(service_.log().size(), static_cast<std::size_t>(clients * requests));
}

TEST_F(ControlServerTest, CostsNothingWhileNobodyAsks) {
    expect_alive();
    test::RawClient idle(path_);  // a connection that stays open
    ASSERT_TRUE(idle.send("GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(idle.receive(200), HasSubstr("\"sidecore\""));
    // The server is asleep again once its count of switches stands still.
    std::uint64_t before = test::context_switches_of("MHD-single");
    ASSERT_GT(before, 0U);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    before = test::context_switches_of("MHD-single");
    std::this_thread::sleep_for(std::chrono::seconds(3));
    EXPECT_EQ(test::context_switches_of("MHD-single"), before);
}

}  // namespace
}  // namespace sidecore::daemon
