// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sidecore::engine {

struct PolicySettings;

/// The figures that a policy or a worker's spin rule goes by, for explanation. What a kind does not have is 0.
struct PolicyFigures {
    std::uint64_t price_ns = 0;              ///< what giving up and being woken costs; 0: it reckons with no price
    std::uint64_t threshold_ns = 0;          ///< how long it looks on after the last work
    std::uint64_t learned_threshold_ns = 0;  ///< how long it would if it trusted nothing but the gaps seen
    std::uint64_t credit_ns = 0;             ///< how far it may stray from the price without breaking its bound
    std::uint64_t gaps = 0;                  ///< between works, since it started
    double mean_gap_ns = 0;                  ///< of those, lately
    double paid_ns = 0;                      ///< for waiting in these gaps and for the wake-ups
    double optimal_ns = 0;                   ///< what somebody who knew the future would have paid
};

/// One English sentence on what a queue's policy does and why.
std::string explain(const PolicySettings& settings, const PolicyFigures& figures);

/// The same for a worker's spin rule: one sentence.
std::string explain_spinning(const PolicyFigures& figures);

}  // namespace sidecore::engine
