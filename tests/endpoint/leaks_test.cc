// SPDX-License-Identifier: Apache-2.0
// After many sessions there are as many descriptors, threads and mappings as after a few.
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "endpoint/live_disk.hh"
#include "endpoint/verified_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;

std::size_t entries_of(const std::filesystem::path& folder) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) {
        ++count;
    }
    return count;
}

struct Held {
    std::size_t descriptors = entries_of("/proc/self/fd");
    std::size_t threads = entries_of("/proc/self/task");
    std::size_t guest_mappings = mappings();

    /// Those of guest memory: an allocator's come and go as it likes.
    static std::size_t mappings() {
        std::ifstream maps("/proc/self/maps");
        std::size_t count = 0;
        for (std::string line; std::getline(maps, line);) {
            count += line.find("guest-memory") != std::string::npos ? 1 : 0;
        }
        return count;
    }
    friend bool operator==(const Held&, const Held&) = default;
};

void PrintTo(const Held& held, std::ostream* out) {
    *out << held.descriptors << " descriptors, " << held.threads << " threads, " << held.guest_mappings << " mappings";
}

TEST(Leaks, NoneInAHundredSessions) {
    const auto worker = make_worker();
    LiveDisk live(memory_storage(4 * mebibyte), {worker.get()}, {.device = {.queues = 2}});
    frontend::BlkDriver::Options options;
    options.queues = 2;
    options.requests.slots = 8;
    const auto session = [&](int number) {
        live.set_all(with_policy(number % 2 == 0 ? PolicyKind::never : PolicyKind::always));
        auto driver = live.start(options);
        must(driver.requests(0).flush());
        must(driver.requests(1).write(0, pattern(4096, static_cast<std::uint64_t>(number))));
        switch (number % 5) {
            case 0:  // goes as it should
                must(driver.client().stop(2));
                break;
            case 1:
                must(driver.client().reset_device());
                break;
            case 2: {  // changes this and that, then just goes
                must(driver.client().set_vring_kick(0, driver.queue(0).kick_fd()));
                must(driver.client().set_vring_call(0, driver.queue(0).call_fd()));
                must(driver.client().set_vring_err(0, driver.queue(0).error_fd()));
                must(driver.client().rem_mem_reg(driver.memory().regions()[0]));
                break;
            }
            case 3:  // is thrown out
                driver.client().acknowledge(false);
                must(driver.client().set_vring_num(9, 64));
                break;
            default:  // breaks a queue
                driver.queue(1).ring().set_available_index(30'000, std::memory_order_seq_cst);
                driver.queue(1).kick();
                break;
        }
    };
    const auto idle = [&] { return !live.info().connected; };
    for (int number = 0; number < 5; ++number) {
        session(number);
    }
    ASSERT_TRUE(eventually(idle));
    const Held before;
    EXPECT_EQ(before.guest_mappings, 0U);
    for (int number = 0; number < 100; ++number) {
        session(number);
    }
    ASSERT_TRUE(eventually(idle));
    EXPECT_EQ(live.info().sessions, 105U);
    EXPECT_EQ(Held(), before);
    EXPECT_EQ(worker->statistics().queues, 0U);
}

TEST(Leaks, NoneByEndpointsThatComeAndGo) {
    const auto worker = make_worker();
    const auto round = [&] {
        LiveDisk live(memory_storage(4 * mebibyte), {worker.get()});
        must(live.start().flush());
    };
    round();
    const Held before;
    for (int i = 0; i < 20; ++i) {
        round();
    }
    EXPECT_EQ(Held(), before);
}

}  // namespace
}  // namespace sidecore::endpoint
