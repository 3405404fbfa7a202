// SPDX-License-Identifier: Apache-2.0
#include "sim/report.hh"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "sim/clairvoyant.hh"
#include "sim/experiment.hh"
#include "sim/host.hh"
#include "sim/suite.hh"
#include "sim/theory.hh"

namespace sidecore::sim {

namespace {

using engine::PolicyKind;
using engine::PolicySettings;
using engine::Prefer;
using nlohmann::ordered_json;

/// What a turn takes beside its requests, on the simulated host.
constexpr std::uint64_t host_turn_ns = 150;

/// A trace, and what the clairvoyant pays for it if that does not depend on the policy.
struct Judged {
    Trace trace;
    double least_ns = 0;
};

std::vector<Judged> judged(const World& world, std::vector<Trace> traces) {
    std::vector<Judged> result;
    for (Trace& trace : traces) {
        const double least = has_adversary(trace) ? 0 : least_cost_ns(world, trace.queues);
        result.push_back({std::move(trace), least});
    }
    return result;
}

std::vector<Judged> whole_suite(const World& world, std::size_t length) {
    std::vector<Trace> traces = traces_of_gaps(world.sleep_price_ns(), length);
    for (Trace& trace : traces_of_guests(world.sleep_price_ns(), length)) {
        traces.push_back(std::move(trace));
    }
    return judged(world, std::move(traces));
}

/// The traces in which the worker has several queues, or I/O that completes later.
std::vector<Judged> several_guests(const World& world, std::size_t length) {
    std::vector<Judged> suite = judged(world, traces_of_guests(world.sleep_price_ns(), length));
    std::erase_if(suite, [](const Judged& item) {
        const auto& queues = item.trace.queues;
        return queues.size() == 1 && std::none_of(queues[0].arrivals.begin(), queues[0].arrivals.end(),
                                                  [](const Arrival& arrival) { return arrival.completion; });
    });
    return suite;
}

/// How one policy does on all of them.
ordered_json mean_and_worst(const World& world, const PolicySettings& policy, const std::vector<Judged>& suite) {
    double sum = 0;
    double worst = 0;
    std::string worst_trace;
    for (const Judged& item : suite) {
        const double ratio = run(world, policy, item.trace, item.least_ns).ratio();
        sum += ratio;
        if (ratio > worst) {
            worst = ratio;
            worst_trace = item.trace.name;
        }
    }
    return {{"mean", sum / static_cast<double>(suite.size())}, {"worst", worst}, {"worst_trace", worst_trace}};
}

PolicySettings settings_of(const std::string& name) {
    const auto all = contestants();
    return std::find_if(all.begin(), all.end(), [&](const Contestant& one) { return one.name == name; })->policy;
}

// ---- sections ----

ordered_json prices() {
    ordered_json section;
    const World world;
    const engine::Costs& costs = world.costs;
    section["costs_ns"] = {{"check", costs.check_ns},
                           {"arm", costs.arm_ns},
                           {"kick", costs.kick_ns},
                           {"wake", costs.wake_ns},
                           {"wake_latency", costs.wake_latency_ns},
                           {"see_kick", costs.see_kick_ns}};
    for (const auto& [name, prefer] :
         {std::pair{"latency", Prefer::latency}, {"balanced", Prefer::balanced}, {"cpu", Prefer::cpu}}) {
        section["sleep_price_ns"][name] = costs.sleep_price_ns(prefer);
        section["weight"][name] = engine::Costs::latency_weight(prefer);
    }
    return section;
}

ordered_json poisson_beside_theory(std::size_t length) {
    const World world = exact_world();
    const double never = std::numeric_limits<double>::infinity();
    ordered_json rows = ordered_json::array();
    for (const double a : {0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0}) {
        const Judged item = judged(world, {poisson(a, world.sleep_price_ns(), length)}).front();
        const auto ratio = [&](const std::string& name) {
            return run(world, settings_of(name), item.trace, item.least_ns).ratio();
        };
        rows.push_back({{"a", a},
                        {"breakeven", ratio("breakeven")},
                        {"breakeven_theory", expected_poisson_ratio(a, 1)},
                        {"best", std::min(ratio("never"), ratio("always"))},
                        {"best_theory", std::min(expected_poisson_ratio(a, 0), expected_poisson_ratio(a, never))},
                        {"adaptive", ratio("adaptive")}});
    }
    return rows;
}

ordered_json bursty_beside_theory(std::size_t length) {
    const World world = exact_world();
    ordered_json rows = ordered_json::array();
    for (const double share : {0.5, 0.9, 0.99}) {
        const Judged item = judged(world, {bursty(share, world.sleep_price_ns(), length)}).front();
        ordered_json row{{"share", share}, {"simulated", ordered_json::array()}, {"theory", ordered_json::array()}};
        for (const double threshold : {0.0, 0.25, 0.5, 1.0, std::numeric_limits<double>::infinity()}) {
            const PolicySettings policy = polling_for(threshold * world.sleep_price_ns());
            row["simulated"].push_back(run(world, policy, item.trace, item.least_ns).ratio());
            row["theory"].push_back(expected_ratio(share, 0.1, 100, threshold));
        }
        row["adaptive"] = run(world, settings_of("adaptive"), item.trace, item.least_ns).ratio();
        rows.push_back(row);
    }
    return rows;
}

ordered_json all_traces(std::size_t length) {
    const World world;
    ordered_json section;
    section["policies"] = ordered_json::array();
    for (const Contestant& contestant : contestants()) {
        section["policies"].push_back(contestant.name);
    }
    const std::size_t of_gaps = traces_of_gaps(world.sleep_price_ns(), 1).size();
    const auto suite = whole_suite(world, length);
    for (std::size_t i = 0; i < suite.size(); ++i) {
        const auto& [trace, least] = suite[i];
        ordered_json row{
            {"trace", trace.name}, {"what", trace.what}, {"gaps_given", i < of_gaps}, {"stationary", trace.stationary}};
        for (const Contestant& contestant : contestants()) {
            const Result result = run(world, contestant.policy, trace, least);
            row["ratios"].push_back(result.ratio());
        }
        if (!has_adversary(trace)) {
            const FixedThreshold best = best_fixed_threshold(world, trace, least);
            row["best_fixed"] = best.result.ratio();
            if (!std::isinf(best.threshold_ns)) {
                row["best_threshold"] = best.threshold_ns / world.sleep_price_ns();
            }
        }
        section["rows"].push_back(row);
    }
    return section;
}

ordered_json intervals(std::size_t length) {
    World world;
    const auto suite = whole_suite(world, length);
    ordered_json rows = ordered_json::array();
    for (const Contestant& contestant : contestants()) {
        world.policy_check_ns = 0;
        const auto at_once = mean_and_worst(world, contestant.policy, suite);
        world.policy_check_ns = engine::housekeeping_ns;
        const auto as_built = mean_and_worst(world, contestant.policy, suite);
        rows.push_back({{"policy", contestant.name}, {"at_once", at_once}, {"as_built", as_built}});
    }
    return rows;
}

/// The adversaries, where the worker reads the clock all the time and where it does not.
ordered_json bound(std::size_t length) {
    ordered_json rows = ordered_json::array();
    for (const World& world : {exact_world(), World{}}) {
        const auto traces = traces_of_gaps(world.sleep_price_ns(), length);
        for (const Trace& trace : traces) {
            if (has_adversary(trace)) {
                rows.push_back({{"trace", trace.name},
                                {"looks_per_clock", world.looks_per_clock},
                                {"breakeven", run(world, settings_of("breakeven"), trace).ratio()},
                                {"adaptive", run(world, settings_of("adaptive"), trace).ratio()}});
            }
        }
    }
    return rows;
}

/// What other habits of the worker would do to `adaptive`.
ordered_json habits(std::size_t length, std::uint64_t host_ns) {
    struct Habit {
        const char* name;
        World world;
    };
    World as_built;
    as_built.policy_check_ns = engine::housekeeping_ns;
    World looks_more_often = as_built;
    looks_more_often.busy_kick_check_ns = 5'000;
    World looks_less_often = as_built;
    looks_less_often.spin_kick_check_ns = 40'000;
    World lists_for_ever = as_built;
    lists_for_ever.relist_patience = UINT32_MAX;
    World lists_what_kicked = as_built;
    lists_what_kicked.relist_patience = 0;
    const auto queues = busy_host(host_ns);
    ordered_json rows = ordered_json::array();
    for (const Habit& habit : {Habit{"as built", as_built},
                               {"looks for kicks every 5 us also while it has work", looks_more_often},
                               {"looks for kicks every 40 us also while it has none", looks_less_often},
                               {"lists its queues again after any sleep", lists_for_ever},
                               {"lists only what kicked after a sleep", lists_what_kicked}}) {
        ordered_json row{{"habit", habit.name}};
        for (const auto& [name, prefer] : {std::pair{"balanced", Prefer::balanced}, {"latency", Prefer::latency}}) {
            World world = habit.world;
            world.prefer = prefer;
            row[name] = mean_and_worst(world, settings_of("adaptive"), several_guests(world, length));
        }
        World world = habit.world;
        world.turn_ns = host_turn_ns;
        const HostOutcome outcome = run_host(world, settings_of("adaptive"), queues, 8, host_ns);
        row["host"] = {{"wait_p99_us", static_cast<double>(outcome.waits.quantile(0.99)) / 1e3},
                       {"waiting", outcome.waits_ns / static_cast<double>(host_ns)},
                       {"cpus", (outcome.worker_cpu_ns + outcome.guest_cpu_ns) / static_cast<double>(host_ns)}};
        rows.push_back(row);
    }
    return rows;
}

ordered_json wrong_costs(std::size_t length) {
    World world;
    const auto suite = whole_suite(world, length);
    ordered_json rows = ordered_json::array();
    for (const double factor : {0.25, 0.5, 1.0, 2.0, 4.0}) {
        engine::Costs believed = world.costs;
        for (double* const cost : {&believed.arm_ns, &believed.kick_ns, &believed.wake_ns, &believed.wake_latency_ns}) {
            *cost *= factor;
        }
        world.believed = believed;
        rows.push_back({{"factor", factor},
                        {"breakeven", mean_and_worst(world, settings_of("breakeven"), suite)},
                        {"adaptive", mean_and_worst(world, settings_of("adaptive"), suite)}});
    }
    return rows;
}

ordered_json other_preferences(std::size_t length) {
    ordered_json rows = ordered_json::array();
    for (const auto& [name, prefer] :
         {std::pair{"latency", Prefer::latency}, {"balanced", Prefer::balanced}, {"cpu", Prefer::cpu}}) {
        World world;
        world.prefer = prefer;
        const auto suite = whole_suite(world, length);
        ordered_json row{{"prefer", name}, {"price_ns", world.sleep_price_ns()}};
        for (const char* const policy : {"never", "always", "breakeven", "adaptive"}) {
            row[policy] = mean_and_worst(world, settings_of(policy), suite);
        }
        rows.push_back(row);
    }
    return rows;
}

ordered_json stop_idle(std::size_t length) {
    const World world;
    const auto suite = whole_suite(world, length);
    const std::array shown{"Poisson a = 0.1", "Poisson a = 3", "bursty 90 %", "on/off", "a day", "3 VMs"};
    ordered_json section;
    for (const std::uint64_t us : {10U, 30U, 100U, 300U, 1'000U, 3'000U, 10'000U, 100'000U, 3'000'000U}) {
        PolicySettings policy = settings_of("rate");
        policy.poll_stop_idle_ns = us * 1'000;
        ordered_json row{{"poll_stop_idle_us", us}, {"all", mean_and_worst(world, policy, suite)}};
        for (const Judged& item : suite) {
            if (std::find(shown.begin(), shown.end(), item.trace.name) != shown.end()) {
                row["traces"][item.trace.name] = run(world, policy, item.trace, item.least_ns).ratio();
            }
        }
        section["rate"].push_back(row);
    }
    for (const Judged& item : suite) {
        if (std::find(shown.begin(), shown.end(), item.trace.name) != shown.end()) {
            section["adaptive"][item.trace.name] =
                run(world, settings_of("adaptive"), item.trace, item.least_ns).ratio();
        }
    }
    return section;
}

ordered_json changes_of_load(std::size_t length) {
    const World world;
    ordered_json rows = ordered_json::array();
    for (const auto& [before, after] :
         {std::pair{100.0, 0.1}, {0.1, 100.0}, {10.0, 0.1}, {0.1, 10.0}, {3.0, 0.3}, {0.3, 3.0}}) {
        const Adaptation adaptation = adapt(world, settings_of("adaptive"), before, after, length);
        ordered_json curve = ordered_json::array();
        for (std::size_t i = 0; i < 60; ++i) {
            curve.push_back(adaptation.cost[i]);
        }
        rows.push_back({{"before", before},
                        {"after", after},
                        {"first", adaptation.first()},
                        {"settled", adaptation.settled()},
                        {"gaps", adaptation.gaps_to_most_of_the_gain()},
                        {"extra", adaptation.extra()},
                        {"cost", curve}});
    }
    return rows;
}

ordered_json host(std::uint64_t end_ns) {
    World world;
    world.policy_check_ns = engine::housekeeping_ns;
    world.turn_ns = host_turn_ns;
    const double seconds = static_cast<double>(end_ns) / 1e9;
    const auto queues = busy_host(end_ns);
    ordered_json rows = ordered_json::array();
    for (const std::size_t workers : {1U, 2U, 4U, 8U, 16U}) {
        for (const char* const policy :
             {"never", "always", "rate", "fixed 50 us", "grow_shrink", "breakeven", "adaptive"}) {
            const HostOutcome outcome = run_host(world, settings_of(policy), queues, workers, end_ns);
            rows.push_back({{"workers", workers},
                            {"policy", policy},
                            {"requests_per_s", static_cast<double>(outcome.requests) / seconds},
                            {"waiting", outcome.waits_ns / static_cast<double>(end_ns)},
                            {"wait_p50_us", static_cast<double>(outcome.waits.quantile(0.5)) / 1e3},
                            {"wait_p99_us", static_cast<double>(outcome.waits.quantile(0.99)) / 1e3},
                            {"worker_cpus", outcome.worker_cpu_ns / static_cast<double>(end_ns)},
                            {"serving_cpus", outcome.serving_ns / static_cast<double>(end_ns)},
                            {"guest_cpus", outcome.guest_cpu_ns / static_cast<double>(end_ns)},
                            {"kicks_per_s", static_cast<double>(outcome.kicks) / seconds},
                            {"sleeps_per_s", static_cast<double>(outcome.sleeps) / seconds}});
        }
    }
    return rows;
}

}  // namespace

ordered_json report(const ReportOptions& options) {
    const std::uint64_t host_ns = options.host_ms * 1'000'000;
    return {{"prices", prices()},
            {"poisson", poisson_beside_theory(options.theory_length)},
            {"bursty", bursty_beside_theory(options.theory_length)},
            {"traces", all_traces(options.trace_length)},
            {"bound", bound(options.trace_length)},
            {"intervals", intervals(options.trace_length)},
            {"habits", habits(options.trace_length, host_ns)},
            {"wrong_costs", wrong_costs(options.trace_length)},
            {"prefer", other_preferences(options.trace_length)},
            {"stop_idle", stop_idle(options.trace_length)},
            {"changes", changes_of_load(options.theory_length)},
            {"host", host(host_ns)}};
}

}  // namespace sidecore::sim
