// SPDX-License-Identifier: Apache-2.0
// The guest's memory is replaced, grows, shrinks and is cut off while its queues run.
#include <atomic>
#include <functional>
#include <poll.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;
using frontend::BlkRequests;
using frontend::BlkStatus;
using frontend::BlkType;
using frontend::Client;
using frontend::DriverQueue;
using frontend::GuestMemoryFile;
using storage::FakeDisk;
using storage::FaultAction;

constexpr std::uint8_t needs_reset = 64;

bool readable(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// A driver with a queue in each of its memory regions, every region a file of its own.
class SplitDriver {
public:
    SplitDriver(const std::filesystem::path& socket, std::size_t queues, std::uint64_t protocol_features)
        : client(must(Client::connect(socket))), memory(make_memory(queues)) {
        frontend::Wishes wishes;
        wishes.protocol_features &= protocol_features;
        must(client.negotiate(wishes));
        for (std::size_t i = 0; i < queues; ++i) {
            queues_.push_back(must(DriverQueue::create(
                memory, {.size = 64, .event_index = client.has(frontend::feature_event_index), .region = i})));
        }
        for (std::size_t i = 0; i < queues; ++i) {
            // What is left of the first regions is given away, so that buffers come from the region of their queue.
            requests_.push_back(must(BlkRequests::create(
                memory, queues_[i], {.slots = 16, .bytes_per_slot = 64 * 1024, .timeout = std::chrono::seconds(30)})));
            while (memory.allocate(4096, 16, i)) {
            }
        }
        must(client.start(memory, queues_));
    }

    const GuestMemoryFile::Region& region(std::size_t index) const { return memory.regions()[index]; }
    DriverQueue& queue(std::size_t index) { return queues_.at(index); }
    BlkRequests& requests(std::size_t index) { return requests_.at(index); }

private:
    static GuestMemoryFile make_memory(std::size_t regions) {
        std::vector<frontend::RegionPlan> plan;
        for (std::uint64_t i = 0; i < regions; ++i) {
            plan.push_back({.guest_address = {0x100'0000 * (i + 1)}, .size = 2 * mebibyte, .user_address = {}});
        }
        return must(GuestMemoryFile::create(plan, GuestMemoryFile::Files::per_region));
    }

public:
    Client client;
    GuestMemoryFile memory;

private:
    std::vector<DriverQueue> queues_;
    std::vector<BlkRequests> requests_;
};

constexpr std::uint64_t with_slots = ~std::uint64_t{0};
const std::uint64_t without_slots = ~vhost_user::mask_of({vhost_user::ProtocolFeature::configure_mem_slots});

class MemoryChanges : public testing::Test {
protected:
    /// A verified load on queue `index`, which has its own part of the disk, for as long as `meanwhile` takes.
    void under_load(SplitDriver& driver, std::size_t index, const std::function<void()>& meanwhile) {
        std::atomic<bool> stop{false};
        std::thread loading([&] {
            VerifiedLoad load({index * 2048, 2048}, index + 1);
            while (!stop) {
                const auto done = load.run(driver.requests(index), 100, 8);
                EXPECT_TRUE(done) << done.error().message;
                if (!done) {
                    return;
                }
            }
            const auto compared = load.compare_all(driver.requests(index));
            EXPECT_TRUE(compared) << compared.error().message;
        });
        meanwhile();
        stop = true;
        loading.join();
    }

    std::unique_ptr<engine::Worker> worker = make_worker();
    std::shared_ptr<FakeDisk> storage = FakeDisk::create(4 * mebibyte);
};

TEST_F(MemoryChanges, TheSameTableAgainAndAgainUnderLoad) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always}) {
        LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.settings = with_policy(kind)});
        SplitDriver driver(live.socket(), 1, without_slots);
        under_load(driver, 0, [&] {
            for (int i = 0; i < 100; ++i) {
                must(driver.client.set_mem_table(driver.memory.regions()));
            }
        });
    }
}

