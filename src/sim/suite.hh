// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "sim/trace.hh"

namespace sidecore::sim {

/// The traces that policies are judged by. `price_ns` is that of a sleep and its wake-up, which many gaps are multiples of;
/// `length` is the number of arrivals of the longer ones.
///
/// What the worker sees between two works is given: guests that wait for each answer.
std::vector<Trace> traces_of_gaps(double price_ns, std::size_t length);

/// The arrivals are given, whether the worker is late or not, or the guest has several requests under way, or several guests
/// share the worker.
std::vector<Trace> traces_of_guests(double price_ns, std::size_t length);

/// Exponential gaps; `a` of them in one price, on average.
Trace poisson(double a, double price_ns, std::size_t length);

/// Exponential gaps of 0.1 prices, `share` of all, and of 100 prices.
Trace bursty(double share, double price_ns, std::size_t length);

/// A trace of gaps made into arrivals that do not wait.
Trace opened(Trace trace);

}  // namespace sidecore::sim
