// SPDX-License-Identifier: Apache-2.0
#include "sim/experiment.hh"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

#include "base/format.hh"
#include "sim/clairvoyant.hh"
#include "sim/random.hh"
#include "sim/worker_model.hh"

namespace sidecore::sim {

using engine::PolicyKind;
using engine::PolicySettings;

namespace {

PolicySettings of_kind(PolicyKind kind) {
    PolicySettings settings;
    settings.kind = kind;
    return settings;
}

}  // namespace

World exact_world() {
    World world;
    world.costs = {.check_ns = 1, .arm_ns = 0, .kick_ns = 64'000, .wake_ns = 180'000, .wake_latency_ns = 300'000};
    world.pass_ns = 0;
    world.looks_per_clock = 1;
    world.lingers = false;
    return world;
}

PolicySettings polling_for(double time_ns) {
    if (time_ns < 1 || std::isinf(time_ns)) {
        return of_kind(time_ns < 1 ? PolicyKind::never : PolicyKind::always);
    }
    PolicySettings settings = of_kind(PolicyKind::fixed);
    settings.poll_time_ns = static_cast<std::uint64_t>(time_ns);
    return settings;
}

std::vector<Contestant> contestants() {
    std::vector<Contestant> all{{"never", of_kind(PolicyKind::never)},
                                {"always", of_kind(PolicyKind::always)},
                                {"rate", of_kind(PolicyKind::rate)}};
    for (const unsigned us : {5U, 20U, 50U, 200U}) {
        all.push_back({fmt::format("fixed {} us", us), polling_for(us * 1e3)});
    }
    all.push_back({"grow_shrink", of_kind(PolicyKind::grow_shrink)});
    all.push_back({"breakeven", of_kind(PolicyKind::breakeven)});
    all.push_back({"adaptive", of_kind(PolicyKind::adaptive)});
    return all;
}

bool has_adversary(const Trace& trace) noexcept {
    return trace.patience_ns != 0;
}

Result run(const World& world, const PolicySettings& policy, const Trace& trace, double least_ns) {
    WorkerModel model(world, policy, trace.queues, trace.patience_ns);
    Result result{.outcome = model.run()};
    result.cost_ns = result.outcome.cost_ns(world);
    if (has_adversary(trace)) {
        result.least_ns = least_cost_ns(world, model.arrived());
    } else {
        result.least_ns = least_ns > 0 ? least_ns : least_cost_ns(world, trace.queues);
    }
    return result;
}

/// Candidates are 0, infinity, and what lies between a hundredth and a hundred prices, 9 a decade; around the best of these it
/// looks more closely, twice.
FixedThreshold best_fixed_threshold(const World& world, const Trace& trace, double least_ns) {
    FixedThreshold best;
    World plain = world;
    plain.lingers = false;  // or a threshold of 0 would be one that is learned
    const auto consider = [&](double threshold_ns) {
        const Result result = run(plain, polling_for(threshold_ns), trace, least_ns);
        if (best.result.cost_ns == 0 || result.cost_ns < best.result.cost_ns) {
            best = {threshold_ns, result};
        }
    };
    consider(0);
    consider(std::numeric_limits<double>::infinity());
    double step = std::sqrt(std::sqrt(std::sqrt(8.0)));  // 1.297
    const double price = world.sleep_price_ns();
    double threshold = price / 100;
    while (threshold <= 100 * price) {
        consider(threshold);
        threshold *= step;
    }
    for (int round = 0; round < 2 && best.threshold_ns != 0 && !std::isinf(best.threshold_ns); ++round) {
        const double around = best.threshold_ns;
        step = std::sqrt(std::sqrt(step));
        for (const double factor : {step, step * step, step * step * step}) {
            consider(around * factor);
            consider(around / factor);
        }
    }
    return best;
}

double Adaptation::settled() const noexcept {
    const auto half = cost.begin() + static_cast<std::ptrdiff_t>(cost.size() / 2);
    return std::accumulate(half, cost.end(), 0.0) / static_cast<double>(cost.end() - half);
}

/// A single gap's mean is uncertain, so five in a row have to be there.
std::size_t Adaptation::gaps_to_most_of_the_gain() const noexcept {
    constexpr std::size_t together = 5;
    const double goal = settled() + 0.1 * std::abs(first() - settled());
    for (std::size_t gap = 0; gap + together <= cost.size(); ++gap) {
        const auto from = cost.begin() + static_cast<std::ptrdiff_t>(gap);
        if (std::accumulate(from, from + together, 0.0) <= together * goal) {
            return gap;
        }
    }
    return cost.size();
}

double Adaptation::extra() const noexcept {
    return std::accumulate(cost.begin(), cost.end(), 0.0) - static_cast<double>(cost.size()) * settled();
}

Adaptation adapt(const World& world, const PolicySettings& policy, double before, double after, std::size_t length) {
    constexpr std::size_t phase = 1'000;
    const double price = world.sleep_price_ns();
    Random random(41);
    std::vector<QueueTrace> queues{{.depth = 1, .arrivals = {}}};
    for (std::size_t i = 0; i < length; ++i) {
        const double gap = random.exponential((i / phase % 2 == 0 ? before : after) * price);
        queues.front().arrivals.push_back({.gap_ns = static_cast<std::uint64_t>(gap), .service_ns = 500});
    }
    WorkerModel model(world, policy, queues);
    Adaptation result{.cost = std::vector<double>(phase, 0)};
    std::uint64_t answered = 0;
    double paid = 0;
    std::size_t changes = 0;
    while (model.step()) {
        const Outcome& outcome = model.outcome();
        if (outcome.requests == answered) {
            continue;
        }
        const std::size_t gap = answered++;
        const double cost = outcome.cost_ns(world) / price;
        if (gap / phase % 2 == 1) {
            result.cost[gap % phase] += cost - paid;
            changes += gap % phase == 0 ? 1 : 0;
        }
        paid = cost;
    }
    for (double& cost : result.cost) {
        cost /= static_cast<double>(std::max<std::size_t>(changes, 1));
    }
    return result;
}

}  // namespace sidecore::sim
