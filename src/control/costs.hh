// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

/// One of the costs that policies reckon with, and how it came about.
struct CostInfo {
    std::string name;
    double value_ns = 0;
    double low_ns = 0;   ///< a quarter of the samples were below
    double high_ns = 0;  ///< a quarter were above
    std::string how;     ///< for people

    friend bool operator==(const CostInfo&, const CostInfo&) = default;
};

/// What switching and polling cost on a host. docs/configuration.md explains the names.
struct CostsInfo {
    std::vector<CostInfo> values;

    /// What a worker's sleep and its wake-up cost together, by the choice for `prefer`.
    std::vector<std::pair<std::string, double>> sleep_prices_ns;

    friend bool operator==(const CostsInfo&, const CostsInfo&) = default;
};

Json to_json(const CostsInfo& costs);
CostsInfo read_costs(const Value& table, Problems& problems);
Result<CostsInfo> parse_costs(std::string_view body);

}  // namespace sidecore::control
