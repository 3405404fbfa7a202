// SPDX-License-Identifier: Apache-2.0
#include "ping_pong.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <thread>

#include "base/clock.hh"
#include "base/format.hh"

namespace sidecore::bench {

namespace {

constexpr std::uint64_t round_trips = 500;  // of one round: far shorter than a scheduler's time slice
constexpr std::size_t rounds = 301;

struct alignas(128) Line {
    std::atomic<std::uint64_t> value{0};
};

}  // namespace

Result<void> pin_this_thread(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set); error != 0) {
        return failure_from_errno(fmt::format("staying on CPU {}", cpu), error);
    }
    return {};
}

Result<double> ping_pong_ns(int first, int second) {
    SIDECORE_TRY(pin_this_thread(first));
    Line line;
    std::atomic<bool> pinned{false};
    std::atomic<bool> failed{false};
    std::thread other([&line, &pinned, &failed, second] {
        failed = !pin_this_thread(second);
        pinned = true;
        // The driver's turn when even, this one's when odd.
        for (std::uint64_t turn = 1; !failed && turn < 2 * round_trips * rounds; turn += 2) {
            while (line.value.load(std::memory_order_acquire) != turn) {
            }
            line.value.store(turn + 1, std::memory_order_release);
        }
    });
    while (!pinned) {
        std::this_thread::yield();
    }
    std::array<double, rounds> result{};
    std::uint64_t turn = 0;
    for (std::size_t i = 0; !failed && i < rounds; ++i) {
        const std::uint64_t start = cycles();
        for (std::uint64_t k = 0; k < round_trips; ++k, turn += 2) {
            line.value.store(turn + 1, std::memory_order_release);
            while (line.value.load(std::memory_order_acquire) != turn + 2) {
            }
        }
        result[i] = static_cast<double>(cycles() - start) / cycles_per_ns() / static_cast<double>(round_trips);
    }
    other.join();
    if (failed) {
        return failure(ErrorKind::invalid_argument, fmt::format("no thread can stay on CPU {}", second));
    }
    std::nth_element(result.begin(), result.begin() + rounds / 2, result.end());
    return result[rounds / 2];
}

}  // namespace sidecore::bench
