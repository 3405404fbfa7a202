// SPDX-License-Identifier: Apache-2.0
// A network device's queue whose front-end does not know where it was.
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "device/net_device.hh"
#include "endpoint/live_disk.hh"
#include "frontend/net_driver.hh"
#include "frontend/net_frame.hh"
#include "network/loopback_backend.hh"

namespace sidecore::endpoint {
namespace {

using frontend::NetDriver;

TEST(NetResume, ItGoesOnWhereTheUsedRingEnds) {
    const TemporaryFolder folder;
    const auto worker = make_worker();
    auto device = must(device::NetDevice::create(must(network::LoopbackBackend::create({})), {}));
    const std::size_t queues = device->max_queues();
    Options options;
    options.name = "net";
    options.socket = folder.path() / "socket";
    const auto endpoint =
        must(Endpoint::create(std::move(options), std::move(device), {worker.get()},
                              std::vector<engine::QueueSettings>(queues, with_policy(engine::PolicyKind::never))));
    NetDriver driver = must(NetDriver::start(folder.path() / "socket", NetDriver::Options{}));
    const std::vector<std::byte> frame = frontend::make_udp_frame({}, std::vector<std::byte>(100, std::byte{7}));
    const auto exchange = [&driver, &frame](int count) {
        for (int i = 0; i < count; ++i) {
            must(driver.send(frame));
            EXPECT_EQ(must(driver.receive()).frame, frame);
        }
    };
    // More than its rings have entries: a queue that began at 0 again would see a jump of the available index, which breaks it.
    exchange(300);

    for (const frontend::NumberedQueue& queue : driver.numbered_queues()) {
        must(driver.client().get_vring_base(queue.vring));
        must(driver.client().set_vring_num(queue.vring, queue.queue->size()));
        must(driver.client().set_vring_base(queue.vring, 0));
        must(driver.client().set_vring_kick(queue.vring, queue.queue->kick_fd()));
    }
    exchange(300);
    for (const auto& queue : endpoint->info().queues) {
        EXPECT_FALSE(queue.counters.broken);
    }
    EXPECT_EQ(endpoint->info().sessions, 1U);
}

}  // namespace
}  // namespace sidecore::endpoint
