// SPDX-License-Identifier: Apache-2.0
// Connections that come, go wrong, and go away in the middle of things.
#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"
#include "vhost_user/messages.hh"
#include "vhost_user/socket.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;
using frontend::BlkDriver;
using frontend::BlkType;
using frontend::Client;
using storage::FakeDisk;
using storage::FaultAction;

class Sessions : public testing::Test {
protected:
    std::unique_ptr<engine::Worker> worker = make_worker();
    std::shared_ptr<FakeDisk> storage = FakeDisk::create(4 * mebibyte);
};

TEST_F(Sessions, AnEndpointWithoutAFrontEndSaysSo) {
    LiveDisk live(storage->open(), {worker.get()}, {.device = {.queues = 3}});
    const Info info = live.info();
    EXPECT_FALSE(info.connected);
    EXPECT_EQ(info.sessions, 0U);
    EXPECT_EQ(info.features, 0U);
    EXPECT_TRUE(info.last_error.empty());
    ASSERT_EQ(info.queues.size(), 3U);
    for (const QueueInfo& queue : info.queues) {
        EXPECT_FALSE(queue.started);
        EXPECT_FALSE(queue.enabled);
        EXPECT_EQ(queue.size, 0U);
        EXPECT_EQ(queue.worker, "worker");
        EXPECT_FALSE(queue.counters.attached);
    }
    EXPECT_EQ(live.endpoint().role(), Role::listen);
}

TEST_F(Sessions, OneAfterTheOtherFindTheSameDisk) {
    LiveDisk live(storage->open(), {worker.get()});
    VerifiedLoad load({0, 4096}, 1);
    for (std::uint64_t session = 1; session <= 5; ++session) {
        auto driver = live.start();
        const auto done = load.run(driver.requests(), 50, 8);
        EXPECT_TRUE(done) << done.error().message;
        const auto compared = load.compare_all(driver.requests());
        EXPECT_TRUE(compared) << compared.error().message;
        const Info info = live.info();
        EXPECT_TRUE(info.connected);
        EXPECT_EQ(info.sessions, session);
        EXPECT_NE(info.features, 0U);
        EXPECT_LE(info.connected_since_ns, monotonic_ns());
    }
    EXPECT_TRUE(eventually([&] { return !live.info().connected; }));
    EXPECT_EQ(live.info().features, 0U);
    EXPECT_EQ(storage->open_queue_count(), 0U);
    EXPECT_EQ(worker->statistics().queues, 0U);
}

/// What was accepted is completed although nobody is there any more; until then nobody else gets in, and no other device
/// of the worker notices anything.
TEST_F(Sessions, AFrontEndThatGoesAwayInTheMiddleOfItsRequests) {
    LiveDisk live(storage->open(), {worker.get()});
    LiveDisk other(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.name = "other"}});
    storage->add_fault({.action = FaultAction::hold, .operation = storage::BlockOperation::write});
    auto other_driver = other.start();
    std::vector<std::vector<std::byte>> data;
    {
        auto driver = live.start();
        for (std::uint64_t i = 0; i < 5; ++i) {
            data.push_back(pattern(4096, i));
            must(driver.requests().submit({.type = BlkType::write, .sector = i * 8, .out = data.back()}));
        }
        driver.queue().publish();
        ASSERT_TRUE(storage->wait_until_held(5));
    }
    std::atomic<bool> in{false};
    std::thread next([&] {
        auto driver = live.start();
        in = true;
        std::vector<std::byte> read(5 * 4096);
        must(driver.read(0, read));
        for (std::size_t i = 0; i < data.size(); ++i) {
            EXPECT_TRUE(
                std::equal(data[i].begin(), data[i].end(), read.begin() + static_cast<std::ptrdiff_t>(i * 4096)));
        }
    });
    VerifiedLoad load({0, 4096}, 1);
    const auto done = load.run(other_driver.requests(), 500, 8);
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_FALSE(in);
    EXPECT_EQ(live.info().sessions, 1U);
    EXPECT_EQ(storage->held().size(), 5U);
    storage->release_all();
    next.join();
    EXPECT_TRUE(in);
    EXPECT_EQ(live.info().sessions, 2U);
}

