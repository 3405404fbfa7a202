// SPDX-License-Identifier: Apache-2.0
#include "base/clock.hh"

namespace sidecore {

namespace {

/// Both clocks at one moment.
struct Moment {
    std::uint64_t ns = 0;
    std::uint64_t cycle_count = 0;
};

/// Of some tries the one during which least time passed, so that an interruption between the clocks does not count.
Moment read_both() noexcept {
    Moment best;
    std::uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 8; ++i) {
        const std::uint64_t before = cycles();
        const std::uint64_t ns = monotonic_ns();
        const std::uint64_t took = cycles() - before;
        if (took < shortest) {
            shortest = took;
            best = {ns, before + took / 2};
        }
    }
    return best;
}

/// The program's start: by the time somebody asks, some of what there is to measure has passed.
const Moment start = read_both();

double measure_cycles_per_ns() noexcept {
    constexpr std::uint64_t measure_for_ns = 2'000'000;
    while (monotonic_ns() - start.ns < measure_for_ns) {
    }
    const Moment end = read_both();
    return static_cast<double>(end.cycle_count - start.cycle_count) / static_cast<double>(end.ns - start.ns);
}

}  // namespace

double cycles_per_ns() noexcept {
    static const double rate = measure_cycles_per_ns();
    return rate;
}

}  // namespace sidecore
