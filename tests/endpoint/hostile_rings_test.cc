// SPDX-License-Identifier: Apache-2.0
// What a driver can do wrong to its ring, through a live connection: its queue breaks, with everybody told who should be,
// the other queue of the device and another device go on, and after a reset it works again.
#include <array>
#include <atomic>
#include <functional>
#include <ostream>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"
#include "vhost_user/messages.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;
using frontend::BlkDriver;
using frontend::Descriptor;
using frontend::DriverQueue;
using frontend::GuestBuffer;

constexpr std::uint8_t needs_reset = 64;
constexpr std::uint16_t ring_size = 64;

bool readable(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// Guest memory to do wrong with.
struct Bench {
    BlkDriver& driver;
    DriverQueue& queue;
    GuestBuffer page;

    void write(std::uint16_t index, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
               std::uint16_t next = 0) const {
        queue.ring().write_descriptor(index, Descriptor{address, length, flags, next});
    }
    void write_table(std::uint16_t index, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                     std::uint16_t next = 0) const {
        const Descriptor entry{address, length, flags, next};
        std::memcpy(page.host + 16U * index, &entry, sizeof entry);
    }
    /// Makes the chain at descriptor `head` available and kicks.
    void publish(std::uint16_t head = 0) const {
        queue.ring().set_available_entry(queue.available_index() % ring_size, head);
        publish_index(static_cast<std::uint16_t>(queue.available_index() + 1U));
    }
    void publish_index(std::uint16_t index) const {
        queue.ring().set_available_index(index, std::memory_order_seq_cst);
        queue.kick();
    }
    std::uint64_t data() const { return page.address.value + 2048; }
    std::uint64_t table() const { return page.address.value; }
};

struct Misdeed {
    std::string name;
    std::function<void(const Bench&)> commit;
    bool indirect = true;  // negotiated
};

void PrintTo(const Misdeed& misdeed, std::ostream* out) {
    *out << misdeed.name;
}

constexpr std::uint16_t next = frontend::descriptor_next;
constexpr std::uint16_t writable = frontend::descriptor_device_writable;
constexpr std::uint16_t indirect = frontend::descriptor_indirect;

/// One for each kind of virtqueue::QueueFault that a driver can bring about; memory faults are in memory_changes_test.
std::vector<Misdeed> misdeeds() {
    return {
        {"AvailableIndexJump",
         [](const Bench& bench) {
             bench.publish_index(static_cast<std::uint16_t>(bench.queue.available_index() + ring_size + 1));
         }},
        {"HeadOutOfRange", [](const Bench& bench) { bench.publish(ring_size); }},
        {"HeadFarOutOfRange", [](const Bench& bench) { bench.publish(0xffff); }},
        {"NextOutOfRange",
         [](const Bench& bench) {
             bench.write(0, bench.data(), 16, next, ring_size);
             bench.publish();
         }},
        {"NextOutOfRangeInATable",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 32, indirect);
             bench.write_table(0, bench.data(), 16, next, 2);
             bench.publish();
         }},
        {"Loop",
         [](const Bench& bench) {
             bench.write(0, bench.data(), 16, next, 1);
             bench.write(1, bench.data(), 16, next, 0);
             bench.publish();
         }},
        {"LoopInATable",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 32, indirect);
             bench.write_table(0, bench.data(), 16, next, 1);
             bench.write_table(1, bench.data(), 16, next, 0);
             bench.publish();
         }},
        {"TooManySegments",
         [](const Bench& bench) {
             constexpr std::uint16_t entries = 1200;
             const auto table = bench.driver.memory().allocate(16U * entries, 16).value();
             for (std::uint16_t i = 0; i < entries; ++i) {
                 const Descriptor entry{bench.data(), std::uint32_t{1}, next, static_cast<std::uint16_t>(i + 1U)};
                 std::memcpy(table.host + 16U * i, &entry, sizeof entry);
             }
             bench.write(0, table.address.value, 16U * entries, indirect);
             bench.publish();
         }},
        {"ZeroLength",
         [](const Bench& bench) {
             bench.write(0, bench.data(), 0, 0);
             bench.publish();
         }},
        {"ChainTooLong",
         [](const Bench& bench) {
             // All of the guest's memory, often enough to be more than 2^32 bytes.
             const auto& region = bench.driver.memory().regions()[0];
             const auto times = static_cast<std::uint16_t>((std::uint64_t{1} << 32U) / region.size + 1);
             const auto table = bench.driver.memory().allocate(16U * times, 16).value();
             for (std::uint16_t i = 0; i < times; ++i) {
                 const Descriptor entry{region.guest_address.value, static_cast<std::uint32_t>(region.size), next,
                                        static_cast<std::uint16_t>(i + 1U)};
                 std::memcpy(table.host + 16U * i, &entry, sizeof entry);
             }
             bench.write(0, table.address.value, 16U * times, indirect);
             bench.publish();
         }},
        {"BufferUnmapped",
         [](const Bench& bench) {
             bench.write(0, 0xdead'0000'0000, 16, 0);
             bench.publish();
         }},
        {"BufferThatWrapsAround",
         [](const Bench& bench) {
             bench.write(0, UINT64_MAX - 7, 16, 0);
             bench.publish();
         }},
        {"HugeBuffer",
         [](const Bench& bench) {
             bench.write(0, bench.data(), UINT32_MAX, 0);
             bench.publish();
         }},
        {"ReadableAfterWritable",
         [](const Bench& bench) {
             bench.write(0, bench.data(), 16, writable | next, 1);
             bench.write(1, bench.data() + 16, 16, 0);
             bench.publish();
         }},
        {"IndirectNotNegotiated",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 16, indirect);
             bench.publish();
         },
         false},
        {"IndirectInIndirect",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 16, indirect);
             bench.write_table(0, bench.table(), 16, indirect);
             bench.publish();
         }},
        {"IndirectWithNext",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 16, indirect | next, 1);
             bench.publish();
         }},
        {"TableOfNoEntries",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 0, indirect);
             bench.publish();
         }},
        {"TableOfOddLength",
         [](const Bench& bench) {
             bench.write(0, bench.table(), 24, indirect);
             bench.publish();
         }},
        {"TableUnmapped",
         [](const Bench& bench) {
             bench.write(0, 0xdead'0000'0000, 32, indirect);
             bench.publish();
         }},
        {"RequestWithoutHeader",
         [](const Bench& bench) {
             bench.write(0, bench.data(), 1, writable);
             bench.publish();
         }},
        {"RequestWithoutStatus",
         [](const Bench& bench) {
             bench.write(0, bench.data(), 16, 0);
             bench.publish();
         }},
    };
}