/// stop() is a front-end's end as seen from here.
TEST_F(Sessions, StopFinishesWhatWasAccepted) {
    LiveDisk live(storage->open(), {worker.get()});
    storage->add_fault({.action = FaultAction::hold});
    auto driver = live.start();
    const auto data = pattern(8192, 3);
    must(driver.requests().submit({.type = BlkType::write, .sector = 16, .out = data}));
    driver.queue().publish();
    ASSERT_TRUE(storage->wait_until_held(1));
    std::atomic<int> stopped{0};
    std::array<std::thread, 2> stopping;  // two at a time are none too many
    for (auto& thread : stopping) {
        thread = std::thread([&] {
            live.endpoint().stop();
            ++stopped;
        });
    }
    EXPECT_FALSE(driver.client().receive());  // the connection ends at once ...
    EXPECT_EQ(stopped, 0);                    // ... and what was accepted is waited for
    storage->release_all();
    for (auto& thread : stopping) {
        thread.join();
    }
    EXPECT_EQ(storage->contents(16 * 512, data.size()), data);
    const auto finished = must(driver.requests().collect());
    EXPECT_EQ(finished.front().status, frontend::BlkStatus::ok);
    EXPECT_FALSE(std::filesystem::exists(live.socket()));
    EXPECT_FALSE(Client::connect(live.socket(), std::chrono::milliseconds(1)));
    live.endpoint().stop();
}

TEST_F(Sessions, StopUnderLoadLosesNothingThatWasCompleted) {
    auto live = std::make_unique<LiveDisk>(storage->open(), std::vector{worker.get()});
    auto driver = live->start();
    std::atomic<std::uint64_t> completed{0};
    std::thread writing([&] {
        // Sector i gets i, until nobody answers any more.
        for (std::uint64_t i = 0; i < 8192; ++i) {
            const auto data = pattern(512, i);
            if (!driver.requests().submit({.type = BlkType::write, .sector = i, .out = data})) {
                return;
            }
            driver.queue().publish();
            if (!eventually([&] { return driver.queue().has_used(); }, std::chrono::milliseconds(500)) ||
                !driver.requests().collect()) {
                return;
            }
            completed = i + 1;
        }
    });
    ASSERT_TRUE(eventually([&] { return completed > 100; }));
    live->endpoint().stop();
    writing.join();
    for (std::uint64_t i = 0; i < completed; ++i) {
        ASSERT_EQ(storage->contents(i * 512, 512), pattern(512, i)) << i;
    }
}

// ---- a front-end that breaks the rules ----

struct Offence {
    std::string name;
    std::function<void(BlkDriver&)> commit;
    std::string words;  // in the error
};

void PrintTo(const Offence& offence, std::ostream* out) {
    *out << offence.name;
}

template <typename Payload>
void send(BlkDriver& driver, vhost_user::Request request, const Payload& payload) {
    const auto bytes = vhost_user::payload_bytes(payload);
    must(driver.client().connection().send(vhost_user::make_header(request, bytes.size()), bytes));
}

std::vector<Offence> offences() {
    using vhost_user::Request;
    using vhost_user::VringState;
    return {
        {"UnknownRequest",
         [](BlkDriver& driver) {
             must(driver.client().connection().send(vhost_user::make_header(static_cast<Request>(999), 0)));
         },
         "unknown"},
        {"VringOutOfRange",
         [](BlkDriver& driver) {
             send(driver, Request::set_vring_enable, VringState{1, 1});
         },
         "vring index 1, expected less than 1"},
        {"FeaturesThatWereNotOffered",
         [](BlkDriver& driver) { send(driver, Request::set_features, std::uint64_t{1} << 63U); }, "were not offered"},
        {"OddQueueSize",
         [](BlkDriver& driver) {
             send(driver, Request::set_vring_num, VringState{0, 100});
         },
         "expected a power of two"},
        {"ShortPayload", [](BlkDriver& driver) { send(driver, Request::set_vring_base, std::uint32_t{0}); },
         "a payload of 4 bytes"},
        {"FeaturesChangeWhileRunning", [](BlkDriver& driver) { send(driver, Request::set_features, std::uint64_t{0}); },
         "started and enabled"},
        {"NoMemory", [](BlkDriver& driver) { must(driver.client().set_mem_table({})); }, "SET_MEM_TABLE"},
    };
}

