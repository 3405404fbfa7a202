// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <nlohmann/json.hpp>

namespace sidecore::sim {

struct ReportOptions {
    std::size_t trace_length = 25'000;  ///< arrivals of the longer traces
    std::size_t theory_length =
        200'000;                ///< of those that are compared with theory, and of those that change their load
    std::size_t host_ms = 100;  ///< of the simulated host's life
};

/// Everything that docs/polling.md shows, by section. tools/polling-report makes tables and plots of it.
nlohmann::ordered_json report(const ReportOptions& options);

}  // namespace sidecore::sim
