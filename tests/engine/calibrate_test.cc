// SPDX-License-Identifier: Apache-2.0
#include "engine/calibrate.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

void expect_all_measured(const Calibration& calibration) {
    const Costs& costs = calibration.costs;
    for (const double cost :
         {costs.check_ns, costs.arm_ns, costs.kick_ns, costs.wake_ns, costs.wake_latency_ns, costs.see_kick_ns}) {
        EXPECT_GT(cost, 0);
        EXPECT_LT(cost, 1e9);
    }
    EXPECT_EQ(calibration.measurements.size(), 6U);
    for (const Measurement& measurement : calibration.measurements) {
        EXPECT_LE(measurement.low_ns, measurement.value_ns) << measurement.name;
        EXPECT_GE(measurement.high_ns, measurement.value_ns) << measurement.name;
        EXPECT_FALSE(measurement.how.empty()) << measurement.name;
    }
}

TEST(Calibrate, MeasuresEachCostAndSaysHow) {
    for (const CalibrationEffort effort : {CalibrationEffort::brief, CalibrationEffort::thorough}) {
        const auto calibration = calibrate(0, effort);
        ASSERT_TRUE(calibration) << calibration.error().message;
        expect_all_measured(*calibration);
    }
}

TEST(Calibrate, WhatTheHardwareMakesCheapIsCheap) {
    const Costs costs = calibrate().value().costs;
    // Orders of magnitude, on any machine: a load, a barrier, a system call, two context switches.
    EXPECT_LT(costs.check_ns, costs.see_kick_ns);
    EXPECT_LT(costs.arm_ns, costs.wake_latency_ns);
}

TEST(Calibrate, AVmExitIsPartOfTheKick) {
    const double plain = calibrate().value().costs.kick_ns;
    const Calibration with_exit = calibrate(1e6).value();
    EXPECT_GE(with_exit.costs.kick_ns, 1e6);
    EXPECT_LT(plain, 1e6);
}

}  // namespace
}  // namespace sidecore::engine
