// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace sidecore::device {

/// A time that passes when a test says so. Set it to something before use: tests may share a process.
inline std::atomic<std::uint64_t> fake_now_ns{0};

inline std::uint64_t fake_clock() noexcept {
    return fake_now_ns.load();
}

}  // namespace sidecore::device