class RuleBreakers : public testing::TestWithParam<Offence> {
protected:
    std::unique_ptr<engine::Worker> worker = make_worker();
};

INSTANTIATE_TEST_SUITE_P(Offences, RuleBreakers, testing::ValuesIn(offences()), testing::PrintToStringParamName());

TEST_P(RuleBreakers, AreSentAwayWithTheReasonAndMayComeBack) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    for (std::uint64_t round = 1; round <= 2; ++round) {
        auto driver = live.start();
        const auto data = pattern(4096, round);
        must(driver.write(0, data));
        driver.client().acknowledge(false);
        GetParam().commit(driver);
        const auto answer = driver.client().receive();
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().kind, ErrorKind::closed) << answer.error().message;
        ASSERT_TRUE(eventually([&] { return !live.info().connected; }));
        EXPECT_NE(live.info().last_error.find(GetParam().words), std::string::npos) << live.info().last_error;
        EXPECT_EQ(live.info().sessions, round);
        EXPECT_EQ(worker->statistics().queues, 0U);
    }
    auto driver = live.start();
    VerifiedLoad load({0, 4096}, 1);
    EXPECT_TRUE(load.run(driver.requests(), 100, 8));
    EXPECT_FALSE(live.info().last_error.empty());  // it stays, for whoever asks later
}

// ---- sockets ----

TEST_F(Sessions, WhoeverIsGoneInTheMiddleOfAMessageIsGone) {
    LiveDisk live(storage->open(), {worker.get()});
    for (const std::size_t bytes : {1U, 11U, 12U, 16U}) {
        auto socket = must(vhost_user::connect_unix(live.socket()));
        const auto header = vhost_user::make_header(vhost_user::Request::set_features, 8);
        std::array<std::byte, 20> message{};
        std::copy_n(std::as_bytes(std::span(&header, 1)).begin(), sizeof header, message.begin());
        ASSERT_EQ(::send(socket.get(), message.data(), bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    }
    auto driver = live.start();
    must(driver.flush());
    EXPECT_EQ(live.info().sessions, 5U);
    EXPECT_NE(live.info().last_error.find("the stream ended after 4 of the 8 bytes"), std::string::npos)
        << live.info().last_error;
}

TEST_F(Sessions, TheSocketIsNotTakenFromAnotherEndpoint) {
    LiveDisk live(storage->open(), {worker.get()});
    auto second = must(device::BlkDevice::create(memory_storage(mebibyte), {}));
    Options options;
    options.name = "second";
    options.socket = live.socket();
    const auto made = Endpoint::create(std::move(options), std::move(second), {worker.get()}, {{}});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().kind, ErrorKind::already_exists);
    must(live.start().flush());
}

TEST_F(Sessions, WhatCannotBeServedIsNotCreated) {
    TemporaryFolder folder;
    for (const std::size_t settings : {0U, 2U}) {
        Options options;
        options.name = "wrong";
        options.socket = folder.path() / "socket";
        const auto made =
            Endpoint::create(std::move(options), must(device::BlkDevice::create(memory_storage(mebibyte), {})),
                             {worker.get()}, std::vector<engine::QueueSettings>(settings));
        ASSERT_FALSE(made);
        EXPECT_EQ(made.error().kind, ErrorKind::invalid_argument);
        EXPECT_FALSE(std::filesystem::exists(folder.path() / "socket"));
    }
}

TEST_F(Sessions, AGivenListeningSocketIsListenedOn) {
    TemporaryFolder folder;
    const auto path = folder.path() / "given";
    LiveDisk live(storage->open(), {worker.get()}, {.given = must(vhost_user::listen_unix(path))});
    for (std::uint64_t session = 1; session <= 3; ++session) {
        auto driver = must(BlkDriver::start(path, patient()));
        must(driver.flush());
        EXPECT_EQ(live.info().sessions, session);
    }
}

TEST_F(Sessions, AGivenConnectionIsTheOnlyOne) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    std::atomic<int> ended{0};
    LiveDisk live(storage->open(), {worker.get()}, {.given = Fd(pair[0]), .on_ended = [&] { ++ended; }});
    {
        auto driver = must(BlkDriver::start(Client(Fd(pair[1])), patient()));
        must(driver.flush());
        EXPECT_EQ(ended, 0);
    }
    EXPECT_TRUE(eventually([&] { return ended == 1; }));
    EXPECT_FALSE(live.info().connected);
    EXPECT_FALSE(std::filesystem::exists(live.socket()));
    live.endpoint().stop();
    EXPECT_EQ(ended, 1);
}

