// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace sidecore {

/// What a clock of the kernel shows, in nanoseconds.
inline std::uint64_t clock_ns(clockid_t clock) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t monotonic_ns() noexcept {
    return clock_ns(CLOCK_MONOTONIC);
}

/// Since 1970.
inline std::uint64_t realtime_ns() noexcept {
    return clock_ns(CLOCK_REALTIME);
}

/// CPU time of the calling thread.
inline std::uint64_t thread_cpu_ns() noexcept {
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/// The cheapest monotonic counter that the CPU has: what the hot path reads. The unit is "cycles" of that
/// counter.
inline std::uint64_t cycles() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#elif defined(__aarch64__)
    std::uint64_t value;
    asm volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return monotonic_ns();
#endif
}

/// Frequency of cycles(), measured once per process against CLOCK_MONOTONIC, from the program's start and for 2 ms at least,
/// to some parts in 100,000; any thread.
double cycles_per_ns() noexcept;

inline std::uint64_t cycles_to_ns(std::uint64_t count) noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(count) / cycles_per_ns());
}

inline std::uint64_t ns_to_cycles(std::uint64_t ns) noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(ns) * cycles_per_ns());
}

}  // namespace sidecore
