// SPDX-License-Identifier: Apache-2.0
// Traces in which the gaps are given. Those of guests are in suite_guests.cc.
#include "sim/suite.hh"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/format.hh"
#include "sim/random.hh"

namespace sidecore::sim {

namespace {

constexpr std::uint32_t service_ns = 500;

/// `length` gaps from `next_gap_ns`, one after the other.
template <typename NextGap>
Trace of_gaps(std::string name, std::string what, std::size_t length, NextGap next_gap_ns) {
    Trace trace{.name = std::move(name), .what = std::move(what), .queues = {{.depth = 1, .arrivals = {}}}};
    auto& arrivals = trace.queues.front().arrivals;
    arrivals.reserve(length);
    while (arrivals.size() < length) {
        const auto gap = static_cast<std::uint64_t>(std::max(next_gap_ns(), 1.0));
        arrivals.push_back({.gap_ns = gap, .service_ns = service_ns});
    }
    return trace;
}

Trace stationary(Trace trace) {
    trace.stationary = true;
    return trace;
}

Trace periodic(double prices, double price_ns, std::size_t length) {
    return stationary(of_gaps(fmt::format("periodic {:g} B", prices), fmt::format("every gap {:g} B", prices), length,
                              [&] { return prices * price_ns; }));
}

Trace request_response(std::size_t length) {
    Random random(11);
    return stationary(of_gaps("request-response", "a client that thinks for 4 us and a random 2 us", length,
                              [&] { return 4'000 + random.exponential(2'000); }));
}

Trace depth_one(std::size_t length) {
    Random random(12);
    return stationary(of_gaps("QD 1", "a guest that asks again 0.4 us after each answer, and a random 0.2 us", length,
                              [&] { return 400 + random.exponential(200); }));
}

Trace on_off(double price_ns, std::size_t length) {
    Random random(13);
    double left = 0;
    return of_gaps("on/off", "bursts of 8 requests at least, pauses of 10 B at least, both with Pareto's lengths",
                   length, [&] {
                       if (left-- > 0) {
                           return random.exponential(0.15 * price_ns);
                       }
                       left = std::min(random.pareto(8), 1e4);
                       return std::min(random.pareto(10 * price_ns), 1e4 * price_ns);
                   });
}

/// 96 quarters of an hour, each 400 prices long, with a load of their own: between 0.01 arrivals per price at night and 4 by
/// day.
Trace day(double price_ns, std::size_t length) {
    constexpr std::size_t quarters = 96;
    Random random(14);
    std::array<double, quarters> load{};
    for (std::size_t i = 0; i < quarters; ++i) {
        // A parabola through each half of the day instead of a sine, whose last digit is the library's.
        const double hour = static_cast<double>(i) / quarters * 2;
        const double half = hour < 1 ? hour : hour - 1;
        const double wave = (hour < 1 ? -4 : 4) * half * (1 - half);  // -1 at 6, 1 at 18
        const double exponent = 0.5 * (1 + wave) + random.between(-0.1, 0.1);
        // 0.01 * 400^exponent, by halves
        double level = 0.01;
        double factor = 20;
        double rest = std::clamp(exponent, 0.0, 1.0);
        for (int bit = 0; bit < 12; ++bit) {
            if (rest >= 0.5) {
                level *= factor;
                rest -= 0.5;
            }
            rest *= 2;
            factor = std::sqrt(factor);
        }
        load[i] = level;
    }
    double elapsed = 0;
    return of_gaps("a day", "a day in 0.2 s: from 0.01 arrivals per B at night to 4 by day", length, [&] {
        const auto quarter = static_cast<std::size_t>(elapsed / (400 * price_ns)) % quarters;
        const double gap = random.exponential(price_ns / load[quarter]);
        elapsed += gap;
        return gap;
    });
}

Trace steps(double price_ns, std::size_t length) {
    constexpr std::array means{0.1, 10.0, 1.0, 0.1, 100.0, 0.3, 3.0};
    Random random(15);
    std::size_t count = 0;
    return of_gaps("steps", "random gaps whose mean changes every 1000 gaps between 0.1 B and 100 B", length,
                   [&] { return random.exponential(means[count++ / 1'000 % means.size()] * price_ns); });
}

Trace ramps(double price_ns, std::size_t length) {
    Random random(16);
    const double factor = 1 + natural_log(1'000) / (static_cast<double>(length) / 4);
    double mean = 0.05;
    bool down = false;
    return of_gaps("ramps", "random gaps whose mean grows from 0.05 B to 50 B and shrinks again, twice", length, [&] {
        mean = down ? mean / factor : mean * factor;
        down = down ? mean > 0.05 : mean > 50;
        return random.exponential(mean * price_ns);
    });
}

/// Gaps as `next_gap_ns` has them; 0 stands for the adversary's.
template <typename NextGap>
Trace adversary(std::string name, std::string what, double price_ns, std::size_t length, NextGap next_gap_ns) {
    Trace trace = of_gaps(std::move(name), std::move(what), length, next_gap_ns);
    trace.patience_ns = static_cast<std::uint64_t>(20 * price_ns);
    for (Arrival& arrival : trace.queues.front().arrivals) {
        if (arrival.gap_ns == 1) {
            arrival.gap_ns = Arrival::when_given_up;
        }
    }
    return trace;
}

}  // namespace

Trace poisson(double a, double price_ns, std::size_t length) {
    Random random(1);  // the same for all, so that they differ by their scale alone
    return stationary(of_gaps(fmt::format("Poisson a = {:g}", a), fmt::format("random gaps, {:g} per B", a), length,
                              [&] { return random.exponential(price_ns / a); }));
}

Trace bursty(double share, double price_ns, std::size_t length) {
    Random random(2);
    return stationary(
        of_gaps(fmt::format("bursty {:.0f} %", 100 * share),
                fmt::format("random gaps, {:.0f} % of them 0.1 B on average, the others 100 B", 100 * share), length,
                [&] { return random.exponential(random.chance(share) ? 0.1 * price_ns : 100 * price_ns); }));
}

Trace opened(Trace trace) {
    trace.name += ", open";
    for (QueueTrace& queue : trace.queues) {
        queue.depth = 0;
    }
    return trace;
}

std::vector<Trace> traces_of_gaps(double price_ns, std::size_t length) {
    std::vector<Trace> suite;
    for (const double a : {0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.25, 2.0, 3.0, 5.0}) {
        suite.push_back(poisson(a, price_ns, length));
    }
    for (const double share : {0.5, 0.9, 0.99}) {
        suite.push_back(bursty(share, price_ns, length));
    }
    suite.push_back(periodic(0.9, price_ns, length));
    suite.push_back(periodic(1.1, price_ns, length));
    suite.push_back(request_response(length));
    suite.push_back(depth_one(length));
    suite.push_back(on_off(price_ns, length));
    suite.push_back(day(price_ns, length));
    suite.push_back(steps(price_ns, length));
    suite.push_back(ramps(price_ns, length));
    suite.push_back(adversary("adversary", "each request comes just after the worker has given up waiting", price_ns,
                              length, [] { return 0.0; }));
    suite.push_back(adversary("adversary, treacherous", "30 gaps of 0.1 B to gain trust, then 10 of the adversary's",
                              price_ns, length,
                              [&, count = 0]() mutable { return count++ % 40 < 30 ? 0.1 * price_ns : 0.0; }));
    return suite;
}

}  // namespace sidecore::sim
