// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace sidecore {

inline constexpr std::size_t cache_line_bytes = 64;

/// Asks for the cache line at `address` to be brought here for reading. `address` need not be mapped.
inline void prefetch_for_reading(const void* address) noexcept {
#if defined(__x86_64__)
    // Not the compiler's own: it takes a function that does nothing else for one without effect, and calls to it away.
    asm volatile("prefetcht0 %0" ::"m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address);
#endif
}

/// Asks for the cache line at `address` to be brought here for writing, which takes it away from the CPU that has it. `address` need not be mapped.
inline void prefetch_for_writing(const void* address) noexcept {
#if defined(__x86_64__)
    // Without this the compiler takes it for one that reads, as the first CPUs of this architecture know no other. They ignore it.
    asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address, 1);
#endif
}

}  // namespace sidecore
