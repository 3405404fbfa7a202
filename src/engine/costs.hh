// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sidecore::engine {

/// What the operator would rather save.
enum class Prefer : std::uint8_t {
    latency,   ///< a nanosecond of waiting costs as much as ten of CPU time
    balanced,  ///< as much as one
    cpu,       ///< nothing
};

/// What switching and polling cost on this host, in nanoseconds of CPU time unless said otherwise. Measured at start
/// (see calibrate()); the values here are those of a plain server and serve where nothing was measured.
struct Costs {
    double check_ns = 2;     ///< one look at one idle ring that the cache holds
    double arm_ns = 40;      ///< publish "notify me", full barrier, look again
    double kick_ns = 600;    ///< the guest's part of a notification: an eventfd write (on hardware: plus a VM exit)
    double wake_ns = 1'800;  ///< the worker's part: into epoll_wait, out of it again, the switches between
    double wake_latency_ns = 3'000;  ///< time, not CPU: from the guest's write to the worker's first instruction
    double see_kick_ns = 400;        ///< an awake worker's look for kicks: epoll_wait without waiting

    /// The price of one sleep of a worker and the wake-up that ends it, waiting included: the B of ski rental. A worker that
    /// has spun for this long without work has wasted as much as the sleep would have cost.
    double sleep_price_ns(Prefer prefer) const noexcept {
        return arm_ns + kick_ns + wake_ns + latency_weight(prefer) * wake_latency_ns;
    }

    /// The price of one kick to a worker that is awake anyway and looks for kicks every `interval_ns`.
    double awake_kick_price_ns(Prefer prefer, double interval_ns) const noexcept {
        return arm_ns + kick_ns + latency_weight(prefer) * interval_ns / 2;
    }

    static double latency_weight(Prefer prefer) noexcept {
        switch (prefer) {
            case Prefer::latency:
                return 10;
            case Prefer::balanced:
                return 1;
            case Prefer::cpu:
                break;
        }
        return 0;
    }
};

}  // namespace sidecore::engine