/// Requests in flight end in the memory that they began in.
TEST_F(MemoryChanges, ANewTableWaitsForRequestsInFlight) {
    LiveDisk live(storage->open(), {worker.get()});
    SplitDriver driver(live.socket(), 1, without_slots);
    const auto stored = pattern(4096, 5);
    storage->set_contents(0, stored);
    storage->add_fault({.action = FaultAction::hold});
    std::vector<std::byte> room(4096);
    must(driver.requests(0).submit({.type = BlkType::read, .sector = 0, .in = room}));
    driver.queue(0).publish();
    ASSERT_TRUE(storage->wait_until_held(1));
    ASSERT_TRUE(live.eventually_armed());
    std::atomic<bool> replaced{false};
    std::thread replacing([&] {
        must(driver.client.set_mem_table(driver.memory.regions()));
        replaced = true;
    });
    ASSERT_TRUE(eventually([&] { return !live.counters().armed; }));
    EXPECT_FALSE(replaced);
    storage->release_all();
    replacing.join();
    EXPECT_EQ(must(driver.requests(0).collect()).size(), 1U);
    EXPECT_EQ(room, stored);
    storage->clear_faults();
    must(driver.requests(0).flush());
}

TEST_F(MemoryChanges, RegionsComeAndGoBesideTheOnesInUse) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
    SplitDriver driver(live.socket(), 1, with_slots);
    const auto spare = must(GuestMemoryFile::create(mebibyte, memory::GuestAddress{0x4000'0000}));
    under_load(driver, 0, [&] {
        for (int i = 0; i < 50; ++i) {
            must(driver.client.add_mem_reg(spare.regions()[0]));
            must(driver.client.rem_mem_reg(spare.regions()[0]));
        }
    });
    // Refusals change nothing.
    EXPECT_FALSE(driver.client.rem_mem_reg(spare.regions()[0]));
    GuestMemoryFile::Region overlapping = driver.region(0);
    overlapping.user_address = overlapping.user_address + mebibyte * 1024;
    EXPECT_FALSE(driver.client.add_mem_reg(overlapping));
    must(driver.requests(0).flush());
}

/// A queue whose ring is taken away is not served until it is back, and nobody else feels it.
TEST_F(MemoryChanges, ARingThatIsTakenAwayRestsUntilItIsBack) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    SplitDriver driver(live.socket(), 2, with_slots);
    must(driver.requests(1).flush());
    under_load(driver, 0, [&] {
        for (int round = 0; round < 5; ++round) {
            must(driver.client.rem_mem_reg(driver.region(1)));
            const std::uint64_t served = live.counters(1).completions;
            EXPECT_FALSE(live.counters(1).attached);
            EXPECT_TRUE(live.info().queues[1].started);
            EXPECT_EQ(must(driver.client.get_status()) & needs_reset, 0);
            must(driver.requests(1).submit({.type = BlkType::flush}));
            driver.queue(1).publish();
            driver.queue(1).kick();
            // While it rests all that can be said of it can be said.
            must(driver.client.set_vring_call(1, driver.queue(1).call_fd()));
            must(driver.client.set_vring_enable(1, false));
            must(driver.client.set_vring_enable(1, true));
            worker->execute([] {});
            EXPECT_EQ(live.counters(1).completions, served);
            EXPECT_FALSE(driver.queue(1).has_used());
            must(driver.client.add_mem_reg(driver.region(1)));
            EXPECT_EQ(must(driver.requests(1).collect()).size(), 1U);
        }
    });
    EXPECT_FALSE(readable(driver.queue(1).error_fd()));
}

TEST_F(MemoryChanges, ARestingVringCanBeStopped) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    SplitDriver driver(live.socket(), 2, with_slots);
    must(driver.requests(1).flush());
    must(driver.client.rem_mem_reg(driver.region(1)));
    EXPECT_EQ(must(driver.client.get_vring_base(1)), 1);
    must(driver.client.add_mem_reg(driver.region(1)));
    must(driver.client.start_vring(1, driver.memory, driver.queue(1)));
    must(driver.requests(1).flush());
    must(driver.client.rem_mem_reg(driver.region(1)));
    must(driver.client.reset_device());
    EXPECT_EQ(worker->statistics().queues, 0U);
}

