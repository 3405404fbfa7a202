// SPDX-License-Identifier: Apache-2.0
#include "base/patient_mutex.hh"

#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(PatientMutex, OneAtATime) {
    PatientMutex mutex;
    int count = 0;  // ThreadSanitizer sees it if two are inside
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, patient = i % 2 == 0] {
            for (int round = 0; round < 1000; ++round) {
                if (patient) {
                    const std::unique_lock lock(mutex, std::chrono::seconds(60));
                    ASSERT_TRUE(lock);
                    ++count;
                } else {
                    const std::lock_guard lock(mutex);
                    ++count;
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(count, 4000);
}

TEST(PatientMutex, GivesUpAfterTheTimeAndNotBefore) {
    PatientMutex mutex;
    const std::lock_guard held(mutex);
    std::thread other([&] {
        const auto start = steady_clock::now();
        const std::unique_lock lock(mutex, milliseconds(10));
        EXPECT_FALSE(lock);
        EXPECT_GE(steady_clock::now() - start, milliseconds(10));
    });
    other.join();
}

}  // namespace
}  // namespace sidecore
