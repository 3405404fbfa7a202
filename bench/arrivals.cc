// SPDX-License-Identifier: Apache-2.0
#include "arrivals.hh"

#include <cmath>

#include "base/clock.hh"

namespace sidecore::bench {

Arrivals::Arrivals(const Options& options, std::uint64_t seed) noexcept
    : kind_(options.kind),
      gap_(options.rate > 0 ? cycles_per_ns() * 1e9 / options.rate : 0),
      on_(options.on_s * cycles_per_ns() * 1e9),
      period_(on_ + options.off_s * cycles_per_ns() * 1e9),
      random_(seed) {
    if (kind_ == Kind::on_off) {
        gap_ *= on_ / period_;
    }
}

void Arrivals::restart(std::uint64_t now) noexcept {
    start_ = now;
    elapsed_ = 0;
    set_next();
}

void Arrivals::advance() noexcept {
    elapsed_ += kind_ == Kind::periodic ? gap_ : -std::log(random_.fraction()) * gap_;
    set_next();
}

void Arrivals::set_next() noexcept {
    const double since_start =
        kind_ == Kind::on_off ? std::floor(elapsed_ / on_) * period_ + std::fmod(elapsed_, on_) : elapsed_;
    next_ = start_ + static_cast<std::uint64_t>(since_start);
}

}  // namespace sidecore::bench
