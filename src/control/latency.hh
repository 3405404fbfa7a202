// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

/// How long something took, many times: counts in buckets that are at most 25 % wide.
struct LatencyInfo {
    /// Upper end of each bucket that has any, in nanoseconds and in order, and how many.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> buckets;

    std::uint64_t count() const noexcept;

    /// What `share` (0 to 1) of all did not exceed, to within a bucket. 0 if there are none.
    std::uint64_t quantile_ns(double share) const noexcept;

    void add(const LatencyInfo& other);

    /// What has come in since `earlier`, an earlier state of the same.
    LatencyInfo since(const LatencyInfo& earlier) const;

    friend bool operator==(const LatencyInfo&, const LatencyInfo&) = default;
};

/// With percentiles, for readers that do not want to reckon.
Json to_json(const LatencyInfo& latency);
LatencyInfo read_latency(const Value& table, Problems& problems);

}  // namespace sidecore::control