class HostileRings : public testing::TestWithParam<Misdeed> {
protected:
    std::unique_ptr<engine::Worker> worker = make_worker();
};

INSTANTIATE_TEST_SUITE_P(Misdeeds, HostileRings, testing::ValuesIn(misdeeds()), testing::PrintToStringParamName());

/// A verified load in a thread of its own, until it is told to end.
class Bystander {
public:
    Bystander(BlkDriver& driver, std::uint64_t first_sector)
        : thread_([this, &driver, first_sector] {
              VerifiedLoad load({first_sector, 2048}, first_sector + 1,
                                driver.client().has(frontend::feature_indirect));
              do {
                  const auto done = load.run(driver.requests(), 50, 4);
                  EXPECT_TRUE(done) << done.error().message;
                  if (!done) {
                      return;
                  }
              } while (!stop_);
          }) {}
    ~Bystander() {
        stop_ = true;
        thread_.join();
    }
    Bystander(const Bystander&) = delete;
    Bystander& operator=(const Bystander&) = delete;

private:
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

TEST_P(HostileRings, CostTheirOwnQueueOnly) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always}) {
        // Storage that keeps what it is given, so that something is in flight where the misdeed needs it.
        const auto storage = storage::FakeDisk::create(4 * mebibyte);
        storage->add_fault({.action = storage::FaultAction::hold, .operation = storage::BlockOperation::flush});
        LiveDisk live(storage->open(), {worker.get()}, {.device = {.queues = 2}, .settings = with_policy(kind)});
        LiveDisk other(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.name = "other"}});
        BlkDriver::Options options;
        options.queues = 2;
        options.queue.size = ring_size;
        options.memory_bytes = 32 * mebibyte;
        if (!GetParam().indirect) {
            options.wishes.features &= ~frontend::feature_mask(frontend::feature_indirect);
        }
        auto driver = live.start(options);
        auto other_driver = other.start();
        const auto page = driver.memory().allocate(4096, 4096).value();
        {
            // The load asks for flushes as well, which are held: they are let go all the time.
            std::atomic<bool> stop{false};
            std::thread releasing([&] {
                while (!stop) {
                    storage->release_all();
                    std::this_thread::sleep_for(std::chrono::microseconds(200));
                }
            });
            {
                const Bystander same_device(driver, 0);
                const Bystander other_device(other_driver, 0);
                GetParam().commit({driver, driver.queue(1), page});
                EXPECT_TRUE(eventually([&] { return readable(driver.queue(1).error_fd()); }));
                EXPECT_EQ(must(driver.client().get_status()) & needs_reset, needs_reset);
                EXPECT_TRUE(eventually([&] { return live.counters(1).broken; }));
                // VIRTIO 2.1.2: the driver is notified of a configuration change.
                const auto told = must(driver.client().wait_for_backend_request(std::chrono::seconds(20)));
                EXPECT_EQ(told.header.request,
                          static_cast<std::uint32_t>(vhost_user::BackendRequest::config_change_msg));
            }
            stop = true;
            releasing.join();
        }
        EXPECT_FALSE(live.counters(0).broken);
        EXPECT_FALSE(other.counters().broken);
        EXPECT_TRUE(live.info().connected);
        EXPECT_TRUE(live.info().last_error.empty()) << live.info().last_error;

        storage->release_all();
        must(driver.client().set_status(0));
        EXPECT_EQ(must(driver.client().get_status()), 0);
        driver.queue(1).reset();
        must(driver.client().set_features(driver.client().features()));
        must(driver.client().start_vring(1, driver.memory(), driver.queue(1)));
        auto requests = must(frontend::BlkRequests::create(driver.memory(), driver.queue(1), {.slots = 2}));
        const auto data = pattern(512, 1);
        must(requests.write(3000, data));
        std::vector<std::byte> read(512);
        must(requests.read(3000, read));
        EXPECT_EQ(read, data);
        EXPECT_FALSE(live.counters(1).broken);
    }
}

}  // namespace
}  // namespace sidecore::endpoint