TEST_F(Sessions, StoppedByUsAGivenConnectionDoesNotEndByItself) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    std::atomic<int> ended{0};
    LiveDisk live(storage->open(), {worker.get()}, {.given = Fd(pair[0]), .on_ended = [&] { ++ended; }});
    auto driver = must(BlkDriver::start(Client(Fd(pair[1])), patient()));
    live.endpoint().stop();
    EXPECT_EQ(ended, 0);
}

// ---- the connecting role ----

/// The socket appears late, and each connection that ends is followed by another.
TEST_F(Sessions, AConnectingEndpointTriesUntilSomebodyListens) {
    LiveDisk live(storage->open(), {worker.get()}, {.role = Role::connect});
    EXPECT_FALSE(live.info().connected);
    const auto listener = must(vhost_user::listen_unix(live.socket()));
    for (std::uint64_t session = 1; session <= 3; ++session) {
        auto driver = must(BlkDriver::start(Client(must(vhost_user::accept_unix(listener.get()))), patient()));
        must(driver.flush());
        EXPECT_EQ(live.info().sessions, session);
    }
}

TEST_F(Sessions, AFrontEndThatDropsConnectionsGetsOnePerInterval) {
    constexpr auto interval = std::chrono::milliseconds(50);
    LiveDisk live(storage->open(), {worker.get()}, {.role = Role::connect, .retry_interval = interval});
    const auto listener = must(vhost_user::listen_unix(live.socket()));
    const std::uint64_t start = monotonic_ns();
    constexpr std::uint64_t connections = 6;
    for (std::uint64_t i = 0; i < connections; ++i) {
        must(vhost_user::accept_unix(listener.get())).reset();
    }
    // The first came at any time; then one interval each.
    EXPECT_GE(monotonic_ns() - start, (connections - 1) * 50'000'000U - 5'000'000U);
}

TEST_F(Sessions, AConnectingEndpointStopsWhileItWaits) {
    LiveDisk live(storage->open(), {worker.get()}, {.role = Role::connect, .retry_interval = std::chrono::hours(1)});
    const std::uint64_t start = monotonic_ns();
    live.endpoint().stop();
    EXPECT_LT(monotonic_ns() - start, 30'000'000'000U);
    EXPECT_FALSE(live.info().connected);
}

/// A front-end whose queue of connections is full must not keep us from stopping.
TEST_F(Sessions, AConnectingEndpointStopsWhileNobodyAccepts) {
    TemporaryFolder folder;
    const auto path = folder.path() / "full";
    const auto listener = must(vhost_user::listen_unix(path));
    ASSERT_EQ(::listen(listener.get(), 0), 0);
    const auto waiting = must(vhost_user::connect_unix(path));  // takes the only place
    auto disk = must(device::BlkDevice::create(storage->open(), {}));
    Options options;
    options.name = "connecting";
    options.socket = path;
    options.role = Role::connect;
    options.retry_interval_ns = 1'000'000;
    const auto endpoint =
        must(Endpoint::create(std::move(options), std::move(disk), {worker.get()}, {engine::QueueSettings{}}));
    // Long enough for several tries; then stop() has to come back, or the test's time limit tells.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    endpoint->stop();
    EXPECT_FALSE(endpoint->info().connected);
}

}  // namespace
}  // namespace sidecore::endpoint
