// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sidecore::sim {

/// One request that a guest makes, or one end of I/O that its storage reports.
struct Arrival {
    /// The adversary's gap: it watches the worker, and its request comes when the worker has just given up waiting, or after
    /// Trace::patience_ns.
    static constexpr std::uint64_t when_given_up = UINT64_MAX;

    std::uint64_t gap_ns = 0;      ///< see QueueTrace::depth
    std::uint32_t service_ns = 0;  ///< what it costs the worker
    bool completion = false;       ///< not a request: needs no kick, and an awake worker sees it whatever it looks at
};

/// What happens in one queue.
struct QueueTrace {
    /// 0: an open loop. A gap counts from the arrival before, whatever the worker does.
    /// n: a closed loop of n requests. A gap counts from the arrival before or from when the request n before was answered,
    /// whichever is later. With n = 1 it is what the worker sees between two works.
    std::size_t depth = 0;
    std::vector<Arrival> arrivals;

    /// Whether the guest waits for answers: see engine::ServedQueue::completions_awaited().
    bool awaited = true;
};

/// What happens to one worker.
struct Trace {
    std::string name;
    std::string what;         ///< in words
    bool stationary = false;  ///< governed by the same chances all the time
    std::vector<QueueTrace> queues{};
    std::uint64_t patience_ns = 0;  ///< of an adversary, which is alone
};

}  // namespace sidecore::sim
