// SPDX-License-Identifier: Apache-2.0
// Every front-end that was ever met is met again: its recorded conversation, held with our endpoint.

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/format.hh"
#include "device/blk_device.hh"
#include "endpoint/endpoint.hh"
#include "engine/worker.hh"
#include "interop/recording.hh"
#include "interop/replayed_front_end.hh"
#include "storage/null_backend.hh"

namespace sidecore::interop {
namespace {

using namespace std::chrono_literals;
using vhost_user::read_payload;
using vhost_user::Request;

constexpr std::uint64_t disk_bytes = 64ULL << 20U;  // as all recordings say

/// How many queues the recorded disk had.
std::uint16_t queues_of(const std::vector<RecordedMessage>& messages) {
    for (const RecordedMessage& message : messages) {
        if (!message.from_front_end && message.request == static_cast<std::uint32_t>(Request::get_queue_num)) {
            return static_cast<std::uint16_t>(read_payload<std::uint64_t>(message.payload));
        }
    }
    return 1;
}

/// A disk behind one end of a pair of sockets.
struct BackEnd {
    std::unique_ptr<engine::Worker> worker;
    std::promise<void> ended;
    std::unique_ptr<endpoint::Endpoint> endpoint;

    BackEnd(Fd socket, std::uint16_t queues) {
        worker = *engine::Worker::create({});
        auto storage = *storage::NullBackend::create({.capacity_bytes = disk_bytes});
        auto device = *device::BlkDevice::create(std::move(storage), {.queues = queues});
        endpoint::Options options;
        options.name = "replayed";
        options.given = std::move(socket);
        options.on_ended = [this] { ended.set_value(); };
        endpoint = *endpoint::Endpoint::create(std::move(options), std::move(device), {worker.get()},
                                               std::vector<engine::QueueSettings>(queues));
    }
};

void expect_same_shape(const RecordedMessage& recorded, const vhost_user::Message& reply) {
    EXPECT_EQ(reply.header.request, recorded.request);
    EXPECT_EQ(reply.header.flags, recorded.flags);
    ASSERT_EQ(reply.payload.size(), recorded.payload.size());
    EXPECT_EQ(reply.fds.size(), recorded.descriptors.size());
    switch (static_cast<Request>(recorded.request)) {
        case Request::get_features:
        case Request::get_protocol_features:
        case Request::get_max_mem_slots:
            EXPECT_NE(read_payload<std::uint64_t>(reply.payload), 0U);  // each back-end has its own
            break;
        case Request::get_vring_base:
            EXPECT_EQ(read_payload<vhost_user::VringState>(reply.payload).index,
                      read_payload<vhost_user::VringState>(recorded.payload).index);
            break;
        case Request::get_config: {
            constexpr std::size_t capacity_end = sizeof(vhost_user::ConfigHeader) + sizeof(std::uint64_t);
            const std::size_t same = std::min(capacity_end, recorded.payload.size());
            EXPECT_TRUE(std::equal(recorded.payload.begin(),
                                   recorded.payload.begin() + static_cast<std::ptrdiff_t>(same), reply.payload.begin()))
                << "offset, size, flags and the disk's capacity";
            break;
        }
        default:
            EXPECT_EQ(reply.payload, recorded.payload) << "an acknowledgement, or a number that a disk alone decides";
    }
}

class Replay : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Replay, IsAnsweredAsItWas) {
    const auto messages = read_recording(GetParam());
    ASSERT_TRUE(messages) << messages.error().message;
    std::array<int, 2> pair{-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    auto front_end = std::make_unique<ReplayedFrontEnd>(Fd(pair[0]));
    BackEnd back_end(Fd(pair[1]), queues_of(*messages));

    std::size_t vrings_started = 0;
    for (const RecordedMessage& message : *messages) {
        SCOPED_TRACE(testing::Message() << GetParam().string() << ":" << message.line);
        if (message.from_front_end) {
            const auto sent = front_end->send(message);
            ASSERT_TRUE(sent) << sent.error().message << "; " << back_end.endpoint->info().last_error;
            vrings_started += message.request == static_cast<std::uint32_t>(Request::set_vring_kick) ? 1 : 0;
        } else {
            const auto reply = front_end->receive();
            ASSERT_TRUE(reply) << reply.error().message << "; " << back_end.endpoint->info().last_error;
            expect_same_shape(message, *reply);
        }
    }
    EXPECT_GT(vrings_started, 0U) << "a recording in which the driver never starts shows little";
    front_end.reset();
    ASSERT_EQ(back_end.ended.get_future().wait_for(20s), std::future_status::ready);
    EXPECT_EQ(back_end.endpoint->info().last_error, "");
}

std::vector<std::filesystem::path> recordings() {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(SIDECORE_RECORDINGS)) {
        if (entry.path().extension() == ".txt") {
            found.push_back(entry.path());
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

INSTANTIATE_TEST_SUITE_P(Recordings, Replay, testing::ValuesIn(recordings()), [](const auto& test) {
    std::string name = test.param.stem().string();
    std::replace_if(
        name.begin(), name.end(), [](char letter) { return std::isalnum(letter) == 0; }, '_');
    return name;
});

std::filesystem::path own_file() {
    return std::filesystem::path(testing::TempDir()) / fmt::format("sidecore-recording-{}.txt", ::getpid());
}

TEST(Recording, LinesThatAreNoMessagesAreFound) {
    const std::filesystem::path path = own_file();
    for (const std::string line :
         {"> 1 GET_FEATURES 0x1 -", "= 1 GET_FEATURES 0x1 - -", "> x GET_FEATURES 0x1 - -", "> 1 GET_FEATURES 1 - -",
          "> 1 GET_FEATURES 0x1 - 012", "> 1 GET_FEATURES 0x1 - - -"}) {
        std::ofstream(path) << "# a comment\n" << line << '\n';
        const auto messages = read_recording(path);
        ASSERT_FALSE(messages) << line;
        EXPECT_NE(messages.error().message.find(":2:"), std::string::npos) << messages.error().message;
    }
    std::filesystem::remove(path);
    EXPECT_FALSE(read_recording(path));
}

TEST(Recording, MessagesAreRead) {
    const std::filesystem::path path = own_file();
    std::ofstream(path) << "# a comment\n\n> 5 SET_MEM_TABLE 0x9 file:4096,eventfd 00ff10\n< 5 SET_MEM_TABLE 0x5 - -\n";
    const auto messages = read_recording(path);
    std::filesystem::remove(path);
    ASSERT_TRUE(messages) << messages.error().message;
    ASSERT_EQ(messages->size(), 2U);
    const RecordedMessage& first = messages->front();
    EXPECT_TRUE(first.from_front_end);
    EXPECT_EQ(first.request, 5U);
    EXPECT_EQ(first.flags, 9U);
    EXPECT_EQ(first.descriptors, (std::vector<std::string>{"file:4096", "eventfd"}));
    EXPECT_EQ(first.payload, (std::vector<std::byte>{std::byte{0}, std::byte{0xff}, std::byte{0x10}}));
    EXPECT_EQ(first.line, 3U);
    EXPECT_FALSE(messages->back().from_front_end);
    EXPECT_TRUE(messages->back().payload.empty());
}

}  // namespace
}  // namespace sidecore::interop
