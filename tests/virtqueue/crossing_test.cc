// SPDX-License-Identifier: Apache-2.0
// The two halves of the protocol against lost wake-ups, done by two threads at the same moment, round after round:
// one side stores its news and reads the other's wish, the other stores its wish and reads for news. Without the
// barriers both can read the old value. Nobody sleeps here, so that the moments are the same as often as possible.
#include <chrono>
#include <sched.h>
#include <thread>

#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;
using virtqueue::SplitQueue;

/// Two threads meet: neither goes on before the other has come.
class Meeting {
public:
    void wait() {
        const unsigned round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == 1) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (unsigned spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
            if (spins > 2000) {
                ::sched_yield();  // the other one may need this core
            }
        }
    }

private:
    alignas(64) std::atomic<unsigned> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
};

void idle_for(unsigned turns) {
    for (unsigned i = 0; i < turns; ++i) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}

class Crossing : public testing::TestWithParam<bool> {
protected:
    static constexpr unsigned most_rounds = 1'000'000;
    static constexpr std::chrono::seconds most_time{4};

    Crossing() {
        ram.share_addresses_with(map);
        ring.set_chain(0, {{0x8000, 16, false}});
    }

    /// Both at the same time, the second after `turns` of nothing, which sweeps over all offsets; then `settle` alone.
    template <typename First, typename Second, typename Settle>
    void cross(First first, Second second, Settle settle) {
        const auto end = std::chrono::steady_clock::now() + most_time;
        std::atomic<bool> stop{false};
        std::thread other([&] {
            for (unsigned round = 0;; ++round) {
                meeting.wait();
                if (stop.load(std::memory_order_relaxed)) {
                    return;
                }
                idle_for(round / 64 % 64);
                second();
                meeting.wait();
            }
        });
        for (; rounds < most_rounds && !HasFailure(); ++rounds) {
            if (rounds % 1024 == 0 && std::chrono::steady_clock::now() > end) {
                break;
            }
            meeting.wait();
            idle_for(rounds % 64);
            first();
            meeting.wait();
            settle();
        }
        stop = true;
        meeting.wait();
        other.join();
        EXPECT_GT(rounds, 0U);
    }

    GuestRam ram{0x10000};
    DriverRing ring{ram, {.size = 8, .event_index = GetParam()}};
    std::shared_ptr<const memory::MemoryMap> map = ram.map();
    SplitQueue queue = SplitQueue::create(map, ring.setup()).value();
    std::array<iovec, 4> segments{};
    virtqueue::DescriptorChain chain;
    Meeting meeting;
    unsigned rounds = 0;
};

INSTANTIATE_TEST_SUITE_P(Suppression, Crossing, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "event_index" : "flags"; });

TEST_P(Crossing, of_arming_and_a_new_chain_is_seen_by_one_of_the_two) {
    bool armed = false;
    bool kicked = false;
    unsigned both = 0;
    queue.disarm();
    cross([&] { armed = queue.arm(); },
          [&] {
              ring.offer(0);
              kicked = ring.publish();
          },
          [&] {
              EXPECT_FALSE(armed && !kicked) << "round " << rounds << ": the device sleeps and nobody wakes it";
              both += armed && kicked ? 1 : 0;
              ASSERT_EQ(queue.pop(segments, chain), PopResult::chain);
              queue.push(0, 0);
              queue.publish();
              queue.disarm();
          });
    EXPECT_LE(both, rounds);
}

TEST_P(Crossing, of_publishing_and_a_driver_going_to_sleep_is_seen_by_one_of_the_two) {
    bool called = false;
    bool sleeps = false;
    const auto next = [&] {
        // The driver wants no call until it says so.
        ring.set_available_flags(1);
        if (GetParam()) {
            ring.set_used_event(static_cast<std::uint16_t>(ring.used_index() - 1));
        }
        ring.offer(0);
        ring.publish();
        ASSERT_EQ(queue.pop(segments, chain), PopResult::chain);
        queue.push(0, 0);
    };
    next();
    queue.publish();  // the first is told unconditionally
    ring.take_used();
    next();
    cross([&] { called = queue.publish(); }, [&] { sleeps = ring.sleep_until_called(); },
          [&] {
              EXPECT_FALSE(sleeps && !called) << "round " << rounds << ": the driver sleeps and nobody calls it";
              ASSERT_EQ(ring.take_used().size(), 1U);
              next();
          });
}

}  // namespace
}  // namespace sidecore::test
