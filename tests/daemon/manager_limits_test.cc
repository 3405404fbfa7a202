// SPDX-License-Identifier: Apache-2.0
// Rate limits of a network device that a driver sends through.
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.hh"
#include "daemon/manager_fixture.hh"
#include "frontend/net_driver.hh"

namespace sidecore::daemon {
namespace {

constexpr std::uint64_t ms = 1'000'000;

/// Two queue pairs, each on a worker of its own, whose packets come back to them.
class ManagerLimits : public ManagerTest {
protected:
    void serve(const control::NetLimits& limits) {
        start({{"io0"}, {"io1"}});
        control::DeviceSpec device = spec("net0");
        device.type = "net";
        device.queues = 5;
        device.worker = "io0";
        device.queue_specs = {{2, "io1", {}}, {3, "io1", {}}};
        device.net.pairs = 2;
        device.net.network.kind = control::NetworkKind::loopback;
        device.net.limits = limits;
        add(device);
        driver_.emplace(frontend::NetDriver::start(device.socket, {.pairs = 2}).value());
    }

    static std::vector<std::byte> frame(std::size_t pair, std::uint32_t number) {
        std::vector<std::byte> bytes = test::pattern(200, static_cast<unsigned>(pair));
        std::memcpy(bytes.data() + 14, &number, sizeof number);
        return bytes;
    }
    void send(std::size_t pair, std::uint32_t count) {
        std::vector<std::vector<std::byte>> frames;
        std::vector<frontend::NetOutgoing> batch;
        for (std::uint32_t i = 0; i < count; ++i) {
            frames.push_back(frame(pair, i));
        }
        for (const auto& one : frames) {
            batch.push_back({.frame = one});
        }
        ASSERT_EQ(driver_->send_batch(batch, pair).value(), count);
    }
    void expect_all(std::size_t pair, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            const auto received = driver_->receive(pair);
            ASSERT_TRUE(received) << received.error().message;
            ASSERT_EQ(received->frame, frame(pair, i)) << "pair " << pair << ", frame " << i;
        }
    }
    std::uint64_t throttled(bool transmitted) {
        const control::NetInfo net = manager_->device("net0").value().net.value();
        return control::counter(transmitted ? net.transmitted : net.received, "throttled");
    }

    std::optional<frontend::NetDriver> driver_;
};

TEST_F(ManagerLimits, PairsOnTwoWorkersShareWhatTheDeviceMaySend) {
    serve({.transmit_packets = 500, .burst_ns = 10 * ms});  // five saved up
    const std::uint64_t start_ns = monotonic_ns();
    send(0, 20);
    send(1, 20);
    expect_all(0, 20);
    expect_all(1, 20);
    EXPECT_GE(monotonic_ns() - start_ns, 68 * ms);  // a token may have been on its way
    EXPECT_GE(throttled(true), 2U);
    EXPECT_EQ(throttled(false), 0U);
}

TEST_F(ManagerLimits, OnlyTransmitQueuesPutCallsOff) {
    serve({});
    const auto calls = [&](std::size_t queue) {
        const control::Settings settings = manager_->device("net0").value().queues.at(queue).settings;
        return std::pair(settings.number(control::Setting::call_max_requests),
                         settings.number(control::Setting::call_max_delay));
    };
    EXPECT_EQ(calls(0), std::pair(std::uint64_t{1}, std::uint64_t{0}));
    EXPECT_EQ(calls(1), std::pair(std::uint64_t{64}, std::uint64_t{50'000}));
    EXPECT_EQ(calls(3), calls(1));
    EXPECT_EQ(calls(4), calls(0)) << "the control queue's driver waits for every answer";
}

TEST_F(ManagerLimits, WhatItReceivesIsLimitedToo) {
    serve({.receive_rate_bits = 800'000, .burst_ns = 10 * ms});  // 200 bytes in 2 ms, 1000 of them saved up
    const std::uint64_t start_ns = monotonic_ns();
    send(0, 20);
    send(1, 20);
    expect_all(0, 20);
    expect_all(1, 20);
    EXPECT_GE(monotonic_ns() - start_ns, 60 * ms);  // 8000 bytes, of which each queue may be one packet ahead
    EXPECT_GE(throttled(false), 2U);
    EXPECT_EQ(throttled(true), 0U);
}

TEST_F(ManagerLimits, QueuesThatWaitGoOnWhenTheLimitIsTakenOff) {
    serve({.transmit_rate_bits = 1});
    send(0, 20);
    send(1, 20);
    expect_all(0, 20);  // all this is less than the longest packet, which may be saved up
    expect_all(1, 20);
    ASSERT_TRUE(manager_->limit_device("net0", {.transmit_rate_bits = 2, .burst_ns = 100'000}));
    send(0, 20);
    send(1, 20);
    ASSERT_TRUE(test::eventually([&] { return throttled(true) >= 2; }));
    ASSERT_TRUE(manager_->limit_device("net0", {.transmit_rate_bits = 0}));
    expect_all(0, 20);
    expect_all(1, 20);
}

}  // namespace
}  // namespace sidecore::daemon