TEST_F(MemoryChanges, ATableWithoutTheRingIsNoBetter) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    SplitDriver driver(live.socket(), 2, without_slots);
    must(driver.client.set_mem_table(driver.memory.regions().first(1)));
    EXPECT_FALSE(live.counters(1).attached);
    must(driver.requests(0).flush());
    must(driver.client.set_mem_table(driver.memory.regions()));
    must(driver.requests(1).flush());
}

/// A buffer outside of the guest's memory breaks the queue that it came through, and no other.
TEST_F(MemoryChanges, ABufferThatWasTakenAwayBreaksItsQueue) {
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    SplitDriver driver(live.socket(), 2, with_slots);
    const auto spare = must(GuestMemoryFile::create(mebibyte, memory::GuestAddress{0x4000'0000}));
    must(driver.client.add_mem_reg(spare.regions()[0]));
    under_load(driver, 0, [&] {
        const std::array pieces{frontend::Piece{{0x4000'0000}, 16}, frontend::Piece{{0x4000'1000}, 513, true}};
        const auto offer = [&] {
            const auto head = driver.queue(1).format(pieces);
            ASSERT_TRUE(head);
            driver.queue(1).offer(*head);
            driver.queue(1).publish();
        };
        offer();
        ASSERT_TRUE(eventually([&] { return driver.queue(1).has_used(); }));
        must(driver.client.rem_mem_reg(spare.regions()[0]));
        offer();
        ASSERT_TRUE(eventually([&] { return readable(driver.queue(1).error_fd()); }));
        EXPECT_EQ(must(driver.client.get_status()) & needs_reset, needs_reset);
        EXPECT_TRUE(eventually([&] { return live.counters(1).broken; }));
    });
    EXPECT_FALSE(live.counters(0).broken);
}

/// The file under one device's queue is cut off: its queue is lost, all others are not.
TEST_F(MemoryChanges, ATruncatedFileCostsOnlyItsOwnQueue) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always}) {
        LiveDisk other(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.name = "other"}});
        LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.settings = with_policy(kind)});
        SplitDriver other_driver(other.socket(), 1, with_slots);
        {
            SplitDriver driver(live.socket(), 1, with_slots);
            must(driver.requests(0).flush());
            under_load(other_driver, 0, [&] {
                must(driver.memory.truncate_file(0, 0));
                driver.queue(0).kick();
                EXPECT_TRUE(eventually([&] { return readable(driver.queue(0).error_fd()); }));
                EXPECT_EQ(must(driver.client.get_status()) & needs_reset, needs_reset);
            });
        }
        // A front-end with sound memory is welcome.
        SplitDriver next(live.socket(), 1, with_slots);
        must(next.requests(0).flush());
        EXPECT_FALSE(live.counters().broken);
        EXPECT_FALSE(other.counters().broken);
    }
}

TEST_F(MemoryChanges, AFileTruncatedUnderRequestsInFlight) {
    LiveDisk live(storage->open(), {worker.get()});
    LiveDisk other(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.name = "other"}});
    SplitDriver other_driver(other.socket(), 1, with_slots);
    {
        SplitDriver driver(live.socket(), 1, with_slots);
        storage->add_fault({.action = FaultAction::hold});
        std::vector<std::byte> room(4096);
        must(driver.requests(0).submit({.type = BlkType::read, .sector = 0, .in = room}));
        driver.queue(0).publish();
        ASSERT_TRUE(storage->wait_until_held(1));
        must(driver.memory.truncate_file(0, 0));
        storage->release_all();
        EXPECT_TRUE(eventually([&] { return live.counters().completions == 1; }));
        must(driver.client.get_vring_base(0));
    }
    storage->clear_faults();
    must(other_driver.requests(0).flush());
    SplitDriver next(live.socket(), 1, with_slots);
    must(next.requests(0).flush());
}

}  // namespace
}  // namespace sidecore::endpoint
