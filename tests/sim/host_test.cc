// SPDX-License-Identifier: Apache-2.0
#include "sim/host.hh"

#include <gtest/gtest.h>

#include "sim/experiment.hh"

namespace sidecore::sim {
namespace {

constexpr std::uint64_t end_ns = 4'000'000;

const engine::PolicySettings& policy(const std::string& name) {
    static const auto all = contestants();
    return std::find_if(all.begin(), all.end(), [&](const Contestant& one) { return one.name == name; })->policy;
}

World host_world() {
    World world;
    world.turn_ns = 150;
    world.policy_check_ns = engine::housekeeping_ns;
    return world;
}

TEST(Host, MoreWorkersServeTheSameSooner) {
    const auto queues = busy_host(end_ns);
    const HostOutcome few = run_host(host_world(), policy("adaptive"), queues, 2, end_ns);
    const HostOutcome many = run_host(host_world(), policy("adaptive"), queues, 8, end_ns);
    EXPECT_NEAR(static_cast<double>(many.requests), static_cast<double>(few.requests),
                0.03 * static_cast<double>(few.requests));
    EXPECT_LT(many.waits.quantile(0.99), few.waits.quantile(0.99));
    EXPECT_GT(many.worker_cpu_ns, few.worker_cpu_ns);
}

TEST(Host, NobodyUsesMoreThanTheWorkersHave) {
    const auto queues = busy_host(end_ns);
    for (const Contestant& contestant : contestants()) {
        for (const std::size_t workers : {1U, 4U}) {
            const HostOutcome outcome = run_host(host_world(), contestant.policy, queues, workers, end_ns);
            EXPECT_LE(outcome.serving_ns, outcome.worker_cpu_ns) << contestant.name;
            EXPECT_LE(outcome.worker_cpu_ns, 1.02 * static_cast<double>(workers * end_ns)) << contestant.name;
            EXPECT_GT(outcome.requests, 1'000U) << contestant.name;
        }
    }
}

TEST(Host, AlwaysPollingNeedsNoKicksAndAllOfTheCpus) {
    const HostOutcome outcome = run_host(host_world(), policy("always"), busy_host(end_ns), 4, end_ns);
    EXPECT_EQ(outcome.kicks, 0U);
    EXPECT_EQ(outcome.sleeps, 0U);
    EXPECT_NEAR(outcome.worker_cpu_ns, 4.0 * end_ns, 0.02 * end_ns);
}

}  // namespace
}  // namespace sidecore::sim
