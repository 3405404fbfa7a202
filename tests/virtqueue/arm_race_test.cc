// SPDX-License-Identifier: Apache-2.0
// Two real threads, each of which sleeps in the kernel whenever it has nothing to do and nobody has told it
// otherwise. A wake-up that gets lost leaves both asleep, and the test says so after a time-out.
#include <poll.h>
#include <thread>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;
using virtqueue::SplitQueue;

constexpr int patience_ms = 30'000;

/// Waits until `fd` is signalled; false if that does not happen.
bool sleep_on(const Fd& fd) {
    pollfd waiting{fd.get(), POLLIN, 0};
    return ::poll(&waiting, 1, patience_ms) == 1 && drain_eventfd(fd.get());
}

/// A sequence that is the same in each run, to vary the timing of two threads against each other.
class Dice {
public:
    explicit Dice(std::uint32_t seed) : state_(seed) {}
    std::uint32_t below(std::uint32_t bound) {
        state_ = state_ * 1664525 + 1013904223;
        return (state_ >> 8U) % bound;
    }

private:
    std::uint32_t state_;
};

void idle_for(std::uint32_t turns) {
    for (std::uint32_t i = 0; i < turns; ++i) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}

struct Style {
    bool event_index;
    bool wait_for_each;  // the driver waits for each batch, or only when the ring is full
    bool disarm;         // the device suppresses kicks while it works, as a polling worker does
};

class ArmRace : public testing::TestWithParam<Style> {
protected:
    static constexpr std::uint32_t rounds = 200'000;
    static constexpr std::uint32_t size = 16;
    static constexpr std::uint64_t buffers = 0x20000;

    void drive() {
        Dice dice(1);
        std::uint32_t in_flight = 0;
        std::uint64_t number = 0;
        for (std::uint32_t round = 0; round < rounds && !failed; ++round) {
            const std::uint32_t batch = std::min(size - in_flight, 1 + dice.below(3));
            for (std::uint32_t i = 0; i < batch; ++i) {
                // Plain accesses: what orders them is the ring, or ThreadSanitizer will say so.
                *payload(static_cast<std::uint32_t>(number % size)) = number;
                ring.offer(static_cast<std::uint16_t>(number % size));
                ++number;
            }
            in_flight += batch;
            if (ring.publish()) {
                signal_eventfd(kick.get());
                ++kicks;
            }
            idle_for(dice.below(200));
            const std::uint32_t target = GetParam().wait_for_each ? 0 : size - 1;
            while (in_flight > target && !failed) {
                const auto used = ring.take_used();
                for (const UsedEntry& entry : used) {
                    const std::uint64_t answer = *payload(entry.id);
                    if (answer % 2 != 0 || entry.length != static_cast<std::uint32_t>(answer / 2)) {
                        fail("a chain came back wrong");
                    }
                }
                in_flight -= static_cast<std::uint32_t>(used.size());
                if (in_flight > target && ring.sleep_until_called()) {
                    ++driver_slept;
                    if (!sleep_on(call)) {
                        fail("the driver was never called");
                    }
                }
                if (!GetParam().event_index) {
                    ring.set_available_flags(1);
                }
            }
        }
        offered = number;
        finished.store(true, std::memory_order_release);
        signal_eventfd(kick.get());
    }

    void serve() {
        Dice dice(2);
        std::array<iovec, 4> segments;
        virtqueue::DescriptorChain chain;
        while (!failed) {
            if (GetParam().disarm) {
                queue.disarm();
            }
            const std::uint32_t passes = 1 + dice.below(3);
            for (std::uint32_t pass = 0; pass < passes; ++pass) {
                const std::uint16_t available = queue.available();
                for (std::uint16_t i = 0; i < available; ++i) {
                    if (queue.pop(segments, chain) != PopResult::chain) {
                        fail(queue.fault().describe(size));
                        return;
                    }
                    auto* const place = static_cast<std::uint64_t*>(chain.writable[0].iov_base);
                    const std::uint64_t number = *place;
                    if (number != served || chain.head != number % size) {
                        fail("a chain was lost, doubled or out of order");
                    }
                    ++served;
                    *place = 2 * number;
                    queue.push(chain.head, static_cast<std::uint32_t>(number));
                }
                if (queue.publish()) {
                    signal_eventfd(call.get());
                    ++calls;
                }
                idle_for(dice.below(200));
            }
            if (!queue.arm()) {
                continue;
            }
            if (finished.load(std::memory_order_acquire) && !queue.has_available()) {
                return;
            }
            ++device_slept;
            if (!sleep_on(kick)) {
                fail("the device was never kicked");
            }
        }
    }

    std::uint64_t* payload(std::uint32_t head) {
        return reinterpret_cast<std::uint64_t*>(ram.at(buffers + 64 * std::uint64_t{head}, 8));
    }
    void fail(const std::string& why) {
        if (!failed.exchange(true)) {
            reason = why;
        }
    }

    std::shared_ptr<const memory::MemoryMap> share() {
        auto shared = ram.map();
        ram.share_addresses_with(shared);
        return shared;
    }

    GuestRam ram{0x40000};
    std::shared_ptr<const memory::MemoryMap> map = share();
    DriverRing ring{ram, {.size = size, .event_index = GetParam().event_index, .start = 65000}};
    SplitQueue queue = SplitQueue::create(map, ring.setup()).value();
    Fd kick = make_eventfd().value();
    Fd call = make_eventfd().value();
    std::atomic<bool> finished{false};
    std::atomic<bool> failed{false};
    std::string reason;
    std::uint64_t offered = 0, kicks = 0, driver_slept = 0;  // the driver's
    std::uint64_t served = 0, calls = 0, device_slept = 0;   // the device's
};

INSTANTIATE_TEST_SUITE_P(Styles, ArmRace,
                         testing::Values(Style{false, true, false}, Style{true, true, false},
                                         Style{false, false, false}, Style{true, false, false},
                                         Style{false, false, true}, Style{true, false, true}, Style{false, true, true},
                                         Style{true, true, true}),
                         [](const auto& instance) {
                             return std::string(instance.param.event_index ? "event_index" : "flags") +
                                    (instance.param.wait_for_each ? "_one_batch_at_a_time" : "_full_ring") +
                                    (instance.param.disarm ? "_suppressing" : "");
                         });

TEST_P(ArmRace, loses_no_wake_up_in_200000_rounds) {
    for (std::uint32_t head = 0; head < size; ++head) {
        ring.set_descriptor(head, buffers + 64 * std::uint64_t{head}, 8, write_flag);
    }
    std::thread device([this] { serve(); });
    drive();
    device.join();
    EXPECT_FALSE(failed) << reason;
    EXPECT_EQ(served, offered);
    EXPECT_GE(offered, rounds);
    EXPECT_GT(device_slept, 0U);
    EXPECT_GT(driver_slept, 0U);
    EXPECT_LE(kicks, offered);
    RecordProperty("device_slept", std::to_string(device_slept));
    RecordProperty("driver_slept", std::to_string(driver_slept));
}

}  // namespace
}  // namespace sidecore::test
