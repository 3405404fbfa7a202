// SPDX-License-Identifier: Apache-2.0
// Real threads and real rings: a driver makes one request after the other, so that each may be the one whose kick a change of mode loses,
// while the queue goes from polled to notified and back as often as that can be had. SIDECORE_SWITCHES says how often in all;
// a request that is not served in time is how it fails.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "endpoint/live_disk.hh"
#include "frontend/disk_load.hh"
#include "storage/null_backend.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;
using engine::Worker;

constexpr std::uint64_t default_switches = 1'000'000;
constexpr std::uint64_t stalled_ns = 30'000'000'000;
/// After a request: about as long as the worker goes on looking, so that it sleeps, or is about to.
constexpr std::uint64_t pause_max_ns = 4'000;
constexpr std::uint64_t adaptive_pause_max_ns = 40'000;

/// What makes the queue change its mode, or its worker.
enum class Way : std::uint8_t {
    budget,    ///< polled for one turn at a time: the worker may not spin
    adaptive,  ///< by its policy, at the edge of the worker's going to sleep
    set,       ///< by commands
    moves,     ///< by commands, and each time on the other worker
};
constexpr std::array ways{Way::budget, Way::adaptive, Way::set, Way::moves};
constexpr std::array way_names{"budget", "adaptive", "set", "moves"};

/// Percent of the switches: a command costs several, a move several commands.
constexpr std::array<std::uint64_t, 4> way_shares{50, 25, 20, 5};

std::uint64_t switches_for(Way way) {
    const char* const text = std::getenv("SIDECORE_SWITCHES");
    const std::uint64_t all = text != nullptr ? std::strtoull(text, nullptr, 10) : default_switches;
    return all / 2 * way_shares.at(static_cast<std::size_t>(way)) / 100;
}

class ModeSwitches : public testing::TestWithParam<std::tuple<Way, bool>> {
protected:
    static std::unique_ptr<Worker> worker_for(Way way, const char* name) {
        return must(Worker::create(
            {.name = name,
             .settings = {.poll_budget_percent = way == Way::budget ? 0U : 100U, .good_neighbour = false}}));
    }

    std::uint64_t switches() const {
        const auto counters = live.counters();
        return counters.to_polled + counters.to_notified;
    }

    /// Sets the queue's policy to and fro, on a thread of its own, until it is destroyed.
    class Control {
    public:
        Control(Way way, Endpoint& endpoint, Worker& a, Worker& b) {
            if (way != Way::set && way != Way::moves) {
                return;
            }
            thread_ = std::thread([this, way, &endpoint, &a, &b] {
                for (std::uint64_t round = 0; !stop_; ++round) {
                    endpoint.set_queue(0, with_policy(round % 2 == 0 ? PolicyKind::always : PolicyKind::never));
                    if (way == Way::moves) {
                        EXPECT_TRUE(endpoint.move_queue(0, round % 2 == 0 ? b : a));
                    }
                }
            });
        }
        ~Control() {
            stop_ = true;
            if (thread_.joinable()) {
                thread_.join();
            }
        }
        Control(const Control&) = delete;
        Control& operator=(const Control&) = delete;

    private:
        std::atomic<bool> stop_{false};
        std::thread thread_;
    };

    const Way way = std::get<0>(GetParam());
    const bool event_index = std::get<1>(GetParam());
    std::unique_ptr<Worker> a = worker_for(way, "a");
    std::unique_ptr<Worker> b = worker_for(way, "b");
    LiveDisk live{must(storage::NullBackend::create({.capacity_bytes = 1U << 30U})),
                  {a.get()},
                  {.settings = with_policy(way == Way::adaptive ? PolicyKind::adaptive : PolicyKind::always)}};
};

TEST_P(ModeSwitches, LoseNoWakeUp) {
    frontend::BlkDriver::Options options;
    if (!event_index) {
        options.wishes.features &= ~frontend::feature_mask(frontend::feature_event_index);
    }
    options.memory_bytes = 64U << 20U;
    auto driver = live.start(options);
    auto load = must(frontend::DiskLoad::create(driver.memory(), driver.queue(), {.depth = 1}));
    driver.queue().suppress_calls();
    ASSERT_EQ(driver.queue().event_index(), event_index);

    const std::uint64_t seed = std::random_device()();
    std::mt19937_64 random(seed);
    std::array<frontend::DiskLoad::Finished, 1> finished;
    const std::uint64_t wanted = switches_for(way);
    const std::uint64_t pause_max = ns_to_cycles(way == Way::adaptive ? adaptive_pause_max_ns : pause_max_ns);
    std::uint64_t requests = 0;
    {
        const Control control(way, live.endpoint(), *a, *b);
        while (switches() < wanted) {
            for (int i = 0; i < 1000; ++i) {
                load.start(frontend::DiskLoad::Access::read, random() % 1000);
                driver.queue().publish();
                const std::uint64_t begin = monotonic_ns();
                for (std::uint64_t looks = 0; load.finish(finished) == 0; ++looks) {
                    if (looks % 1024 == 1023) {
                        ASSERT_LT(monotonic_ns() - begin, stalled_ns)
                            << "request " << requests << " is stalled; seed " << seed;
                        std::this_thread::yield();  // the worker may have no CPU
                    }
                }
                ASSERT_EQ(finished[0].status, 0);
                ++requests;
                // Half of the requests follow at once, the others when the worker may be about to give up.
                if (const std::uint64_t choice = random(); choice % 2 == 0) {
                    const std::uint64_t end = cycles() + (choice >> 1U) % pause_max;
                    while (cycles() < end) {
                    }
                }
            }
        }
    }
    const auto counters = live.counters();
    EXPECT_EQ(counters.completions, requests);
    EXPECT_EQ(driver.queue().violation(), "");
    if (way == Way::moves) {
        EXPECT_GT(counters.moves, 0U);
    }
    fmt::print("    {} switches, {} moves, {} requests, {} kicks\n", counters.to_polled + counters.to_notified,
               counters.moves, requests, driver.queue().statistics().kicks_sent);
}

std::string name_of(const testing::TestParamInfo<ModeSwitches::ParamType>& info) {
    return fmt::format("{}_{}", way_names.at(static_cast<std::size_t>(std::get<0>(info.param))),
                       std::get<1>(info.param) ? "event_index" : "flags");
}

INSTANTIATE_TEST_SUITE_P(Ways, ModeSwitches, testing::Combine(testing::ValuesIn(ways), testing::Bool()), name_of);

}  // namespace
}  // namespace sidecore::endpoint
