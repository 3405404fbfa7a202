// SPDX-License-Identifier: Apache-2.0
#include "engine/mailbox.hh"

#include <atomic>
#include <poll.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

bool readable(int fd, int timeout_ms = 0) {
    pollfd waiting{fd, POLLIN, 0};
    return ::poll(&waiting, 1, timeout_ms) == 1;
}

TEST(Mailbox, IsQuietUntilACommandComesAndAfterItWasTaken) {
    auto mailbox = Mailbox::create().value();
    EXPECT_FALSE(mailbox.pending());
    EXPECT_FALSE(readable(mailbox.wake_fd()));
    mailbox.post([] {});
    EXPECT_TRUE(mailbox.pending());
    EXPECT_TRUE(readable(mailbox.wake_fd()));
    EXPECT_EQ(mailbox.take().size(), 1U);
    EXPECT_FALSE(mailbox.pending());
    EXPECT_FALSE(readable(mailbox.wake_fd()));
}

TEST(Mailbox, KeepsTheOrderOfArrival) {
    auto mailbox = Mailbox::create().value();
    std::vector<int> order;
    for (int i = 0; i < 100; ++i) {
        mailbox.post([&order, i] { order.push_back(i); });
    }
    for (const auto& command : mailbox.take()) {
        command();
    }
    ASSERT_EQ(order.size(), 100U);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Mailbox, ACommandPostedWhileOthersAreTakenIsNotLost) {
    auto mailbox = Mailbox::create().value();
    mailbox.post([&] { mailbox.post([] {}); });
    for (const auto& command : mailbox.take()) {
        command();
    }
    EXPECT_TRUE(mailbox.pending());
    EXPECT_TRUE(readable(mailbox.wake_fd()));
}

TEST(Mailbox, ManySendersAndAnOwnerThatSleepsOnTheDescriptorLoseNothing) {
    constexpr int senders = 4;
    constexpr int commands_each = 5000;
    auto mailbox = Mailbox::create().value();
    int carried_out = 0;  // by the owner only
    std::vector<std::thread> threads;
    for (int sender = 0; sender < senders; ++sender) {
        threads.emplace_back([&] {
            for (int i = 0; i < commands_each; ++i) {
                mailbox.post([&carried_out] { ++carried_out; });
            }
        });
    }
    while (carried_out < senders * commands_each) {
        ASSERT_TRUE(readable(mailbox.wake_fd(), 10'000)) << "stalled after " << carried_out;
        for (const auto& command : mailbox.take()) {
            command();
        }
    }
    for (auto& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(carried_out, senders * commands_each);
}

}  // namespace
}  // namespace sidecore::engine
