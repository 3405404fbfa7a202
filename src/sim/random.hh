// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace sidecore::sim {

/// The natural logarithm of `x` > 0, by operations whose results IEEE 754 fixes: a library's own may differ in the last digit.
double natural_log(double x) noexcept;

/// Random numbers that are the same with every compiler and library: xoshiro256**, seeded by splitmix64. The standard library's
/// distributions are not.
///
/// Thread: one at a time.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept;

    std::uint64_t next() noexcept;

    /// Between 0 and 1, neither of them ever.
    double uniform() noexcept;

    /// From `low` to `high`, all alike.
    double between(double low, double high) noexcept { return low + (high - low) * uniform(); }

    bool chance(double probability) noexcept { return uniform() < probability; }

    double exponential(double mean) noexcept;

    /// Pareto's distribution with exponent 4/3: the mean is 4 times `least`, the variance is infinite.
    double pareto(double least) noexcept;

private:
    std::array<std::uint64_t, 4> state_{};
};

}  // namespace sidecore::sim
