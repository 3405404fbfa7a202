// SPDX-License-Identifier: Apache-2.0
// The configuration space and its changes, as a front-end sees them.
#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"
#include "vhost_user/messages.hh"

namespace sidecore::endpoint {
namespace {

using frontend::BlkDriver;
using storage::FakeDisk;
using vhost_user::ProtocolFeature;

constexpr std::uint32_t config_change = static_cast<std::uint32_t>(vhost_user::BackendRequest::config_change_msg);
constexpr auto long_enough = std::chrono::seconds(20);

class ConfigChanges : public testing::Test {
protected:
    std::unique_ptr<engine::Worker> worker = make_worker();
};

TEST_F(ConfigChanges, AResizeIsAnnouncedAndShowsTheNewCapacity) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    auto driver = live.start();
    EXPECT_EQ(must(driver.config()).capacity, 4 * mebibyte / 512);
    const auto data = pattern(512, 1);
    EXPECT_FALSE(driver.write(10'000, data));
    for (const std::uint64_t size : {8 * mebibyte, 2 * mebibyte, 16 * mebibyte}) {
        must(live.disk().resize(size));
        live.endpoint().announce_config_change();
        const auto told = must(driver.client().wait_for_backend_request(long_enough));
        EXPECT_EQ(told.header.request, config_change);
        EXPECT_EQ(must(driver.config()).capacity, size / 512);
    }
    must(driver.write(10'000, data));
}

TEST_F(ConfigChanges, AResizeUnderLoadDisturbsNobody) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    auto driver = live.start({.queues = 2});
    std::atomic<bool> stop{false};
    std::thread resizing([&] {
        for (std::uint64_t i = 0; !stop; ++i) {
            EXPECT_TRUE(live.disk().resize((4 + i % 4) * mebibyte));
            live.endpoint().announce_config_change();
            EXPECT_FALSE(live.disk().description().empty());
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    VerifiedLoad load({0, 4096}, 1);
    const auto done = load.run(driver.requests(), 1'000, 8);
    EXPECT_TRUE(done) << done.error().message;
    // Queues are opened meanwhile.
    for (int i = 0; i < 20; ++i) {
        must(driver.client().get_vring_base(1));
        must(driver.client().start_vring(1, driver.memory(), driver.queue(1)));
    }
    stop = true;
    resizing.join();
    EXPECT_EQ(must(driver.client().wait_for_backend_request(long_enough)).header.request, config_change);
    EXPECT_TRUE(live.info().last_error.empty()) << live.info().last_error;
}

TEST_F(ConfigChanges, WithoutAWayToTellNothingIsTold) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    live.endpoint().announce_config_change();  // nobody is there
    BlkDriver::Options options;
    options.wishes.protocol_features &= ~vhost_user::mask_of({ProtocolFeature::backend_req});
    auto driver = live.start(options);
    live.endpoint().announce_config_change();
    must(driver.flush());
    EXPECT_TRUE(live.info().connected);
}

TEST_F(ConfigChanges, AFrontEndThatDoesNotListenIsNotWaitedFor) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    auto driver = live.start();
    for (int i = 0; i < 100'000; ++i) {  // more than a socket holds
        live.endpoint().announce_config_change();
    }
    must(driver.flush());
    EXPECT_EQ(must(driver.client().wait_for_backend_request(long_enough)).header.request, config_change);
}

/// QEMU asks for as much as it has room for and wants the same size back.
TEST_F(ConfigChanges, MoreThanThereIsReadsAsZeroes) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 3}});
    auto driver = live.start();
    const auto all = must(driver.client().get_config(0, 256));
    ASSERT_EQ(all.size(), 256U);
    EXPECT_EQ(all[34], std::byte{3});
    EXPECT_TRUE(std::all_of(all.begin() + 60, all.end(), [](std::byte byte) { return byte == std::byte{0}; }));
    const auto part = must(driver.client().get_config(34, 2));
    EXPECT_EQ(part, (std::vector{std::byte{3}, std::byte{0}}));
}

TEST_F(ConfigChanges, TheCacheModeIsTheDriversAndTheRestIsNot) {
    const auto storage = FakeDisk::create(4 * mebibyte);
    LiveDisk live(storage->open(), {worker.get()});
    auto driver = live.start();
    const auto data = pattern(512, 1);
    for (const bool writeback : {false, true, false}) {
        must(driver.set_writeback(writeback));
        EXPECT_EQ(must(driver.config()).writeback, writeback ? 1 : 0);
        must(driver.write(0, data));
        EXPECT_EQ(storage->seen().back().durable, !writeback);
    }
    const std::array other{std::byte{1}};
    const auto refused = driver.client().set_config(0, other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
    EXPECT_FALSE(driver.client().set_config(32, std::array{std::byte{7}}));
    must(driver.flush());
    EXPECT_EQ(must(driver.config()).capacity, 4 * mebibyte / 512);
}

TEST_F(ConfigChanges, TheDriverWithoutFlushGetsAWriteThroughCache) {
    const auto storage = FakeDisk::create(4 * mebibyte);
    LiveDisk live(storage->open(), {worker.get()});
    BlkDriver::Options options;
    options.wishes.features &= ~std::uint64_t{device::blk::feature_flush | device::blk::feature_config_wce};
    auto driver = live.start(options);
    must(driver.write(0, pattern(512, 1)));
    EXPECT_TRUE(storage->seen().back().durable);
}

}  // namespace
}  // namespace sidecore::endpoint
