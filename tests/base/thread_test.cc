// SPDX-License-Identifier: Apache-2.0
#include "base/thread.hh"

#include <array>
#include <csignal>
#include <pthread.h>
#include <string>

#include <gtest/gtest.h>

namespace sidecore {
namespace {

TEST(Thread, HasItsNameAndTakesNoSignalsButThoseOfItsOwnFaults) {
    std::string name;
    sigset_t blocked;
    ::sigemptyset(&blocked);
    auto thread = start_thread("a-name", [&] {
        std::array<char, 16> text{};
        // The name is given from outside, a moment after the start.
        while (name != "a-name" && ::pthread_getname_np(::pthread_self(), text.data(), text.size()) == 0) {
            name = text.data();
        }
        ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    });
    ASSERT_TRUE(thread) << thread.error().message;
    thread->join();
    EXPECT_EQ(name, "a-name");
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1}) {
        EXPECT_EQ(::sigismember(&blocked, signal), 1) << signal;
    }
    for (const int signal : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) {
        EXPECT_EQ(::sigismember(&blocked, signal), 0) << signal;
    }
}

TEST(Thread, LeavesItsStartersSignalsAsTheyWere) {
    sigset_t before;
    sigset_t after;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
    auto thread = start_thread("other", [] {});
    ASSERT_TRUE(thread) << thread.error().message;
    thread->join();
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (int signal = 1; signal < SIGRTMIN; ++signal) {
        EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal)) << signal;
    }
}

}  // namespace
}  // namespace sidecore
