// SPDX-License-Identifier: Apache-2.0
#include "base/clock.hh"

namespace sidecore {

namespace {

double measure_cycles_per_ns() noexcept {
    constexpr std::uint64_t measure_for_ns = 10'000'000;
    const std::uint64_t start_ns = monotonic_ns();
    const std::uint64_t start_cycles = cycles();
    std::uint64_t end_ns = start_ns;
    while (end_ns - start_ns < measure_for_ns) {
        end_ns = monotonic_ns();
    }
    return static_cast<double>(cycles() - start_cycles) / static_cast<double>(end_ns - start_ns);
}

}  // namespace

double cycles_per_ns() noexcept {
    static const double rate = measure_cycles_per_ns();
    return rate;
}

}  // namespace sidecore
