// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/error.hh"
#include "control/costs.hh"
#include "control/value.hh"
#include "engine/calibrate.hh"
#include "engine/costs.hh"

namespace sidecore::daemon {

/// What a [costs] table says. What it does not say is measured.
struct CostSpec {
    std::map<std::string, std::uint64_t, std::less<>> given_ns{};  ///< by name
    std::uint64_t vm_exit_ns = 0;                                  ///< added to what a kick costs here

    friend bool operator==(const CostSpec&, const CostSpec&) = default;
};

CostSpec read_cost_spec(const control::Value& table, control::Problems& problems);

/// The costs that workers reckon with, and where they come from.
struct HostCosts {
    engine::Costs costs;
    control::CostsInfo info;
};

/// Measures this host, unless `spec` gives everything. Errors: as engine::calibrate(). Thread: any.
Result<HostCosts> find_host_costs(const CostSpec& spec, engine::CalibrationEffort effort);

}  // namespace sidecore::daemon
