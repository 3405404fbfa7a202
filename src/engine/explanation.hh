// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/policy.hh"

namespace sidecore::engine {

/// What keeps a queue notified although its policy would poll.
enum class PollBar : std::uint8_t {
    none,
    no_kick,        ///< nothing: it has no kick descriptor and is polled for that reason
    device_budget,  ///< the device's poll budget is used up
    worker_budget,  ///< the worker's is
    neighbour,      ///< other threads want the worker's CPU
};

/// Why a queue is treated as it is, as of now.
struct QueueExplanation {
    Mode mode = Mode::notified;
    std::uint64_t mode_for_ns = 0;
    PollBar bar = PollBar::none;
    PolicySettings policy;
    PolicyFigures queue;              ///< what its policy goes by
    PolicyFigures worker;             ///< what its worker's spin rule goes by, which decides for policies that yield
    bool worker_decides = false;      ///< its policy yields
    double pass_ns = 0;               ///< the worker's pass over all listed queues, lately
    double request_ns = 0;            ///< one request's time in a turn, lately
    std::uint64_t kicks_avoided = 0;  ///< turns that a poll started
    std::uint64_t saved_ns = 0;       ///< what these kicks would have cost guest and worker, by the host's costs
    std::uint64_t spent_ns = 0;       ///< on looks that found nothing
};

}  // namespace sidecore::engine
