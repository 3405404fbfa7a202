// SPDX-License-Identifier: Apache-2.0
// Driver and device on threads of their own, which go to sleep and must be woken up.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/device_side.hh"
#include "frontend/driver_queue.hh"
#include "frontend/queue_pair.hh"

namespace sidecore::frontend {
namespace {

using test::DeviceSide;
using test::Pair;
using namespace std::chrono_literals;

enum class Rest : std::uint8_t { sleeps, spins };

/// Looks after which a side that spins lets others have the CPU: the other side may be waiting for it.
constexpr unsigned long_spin = 2000;

/// Spins for a while that differs each time, so that going to sleep meets the other side's news at every possible
/// moment; true if `found` came true.
template <typename Found>
bool spin_a_little(std::mt19937& random, Found found) {
    for (std::size_t left = random() % 256; left != 0; --left) {
        if (found()) {
            return true;
        }
    }
    return false;
}

/// A device that serves a queue and sleeps or spins while there is nothing in it, with suppression in both directions.
class RestingDevice {
public:
    RestingDevice(Pair& pair, Rest rest) : pair_(pair), rest_(rest), event_index_(pair.queue.event_index()) {}

    void serve(const std::atomic<bool>& stop) {
        refuse_kicks();
        for (unsigned idle = 0; !stop;) {
            if (has_work()) {
                serve_available();
                call_if_wanted();
                idle = 0;
            } else if (rest_ == Rest::sleeps) {
                sleep(stop);
            } else if (++idle % long_spin == 0) {
                std::this_thread::yield();
            }
        }
    }

private:
    bool has_work() const { return pair_.device.available_index() != next_; }

    void serve_available() {
        for (const std::uint16_t available = pair_.device.available_index(); next_ != available; ++next_) {
            pair_.device.use(pair_.device.available_entry(next_), 0);
        }
        if (event_index_) {
            refuse_kicks();
        }
    }

    void call_if_wanted() {
        const std::uint16_t used = pair_.device.used_index();
        const std::uint16_t event = pair_.device.used_event();
        bool wanted = !event_index_ && pair_.device.available_flags() == 0;
        for (; called_at_ != used; ++called_at_) {
            wanted = wanted || (event_index_ && called_at_ == event);
        }
        if (wanted) {
            signal_eventfd(pair_.queue.call_fd());
        }
    }

    void refuse_kicks() {
        if (event_index_) {
            pair_.device.set_available_event(static_cast<std::uint16_t>(next_ - 1));
        } else {
            pair_.device.set_used_flags(1);
        }
    }

    void sleep(const std::atomic<bool>& stop) {
        if (spin_a_little(random_, [this] { return has_work(); })) {
            return;
        }
        if (event_index_) {
            pair_.device.set_available_event(next_);
        } else {
            pair_.device.set_used_flags(0);
        }
        if (!has_work() && !stop) {
            pollfd kick{.fd = pair_.queue.kick_fd(), .events = POLLIN, .revents = 0};
            EXPECT_EQ(::poll(&kick, 1, 10'000), 1) << "a kick was lost before " << next_;
            drain_eventfd(pair_.queue.kick_fd());
        }
        refuse_kicks();
    }

    Pair& pair_;
    Rest rest_;
    bool event_index_;
    std::uint16_t next_ = 0;
    std::uint16_t called_at_ = 0;
    std::mt19937 random_{11};
};

struct WakeUpCase {
    std::string name;
    Rest driver;
    Rest device;

    friend void PrintTo(const WakeUpCase& test, std::ostream* out) { *out << test.name; }
};

class NoLostWakeUp : public testing::TestWithParam<std::tuple<WakeUpCase, std::uint16_t, bool>> {};

TEST_P(NoLostWakeUp, WhileOneSideGoesToSleep) {
    const auto& [test, size, event_index] = GetParam();
    constexpr std::uint64_t requests = 300'000;
    Pair pair({.size = size, .event_index = event_index});
    std::vector<std::uint16_t> idle(size);
    std::generate(idle.begin(), idle.end(), [&pair] { return pair.format_one(); });
    std::atomic<bool> stop{false};
    RestingDevice device(pair, test.device);
    std::thread device_thread([&device, &stop] { device.serve(stop); });
    if (test.driver == Rest::spins) {
        pair.queue.suppress_calls();
    }

    std::mt19937 random(7);
    std::vector<Used> used(size);
    // A machine with other work does fewer in this time; what matters is that none of them hangs.
    const auto deadline = std::chrono::steady_clock::now() + 500ms;
    const auto enough = [&pair, deadline] {
        const std::uint64_t used_so_far = pair.queue.statistics().used;
        return used_so_far >= requests || (used_so_far >= 100 && std::chrono::steady_clock::now() > deadline);
    };
    while (!enough()) {
        for (std::size_t wanted = 1 + random() % size; wanted != 0 && !idle.empty(); --wanted) {
            pair.queue.offer(idle.back());
            idle.pop_back();
        }
        pair.queue.publish();
        const auto waiting_since = std::chrono::steady_clock::now();
        for (unsigned looks = 1; idle.size() != size && !pair.queue.has_used(); ++looks) {
            if (looks % long_spin == 0) {
                std::this_thread::yield();
            }
            if (test.driver == Rest::sleeps && !spin_a_little(random, [&pair] { return pair.queue.has_used(); }) &&
                !pair.queue.wait_for_used(10s)) {
                ADD_FAILURE() << "a call was lost after " << pair.queue.statistics().used << pair.queue.violation();
                break;
            }
            if (std::chrono::steady_clock::now() - waiting_since > 10s) {
                ADD_FAILURE() << "nothing came for " << pair.queue.in_flight() << " chains: a wake-up was lost";
                break;
            }
        }
        const std::size_t count = pair.queue.reap(used);
        for (std::size_t i = 0; i < count; ++i) {
            idle.push_back(used[i].head);
        }
        if (HasFailure()) {
            break;
        }
    }
    stop = true;
    pair.queue.kick();
    device_thread.join();
    const DriverQueueStatistics& statistics = pair.queue.statistics();
    EXPECT_EQ(statistics.kicks_sent - 1 + statistics.kicks_suppressed, statistics.publications);
    // With the event index a wish not to be called is moved along now and then, and may come too late for one batch.
    if (test.driver == Rest::spins && !event_index) {
        EXPECT_FALSE(pair.queue.wait_for_call(0ms)) << "calls were not wanted";
    }
}

INSTANTIATE_TEST_SUITE_P(Rings, NoLostWakeUp,
                         testing::Combine(testing::Values(WakeUpCase{"Both", Rest::sleeps, Rest::sleeps},
                                                          WakeUpCase{"Driver", Rest::sleeps, Rest::spins},
                                                          WakeUpCase{"Device", Rest::spins, Rest::sleeps}),
                                          testing::Values(1, 4, 256), testing::Bool()),
                         [](const auto& test) {
                             return std::get<0>(test.param).name + std::to_string(std::get<1>(test.param)) +
                                    (std::get<2>(test.param) ? "EventIndex" : "Flags");
                         });

}  // namespace
}  // namespace sidecore::frontend
