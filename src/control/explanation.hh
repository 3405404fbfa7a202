// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/json.hh"

namespace sidecore::control {

/// What a policy or a worker's spin rule goes by; see engine/policy_figures.hh, which has the same members.
struct FiguresInfo {
    std::uint64_t price_ns = 0;
    std::uint64_t threshold_ns = 0;
    std::uint64_t learned_threshold_ns = 0;
    std::uint64_t credit_ns = 0;
    std::uint64_t gaps = 0;
    double mean_gap_ns = 0;
    double paid_ns = 0;
    double optimal_ns = 0;

    friend bool operator==(const FiguresInfo&, const FiguresInfo&) = default;
};

/// Why a queue is treated as it is.
struct QueueReasons {
    std::uint16_t index = 0;
    std::string worker;
    std::string mode;  ///< "polled" or "notified"; "-" while no worker serves it, and then the rest says nothing
    std::uint64_t mode_age_ns = 0;
    std::string policy;
    std::string bar = "none";  ///< what keeps it from being polled although its policy would: "device_budget", …
    bool worker_decides = false;
    FiguresInfo figures;
    FiguresInfo worker_figures;
    double pass_ns = 0;
    double request_ns = 0;
    std::uint64_t kicks_avoided = 0;
    std::uint64_t saved_ns = 0;
    std::uint64_t spent_ns = 0;
    std::vector<std::string> text;  ///< all of it in English sentences

    friend bool operator==(const QueueReasons&, const QueueReasons&) = default;
};

struct Explanation {
    std::string device;
    std::vector<QueueReasons> queues;

    friend bool operator==(const Explanation&, const Explanation&) = default;
};

Json to_json(const Explanation& explanation);
Result<Explanation> parse_explanation(std::string_view body);

}  // namespace sidecore::control
