// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#if defined(__SANITIZE_THREAD__)  // g++
#define SIDECORE_THREAD_SANITIZER
#elif defined(__has_feature)  // clang++
#if __has_feature(thread_sanitizer)
#define SIDECORE_THREAD_SANITIZER
#endif
#endif

namespace sidecore {

/// The one store-load barrier of the ring protocol: a store before it is visible to the other side before a
/// load after it is done. x86 needs an instruction for exactly this case, which acquire and release do not
/// give.
///
/// ThreadSanitizer does not see a fence; there a sequentially consistent read-modify-write on a common
/// variable stands in, which orders the two sides in its eyes as well.
inline void store_load_barrier() noexcept {
#if defined(SIDECORE_THREAD_SANITIZER)
    static std::atomic<unsigned> meeting_point{0};
    meeting_point.fetch_add(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace sidecore
