// SPDX-License-Identifier: Apache-2.0
#include "daemon/host_costs.hh"

#include <array>
#include <string_view>
#include <utility>

#include "engine/policy_settings.hh"

namespace sidecore::daemon {

namespace {

struct Cost {
    std::string_view name;
    double engine::Costs::*member;
};

constexpr std::array<Cost, 6> all_costs{{
    {"check", &engine::Costs::check_ns},
    {"arm", &engine::Costs::arm_ns},
    {"kick", &engine::Costs::kick_ns},
    {"wake", &engine::Costs::wake_ns},
    {"wake_latency", &engine::Costs::wake_latency_ns},
    {"see_kick", &engine::Costs::see_kick_ns},
}};

constexpr std::uint64_t highest_ns = 1'000'000'000;

}  // namespace

CostSpec read_cost_spec(const control::Value& table, control::Problems& problems) {
    control::TableReader reader(table, "costs", problems);
    CostSpec spec;
    for (const Cost& cost : all_costs) {
        if (const auto given_ns = reader.duration(cost.name, 1, highest_ns)) {
            spec.given_ns.emplace(cost.name, *given_ns);
        }
    }
    spec.vm_exit_ns = reader.duration("vm_exit", 0, highest_ns).value_or(0);
    if (spec.vm_exit_ns != 0 && spec.given_ns.contains("kick")) {
        reader.report("vm_exit", "vm_exit means nothing beside kick, which says all that a kick costs");
    }
    reader.finish();
    return spec;
}

Result<HostCosts> find_host_costs(const CostSpec& spec, engine::CalibrationEffort effort) {
    engine::Calibration measured;
    if (spec.given_ns.size() < all_costs.size()) {
        SIDECORE_TRY_ASSIGN(measured, engine::calibrate(static_cast<double>(spec.vm_exit_ns), effort));
    }
    HostCosts result{measured.costs, {}};
    for (const engine::Measurement& measurement : measured.measurements) {
        if (!spec.given_ns.contains(measurement.name)) {
            result.info.values.push_back(
                {measurement.name, measurement.value_ns, measurement.low_ns, measurement.high_ns, measurement.how});
        }
    }
    for (const Cost& cost : all_costs) {
        if (const auto given = spec.given_ns.find(cost.name); given != spec.given_ns.end()) {
            const auto value_ns = static_cast<double>(given->second);
            result.costs.*cost.member = value_ns;
            result.info.values.push_back(
                {std::string(cost.name), value_ns, value_ns, value_ns, "given in the configuration"});
        }
    }
    for (const engine::Prefer prefer : {engine::Prefer::latency, engine::Prefer::balanced, engine::Prefer::cpu}) {
        result.info.sleep_prices_ns.emplace_back(engine::to_string(prefer), result.costs.sleep_price_ns(prefer));
    }
    return result;
}

}  // namespace sidecore::daemon
