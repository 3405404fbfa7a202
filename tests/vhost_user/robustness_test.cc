// SPDX-License-Identifier: Apache-2.0
// Random conversations: mostly sound messages, some of them damaged. Whatever comes, the session keeps its promises to
// the handler, leaks nothing and comes to its end. The same seeds every time; tests/fuzz goes on from here.
#include <random>

#include "vhost_user/message_generator.hh"
#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using testing::FakeHandler;
using testing::memory_file;
using testing::MessageGenerator;
using testing::open_descriptors;
using testing::socket_pair;

class RandomConversations : public ::testing::TestWithParam<unsigned> {};

TEST_P(RandomConversations, DoNoHarm) {
    std::mt19937 random(GetParam());
    MessageGenerator generator([&random] { return static_cast<std::uint8_t>(random()); });
    const std::size_t before = open_descriptors();
    std::size_t served = 0;
    for (int conversation = 0; conversation < 100; ++conversation) {
        FakeHandler handler;
        {
            auto [here, there] = socket_pair();
            auto session = Session::create(Connection(std::move(there)), handler, "random");
            ASSERT_TRUE(session);
            Connection front_end(std::move(here));
            generator.send_conversation(front_end);
            ::shutdown(front_end.fd(), SHUT_WR);
            // A failure is as good as a success here: the session must merely end.
            static_cast<void>((*session)->run());
        }
        EXPECT_THAT(handler.broken_promises, ::testing::IsEmpty());
        EXPECT_FALSE(handler.any_started());
        served += handler.events.size();
    }
    EXPECT_GT(served, 500U) << "hardly any message got through: this tests nothing";
    EXPECT_EQ(open_descriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomConversations, ::testing::Range(1U, 11U));

TEST(RandomBytes, DoNoHarm) {
    std::mt19937 random(42);
    for (int conversation = 0; conversation < 500; ++conversation) {
        FakeHandler handler;
        auto [here, there] = socket_pair();
        auto session = Session::create(Connection(std::move(there)), handler, "random");
        ASSERT_TRUE(session);
        std::vector<std::uint8_t> bytes(random() % 400);
        for (std::uint8_t& byte : bytes) {
            byte = static_cast<std::uint8_t>(random());
        }
        ASSERT_EQ(::send(here.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
        ::shutdown(here.get(), SHUT_WR);
        EXPECT_EQ((*session)->run().has_value(), bytes.empty());
        EXPECT_THAT(handler.events, ::testing::IsEmpty());
    }
}

}  // namespace
}  // namespace sidecore::vhost_user
