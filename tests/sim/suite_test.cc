// SPDX-License-Identifier: Apache-2.0
#include "sim/suite.hh"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "sim/experiment.hh"
#include "sim/host.hh"

namespace sidecore::sim {
namespace {

constexpr double price = 5'440;

std::vector<Trace> all(std::size_t length) {
    std::vector<Trace> traces = traces_of_gaps(price, length);
    for (Trace& trace : traces_of_guests(price, length)) {
        traces.push_back(std::move(trace));
    }
    return traces;
}

const Trace& named(const std::vector<Trace>& traces, const std::string& name) {
    return *std::find_if(traces.begin(), traces.end(), [&](const Trace& trace) { return trace.name == name; });
}

double mean_gap(const Trace& trace) {
    double sum = 0;
    for (const Arrival& arrival : trace.queues.at(0).arrivals) {
        sum += static_cast<double>(arrival.gap_ns);
    }
    return sum / static_cast<double>(trace.queues[0].arrivals.size());
}

TEST(Suite, EveryTraceHasAName) {
    std::set<std::string> names;
    for (const Trace& trace : all(500)) {
        EXPECT_TRUE(names.insert(trace.name).second) << trace.name;
        EXPECT_FALSE(trace.what.empty()) << trace.name;
        EXPECT_FALSE(trace.queues.empty()) << trace.name;
    }
    for (const char* const name : {"Poisson a = 0.1",
                                   "Poisson a = 1",
                                   "Poisson a = 5",
                                   "bursty 50 %",
                                   "bursty 90 %",
                                   "bursty 99 %",
                                   "periodic 0.9 B",
                                   "periodic 1.1 B",
                                   "on/off",
                                   "a day",
                                   "steps",
                                   "ramps",
                                   "request-response",
                                   "64 B stream",
                                   "random read, 2 threads",
                                   "QD 1",
                                   "QD 8",
                                   "QD 32",
                                   "3 VMs",
                                   "64 VMs, one active",
                                   "a noisy neighbour",
                                   "net + blk + scsi",
                                   "adversary",
                                   "adversary, treacherous"}) {
        EXPECT_EQ(names.count(name), 1U) << name;
    }
}

TEST(Suite, IsTheSameEachTime) {
    const auto once = all(2'000);
    const auto again = all(2'000);
    for (std::size_t i = 0; i < once.size(); ++i) {
        for (std::size_t queue = 0; queue < once[i].queues.size(); ++queue) {
            const auto& a = once[i].queues[queue].arrivals;
            const auto& b = again[i].queues[queue].arrivals;
            ASSERT_EQ(a.size(), b.size()) << once[i].name;
            for (std::size_t k = 0; k < a.size(); ++k) {
                ASSERT_EQ(a[k].gap_ns, b[k].gap_ns) << once[i].name;
            }
        }
    }
}

TEST(Suite, GapsHaveTheMeansThatTheirNamesSay) {
    const auto traces = all(25'000);
    EXPECT_NEAR(mean_gap(named(traces, "Poisson a = 0.1")), 10 * price, 0.2 * price);
    EXPECT_NEAR(mean_gap(named(traces, "Poisson a = 5")), price / 5, 0.004 * price);
    EXPECT_NEAR(mean_gap(named(traces, "bursty 90 %")), 10.09 * price, 0.6 * price);
    EXPECT_NEAR(mean_gap(named(traces, "periodic 1.1 B")), 1.1 * price, 1);
    EXPECT_NEAR(mean_gap(named(traces, "request-response")), 6'000, 60);
}

TEST(Suite, ADayHasANightAndANoon) {
    const Trace trace = named(traces_of_gaps(price, 40'000), "a day");
    double elapsed = 0;
    int at_night = 0;
    int by_day = 0;
    for (const Arrival& arrival : trace.queues[0].arrivals) {
        elapsed += static_cast<double>(arrival.gap_ns);
        const double hour = std::fmod(elapsed / (400 * price) / 4, 24);
        at_night += hour > 5 && hour < 7 ? 1 : 0;
        by_day += hour > 17 && hour < 19 ? 1 : 0;
    }
    EXPECT_GT(at_night, 10);
    EXPECT_GT(by_day, 50 * at_night);
}

TEST(Suite, WithoutWaitingTheGapsAreTheSame) {
    const Trace waiting = poisson(1, price, 1'000);
    const Trace open = opened(waiting);
    EXPECT_EQ(waiting.queues[0].depth, 1U);
    EXPECT_EQ(open.queues[0].depth, 0U);
    EXPECT_EQ(mean_gap(waiting), mean_gap(open));
}

TEST(Suite, TheBusyHostHasTheLoadThatItSays) {
    constexpr std::uint64_t end_ns = 20'000'000;
    const auto queues = busy_host(end_ns);
    ASSERT_EQ(queues.size(), 4'000U);
    std::uint64_t requests = 0;
    std::size_t idle = 0;
    for (const QueueTrace& queue : queues) {
        std::uint64_t now = 0;
        std::size_t own = 0;
        for (const Arrival& arrival : queue.arrivals) {
            now += arrival.gap_ns;
            own += now < end_ns ? 1 : 0;
        }
        requests += own;
        idle += own == 0 ? 1 : 0;
    }
    EXPECT_NEAR(static_cast<double>(requests), 2.7e6 * 0.02, 0.15 * 2.7e6 * 0.02);
    EXPECT_GT(idle, 2'500U);
}

}  // namespace
}  // namespace sidecore::sim
