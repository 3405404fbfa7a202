// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sidecore::bench {

/// xorshift, because a driver has no time for a better one.
class FastRandom {
public:
    explicit FastRandom(std::uint64_t seed = 0) noexcept : state_((seed + 1) * 0x9e3779b97f4a7c15) {}

    std::uint64_t next() noexcept {
        state_ ^= state_ << 13U;
        state_ ^= state_ >> 7U;
        state_ ^= state_ << 17U;
        return state_;
    }
    /// Uniform in [0, count), for a count below 2^32.
    std::uint64_t below(std::uint64_t count) noexcept { return (next() >> 32U) * count >> 32U; }
    /// Uniform in (0, 1].
    double fraction() noexcept { return static_cast<double>((next() >> 11U) + 1) * 0x1p-53; }
    /// True in `percent` of all cases.
    bool chance(unsigned percent) noexcept {
        return percent != 0 && (next() >> 32U) * 100 < percent * 0x1'0000'0000ULL;
    }

private:
    std::uint64_t state_;
};

/// When the requests of an open loop arrive: by themselves, whatever has become of those before. Without a rate there is none: a closed loop.
///
/// Thread: one. Times are cycles.
class Arrivals {
public:
    enum class Kind : std::uint8_t {
        poisson,   ///< at random, independent of each other
        periodic,  ///< evenly
        on_off,    ///< at random for a while, then none for a while
    };
    struct Options {
        double rate = 0;  ///< requests per second, in the mean over all time; 0: a closed loop
        Kind kind = Kind::poisson;
        double on_s = 0.01;   ///< of on_off, seconds
        double off_s = 0.09;  ///< likewise
    };

    explicit Arrivals(const Options& options, std::uint64_t seed = 0) noexcept;

    bool closed() const noexcept { return gap_ <= 0; }

    /// The first one arrives at `now`, or soon.
    void restart(std::uint64_t now) noexcept;

    /// When the next one arrives.
    std::uint64_t next() const noexcept { return next_; }
    /// It has.
    void advance() noexcept;

private:
    void set_next() noexcept;

    Kind kind_;
    double gap_;          // between arrivals in the mean, while there are any; 0: a closed loop
    double on_;           // of on_off, cycles
    double period_;       // on and off
    double elapsed_ = 0;  // since start_, without what was off
    std::uint64_t start_ = 0;
    std::uint64_t next_ = 0;
    FastRandom random_;
};

}  // namespace sidecore::bench
